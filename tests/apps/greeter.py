"""greeter-server and greeter-client, word for word: with each other, with
Python's client, and with Python's server."""
import concurrent.futures
import datetime
import os
import re
import signal
import socket
import subprocess
import threading
import time

import harness
from harness import SANITIZED, TIMEOUT, grpc

import chat_service_pb2 as chat
import chat_service_pb2_grpc as chat_stubs
import greeter_pb2 as pb
import greeter_pb2_grpc as stubs

TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$")
KEPT = 10000
UNREACHABLE = f"is not reachable {'with TLS ' if harness.TLS else ''}within 0.5 s"
LOG = r"^\S+ (\S+) (\S+) (\w+) ([0-9.]+) ms, (\d+) in, (\d+) out(: .*)?$"


def names(*people):
    return iter([pb.HelloRequest(name=n, age=a) for n, a in people])


class Words(harness.Case):
    """Python's client and greeter-server."""

    def setUp(self):
        self.server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "0.01")
        self.channel = self.connect(self.server.address)
        self.stub = stubs.GreeterStub(self.channel)
        self.room = chat_stubs.ChatServiceStub(self.channel)

    def check(self, reply, text, server_id=None):
        self.assertEqual(reply.message, text)
        self.assertRegex(reply.timestamp, TIMESTAMP)
        stamp = datetime.datetime.fromisoformat(reply.timestamp)
        self.assertLess(abs((datetime.datetime.now() - stamp).total_seconds()), TIMEOUT)
        self.assertEqual(reply.server_id, server_id or socket.gethostname())

    def test_say_hello(self):
        for name, age, text in (("World", 30, "Hello, World! You are 30 years old."),
                                ("Ann", 0, "Hello, Ann!"), ("", 0, "Hello, !"),
                                ("", 1, "Hello, ! You are 1 years old."),
                                ("Zoë 🎉 100%", -5, "Hello, Zoë 🎉 100%! You are -5 years old."),
                                ("n" * 100000, 2147483647,
                                 "Hello, " + "n" * 100000 + "! You are 2147483647 years old.")):
            self.check(self.stub.SayHello(pb.HelloRequest(name=name, age=age)), text)

    def test_say_hello_stream(self):
        replies = list(self.stub.SayHelloStream(pb.HelloRequest(name="Bob", age=3)))
        self.assertEqual(len(replies), 5)
        for i, reply in enumerate(replies, 1):
            self.check(reply, f"Hello Bob! This is message #{i}")
        self.assertEqual([r.timestamp for r in replies], sorted(r.timestamp for r in replies))

    def test_say_hello_to_many(self):
        for people, text in (([], "Hello to 0 people!"),
                             ([("A", 31)], "Hello to 1 people! Average age: 31.0"),
                             ([("A", 30), ("B", 31), ("C", 33)],
                              "Hello to 3 people! Average age: 31.3"),
                             ([("A", 0), ("B", -1)], "Hello to 2 people! Average age: -0.5"),
                             ([("A", 2**31 - 1)] * 5,
                              "Hello to 5 people! Average age: 2147483647.0")):
            self.check(self.stub.SayHelloToMany(names(*people)), text)

    def test_chat(self):
        self.assertEqual(list(self.stub.Chat(iter([]))), [])
        replies = list(self.stub.Chat(names(("Ann", 1), ("Bob", 2), ("", 0))))
        for i, (reply, name) in enumerate(zip(replies, ("Ann", "Bob", "")), 1):
            self.check(reply, f"Echo #{i}: {name}")
        feed = harness.Feed()
        call = self.stub.Chat(feed)
        for i in range(1, 11):
            feed.put(pb.HelloRequest(name=f"turn {i}"))
            self.check(next(call), f"Echo #{i}: turn {i}")
        feed.end()
        self.assertEqual(list(call), [])

    def test_server_id(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "0",
                            "--server-id", "alpha 1")
        stub = stubs.GreeterStub(self.connect(server.address))
        self.check(stub.SayHello(pb.HelloRequest(name="N")), "Hello, N!", "alpha 1")
        for reply in stub.SayHelloStream(pb.HelloRequest(name="N")):
            self.assertEqual(reply.server_id, "alpha 1")
        self.check(stub.SayHelloToMany(names()), "Hello to 0 people!", "alpha 1")
        self.check(next(stub.Chat(names(("N", 1)))), "Echo #1: N", "alpha 1")

    def test_interval(self):
        """Four waits between the five replies. A reply may be late, and the next one is not
        for that: each has its time from the begin on, before which it does not come."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "0.2")
        stub = stubs.GreeterStub(self.connect(server.address))
        began = datetime.datetime.now()
        replies = list(stub.SayHelloStream(pb.HelloRequest(name="N")))
        self.assertEqual(len(replies), 5)
        for i, reply in enumerate(replies):
            stamp = datetime.datetime.fromisoformat(reply.timestamp)
            self.assertGreaterEqual((stamp - began).total_seconds(), 0.2 * i - 0.001)
        first, last = (datetime.datetime.fromisoformat(replies[i].timestamp) for i in (0, -1))
        self.assertGreaterEqual((last - first).total_seconds(), 0.19)  # nor all at the end

    def test_stream_stops_when_the_client_goes(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3600")
        call = stubs.GreeterStub(self.connect(server.address)).SayHelloStream(
            pb.HelloRequest(name="N"))
        next(call)
        call.cancel()
        line = server.wait_line(LOG)
        self.assertEqual((line[2], line[3], line[6]),
                         ("/greeter.Greeter/SayHelloStream", "CANCELLED", "1"))

    def test_log(self):
        self.stub.SayHello(pb.HelloRequest())
        list(self.stub.SayHelloStream(pb.HelloRequest()))
        self.stub.SayHelloToMany(names(("A", 1), ("B", 2)))
        list(self.stub.Chat(names(("A", 1), ("B", 2), ("C", 3))))
        self.room.SendMessage(chat.Message())
        self.fails(grpc.StatusCode.UNIMPLEMENTED, self.channel.unary_unary("/no.Such/Method"), b"")
        for path, code, received, sent in (
                ("/greeter.Greeter/SayHello", "OK", 1, 1),
                ("/greeter.Greeter/SayHelloStream", "OK", 1, 5),
                ("/greeter.Greeter/SayHelloToMany", "OK", 2, 1),
                ("/greeter.Greeter/Chat", "OK", 3, 3), ("/ChatService/SendMessage", "OK", 1, 1),
                ("/no.Such/Method", "UNIMPLEMENTED", None, 0)):
            line = self.server.wait_line(LOG)
            self.assertRegex(line[1], r"^ipv4:127\.0\.0\.1:\d+$")
            self.assertEqual((line[2], line[3], line[6]), (path, code, str(sent)))
            if received is not None:
                self.assertEqual(line[5], str(received))
        self.server.stop()
        self.assertEqual(sum(bool(re.search(LOG, line)) for line in self.server.lines), 6)

    def test_no_log(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--no-log")
        stubs.GreeterStub(self.connect(server.address)).SayHello(pb.HelloRequest())
        server.stop()
        self.assertEqual(sum(bool(re.search(LOG, line)) for line in server.lines), 0, server.lines)
        self.assertIn("listening", " ".join(server.lines))


class Room(harness.Case):
    """Python's clients and the ChatService."""

    def setUp(self):
        self.server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        self.room = self.enter()

    def enter(self, server=None):
        return chat_stubs.ChatServiceStub(self.connect((server or self.server).address))

    def say(self, first, last, room=None):
        """Says the numbers, many at a time, in order of the futures' starts."""
        for i in range(first, last + 1):
            (room or self.room).SendMessage(chat.Message(user_name="u", text=str(i)),
                                            timeout=TIMEOUT)

    def flood(self, first, last):
        """Says the numbers in order, without a round trip for each: many calls
        on one connection are answered in the order of their starts."""
        for i in range(first, last + 1, 100):
            calls = [self.room.SendMessage.future(chat.Message(user_name="u", text=str(j)),
                                                  timeout=TIMEOUT)
                     for j in range(i, min(i + 100, last + 1))]
            for call in calls:
                call.result()

    def test_send_and_receive(self):
        message = chat.Message(user_name="Ann", text="Hi! ☃")
        self.assertEqual(self.room.SendMessage(message), message)
        calls = [self.enter().ReceiveMessage(chat.Empty(), timeout=TIMEOUT) for _ in range(3)]
        for call in calls:
            self.assertEqual(next(call), message)
        for i in range(20):
            self.say(i, i)
            for call in calls:
                self.assertEqual(next(call).text, str(i))

    def test_follow_an_empty_room(self):
        call = self.room.ReceiveMessage(chat.Empty(), timeout=TIMEOUT)
        call.initial_metadata()
        self.say(1, 1)
        self.assertEqual(next(call).text, "1")

    def test_one_order_for_all(self):
        calls = [self.enter().ReceiveMessage(chat.Empty(), timeout=TIMEOUT) for _ in range(3)]
        for call in calls:
            call.initial_metadata()
        senders = [threading.Thread(target=self.say, args=(i * 1000, i * 1000 + 49, self.enter()))
                   for i in range(1, 5)]
        for sender in senders:
            sender.start()
        got = [[next(call).text for _ in range(200)] for call in calls]
        for sender in senders:
            sender.join()
        self.assertEqual(got[0], got[1])
        self.assertEqual(got[0], got[2])
        for i in range(1, 5):
            own = [t for t in got[0] if int(t) // 1000 == i]
            self.assertEqual(own, [str(n) for n in range(i * 1000, i * 1000 + 50)])

    def test_list(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--receive", "list")
        room = self.enter(server)
        self.assertEqual(list(room.ReceiveMessage(chat.Empty(), timeout=TIMEOUT)), [])
        self.say(1, 50, room)
        got = list(room.ReceiveMessage(chat.Empty(), timeout=TIMEOUT))
        self.assertEqual([m.text for m in got], [str(i) for i in range(1, 51)])

    def test_newest_are_kept(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--receive", "list")
        self.room = self.enter(server)
        self.flood(1, KEPT + 50)
        got = sorted(int(m.text) for m in self.room.ReceiveMessage(chat.Empty(), timeout=TIMEOUT))
        self.assertEqual(len(got), KEPT)
        # Of calls that ran at once the order is the server's to choose.
        self.assertGreaterEqual(got[0], 1)
        self.assertEqual(got[-1], KEPT + 50)
        self.assertEqual(got[100:], list(range(151, KEPT + 51)))

    def test_bytes_kept_are_bounded(self):
        """Of 30 messages of 4 MiB, 64 MiB are kept, and those are the newest."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--receive", "list")
        room = self.enter(server)
        text = "t" * (4 * harness.MIB - 100)
        for i in range(30):
            room.SendMessage(chat.Message(user_name=str(i), text=text), timeout=TIMEOUT)
        got = [m.user_name for m in room.ReceiveMessage(chat.Empty(), timeout=TIMEOUT)]
        self.assertEqual(got, [str(i) for i in range(14, 30)])

    def resident(self, server):
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1])

    def test_slow_reader_blocks_nobody(self):
        """One reader does not read while another gets 20,000 messages of 1 KB.
        In the end the slow one is told that it has missed some."""
        n = 2 * KEPT
        slow = self.enter().ReceiveMessage(chat.Empty(), timeout=TIMEOUT)
        fast = self.enter().ReceiveMessage(chat.Empty(), timeout=TIMEOUT)
        slow.initial_metadata()
        fast.initial_metadata()
        before = self.resident(self.server)
        text = "t" * 1000
        got = []
        came = threading.Condition()

        def read():
            for _ in range(n):
                message = next(fast)
                with came:
                    got.append(message)
                    came.notify_all()
        reading = threading.Thread(target=read)
        reading.start()
        for i in range(0, n, 100):
            for call in [self.room.SendMessage.future(
                    chat.Message(user_name=str(i + j), text=text), timeout=TIMEOUT)
                    for j in range(100)]:
                call.result()
            with came:  # a fast one is not behind by more than is kept
                self.assertTrue(came.wait_for(lambda: len(got) > i - KEPT // 10, TIMEOUT))
        reading.join(TIMEOUT)
        self.assertEqual(len(got), n)
        self.assertEqual(sorted(int(m.user_name) for m in got), list(range(n)))
        if not SANITIZED:
            # 10,000 kept messages of 1,012 bytes and what malloc adds to each
            # are 12 MiB; the slow reader's queue is at most 64 KiB and its
            # window. Were each message of 20,000 kept for it, it would be 24.
            grown = self.resident(self.server) - before
            self.assertLess(grown, 18 * 1024)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in slow:
                pass
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn("fell behind the messages", caught.exception.details())


class Shutdown(harness.Case):
    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
            server.signal(number)
            server.wait_line(r"^shutting down; open calls have 5\.0 s$")
            server.wait(0)

    def test_grace_with_an_endless_receive(self):
        """ReceiveMessage ends by itself when it is told of the shutdown."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--grace", str(TIMEOUT))
        call = chat_stubs.ChatServiceStub(self.connect(server.address)).ReceiveMessage(chat.Empty())
        call.initial_metadata()
        server.signal(signal.SIGTERM)
        self.assertEqual((call.code(), call.details()),
                         (grpc.StatusCode.UNAVAILABLE, "the server is shutting down"))
        server.wait(0)

    def test_a_stream_finishes_within_grace(self):
        """A short one, and one of more than the second that is waited for the
        answer to the drain's PING."""
        for interval in ("0.1", "0.4"):
            server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--grace",
                                str(TIMEOUT), "--interval", interval)
            call = stubs.GreeterStub(self.connect(server.address)).SayHelloStream(
                pb.HelloRequest(name="N"))
            next(call)
            server.signal(signal.SIGINT)
            server.wait_line("^shutting down")
            self.assertEqual(len(list(call)), 4)
            self.assertEqual(call.code(), grpc.StatusCode.OK)
            server.wait(0)

    def test_a_stream_outlives_grace(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--grace", "0.3",
                            "--interval", "3600")
        call = stubs.GreeterStub(self.connect(server.address)).SayHelloStream(
            pb.HelloRequest(name="N"))
        next(call)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual((call.code(), call.details()),
                         (grpc.StatusCode.UNAVAILABLE, "the server is shutting down"))
        self.assertGreaterEqual(time.monotonic() - began, 0.29)
        server.wait(0)

    def test_second_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--grace", "3600",
                                "--interval", "3600")
            call = stubs.GreeterStub(self.connect(server.address)).SayHelloStream(
                pb.HelloRequest(name="N"))
            next(call)
            server.signal(number)
            server.wait_line("^shutting down; open calls have 3600.0 s$")
            server.signal(number)
            server.wait(-number)
            self.assertEqual(call.code(), grpc.StatusCode.UNAVAILABLE)


class Listening(harness.Case):
    def hello(self, address):
        stub = stubs.GreeterStub(self.connect(address))
        return stub.SayHello(pb.HelloRequest(name="L"), timeout=TIMEOUT).message

    def test_several(self):
        path = os.path.join(self.folder(), "s")
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--listen",
                            "unix:" + path, "--listen", "127.0.0.1:0", "--loops", "2")
        second = server.wait_line(r"^listening on (.+)$")[1]
        third = server.wait_line(r"^listening on (.+)$")[1]
        self.assertEqual(second, "unix:" + path)
        self.assertEqual(len({server.address, second, third}), 3)
        for address in (server.address, second, third):
            self.assertEqual(self.hello(address), "Hello, L!")
            harness.run("greeter-client", "--target", address, "--call", "unary")
        server.stop()
        self.assertFalse(os.path.exists(path), "the socket is left behind")

    def test_dual_stack(self):
        server = self.serve("greeter-server", "--listen", "[::]:0")
        port = re.fullmatch(r"\[::\]:(\d+)", server.address)[1]
        for host in ("127.0.0.1", "[::1]", "localhost"):
            self.assertEqual(self.hello(f"{host}:{port}"), "Hello, L!")
            harness.run("greeter-client", "--target", f"{host}:{port}", "--call", "unary")

    def test_every_address_of_a_name(self):
        wanted = {a[4][0] for a in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        server = self.serve("greeter-server", "--listen", "localhost:0")
        addresses = [server.address] + [server.wait_line(r"^listening on (.+)$")[1]
                                        for _ in range(len(wanted) - 1)]
        self.assertEqual({a.rpartition(":")[0].strip("[]") for a in addresses}, wanted)
        self.assertEqual(len({a.rpartition(":")[2] for a in addresses}), 1)
        for address in addresses:
            self.assertEqual(self.hello(address), "Hello, L!")

    def test_address_in_use(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        _, errors = harness.run("greeter-server", "--listen", server.address, code=1)
        self.assertRegex(errors, rf"^greeter-server: cannot listen on {server.address}.*: "
                                 "Address already in use\n$")
        path = "unix:" + os.path.join(self.folder(), "s")
        self.serve("greeter-server", "--listen", path)
        _, errors = harness.run("greeter-server", "--listen", path, code=1)
        self.assertIn("Address already in use", errors)
        self.assertEqual(self.hello(path), "Hello, L!")


class Wrong(harness.Case):
    """Command lines that cannot be meant, and servers that are not there."""

    def test_usage(self):
        for program, args, text in (
                ("greeter-server", ["--nonsense"], "unrecognized option"),
                ("greeter-server", ["extra"], "unexpected argument: extra"),
                ("greeter-server", ["--interval", "x"], '--interval: "x" is not a number of sec'),
                ("greeter-server", ["--interval", "-1"], "--interval"),
                ("greeter-server", ["--grace", ""], "--grace"),
                ("greeter-server", ["--loops", "0"], "whole number from 1 to 64"),
                ("greeter-server", ["--receive", "x"], "neither follow nor list"),
                ("greeter-server", ["--listen"], "requires an argument"),
                ("greeter-client", ["--nonsense"], "unrecognized option"),
                ("greeter-client", ["extra"], "unexpected argument: extra"),
                ("greeter-client", ["--call", "x"], '--call: "x" is none of unary'),
                ("greeter-client", ["--age", "old"], "--age"),
                ("greeter-client", ["--count", "-1"], "--count"),
                ("greeter-client", ["--timeout", "nan"], "--timeout"),
                ("greeter-client", ["--target", "nowhere:port"], "--target: nowhere:port: ")):
            with self.subTest((program, *args)):
                out, errors = harness.run(program, *args, code=2)
                self.assertEqual(out, "")
                self.assertIn(text, errors)
                self.assertTrue(errors.endswith(f"Try: {program} --help\n"), errors)

    def test_bad_address_of_a_server(self):
        for address in ("nonsense", "127.0.0.1:99999", "256.1.1.1:0", "unix:"):
            with self.subTest(address):
                _, errors = harness.run("greeter-server", "--listen", address, code=1)
                self.assertIn(f"greeter-server: cannot listen on {address}: ", errors)

    def test_help_and_version(self):
        for program, options in (
                ("greeter-server", ["listen", "interval", "server-id", "receive", "loops", "grace"]),
                ("greeter-client", ["target", "call", "name", "age", "count", "text", "timeout",
                                    "connect-timeout"])):
            out, errors = harness.run(program, "--help")
            self.assertTrue(out.startswith(f"Usage: {program} "))
            self.assertEqual(errors, "")
            for option in options + ["help", "version"]:
                self.assertIn("--" + option, out)
            self.assertTrue(all(len(line) <= 80 for line in out.splitlines()), out)
            out, errors = harness.run(program, "--version")
            self.assertRegex(out, rf"^{program} \d+\.\d+\.\d+\n$")

    def test_no_server(self):
        port = harness.lasting_port()
        _, errors = harness.run("greeter-client", "--target", f"ipv4:127.0.0.1:{port}",
                                "--connect-timeout", "3", code=1)
        # With TLS there is more that could be wrong than a server that is not there.
        end = "Connection refused\n" if harness.TLS else "greeter-server --listen ADDRESS\n"
        self.assertTrue(errors.endswith(end), errors)
        began = time.monotonic()
        for target in (f"127.0.0.1:{port}", "unix:/nonexistent/socket"):
            _, errors = harness.run("greeter-client", "--target", target, "--connect-timeout",
                                    "0.5", code=1)
            hint = "" if harness.TLS else (r"\. Is the server running\? Start it with: "
                                           rf"greeter-server --listen {target}")
            self.assertRegex(errors, rf"^greeter-client: {target} {UNREACHABLE}: .+{hint}\n$")
        self.assertLess(time.monotonic() - began, TIMEOUT / 2)

    def test_a_server_that_is_none(self):
        """It takes connections and says nothing, or not HTTP/2."""
        with socket.create_server(("127.0.0.1", 0)) as mute:
            _, errors = harness.run("greeter-client", "--target",
                                    "127.0.0.1:%d" % mute.getsockname()[1],
                                    "--connect-timeout", "0.5", code=1)
            self.assertIn(UNREACHABLE, errors)
        with socket.create_server(("127.0.0.1", 0)) as rude:
            rude.settimeout(TIMEOUT)

            def answer():
                connection = rude.accept()[0]
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1000)
                connection.close()
            thread = threading.Thread(target=answer)
            thread.start()
            _, errors = harness.run("greeter-client", "--target",
                                    "127.0.0.1:%d" % rude.getsockname()[1],
                                    "--connect-timeout", "0.5", code=1)
            thread.join()
            self.assertIn(UNREACHABLE, errors)


class PythonGreeter(stubs.GreeterServicer):
    """The Greeter written anew, in Python."""

    def reply(self, text):
        return pb.HelloReply(message=text, timestamp="2026-11-21T09:30:00.123456",
                             server_id="python")

    def SayHello(self, request, context):
        if request.name == "nobody":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such person: 100% näbody")
        old = f" You are {request.age} years old." if request.age else ""
        return self.reply(f"Hello, {request.name}!{old}")

    def SayHelloStream(self, request, context):
        for i in range(1, 6):
            yield self.reply(f"Hello {request.name}! This is message #{i}")

    def SayHelloToMany(self, requests, context):
        ages = [r.age for r in requests]
        if not ages:
            return self.reply("Hello to 0 people!")
        return self.reply(f"Hello to {len(ages)} people! Average age: {sum(ages) / len(ages):.1f}")

    def Chat(self, requests, context):
        for i, request in enumerate(requests, 1):
            yield self.reply(f"Echo #{i}: {request.name}")


class ClientProgram(harness.Case):
    """greeter-client with Python's server, and with greeter-server."""

    def python_server(self):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
        stubs.add_GreeterServicer_to_server(PythonGreeter(), server)
        port = harness.add_port(server)
        server.start()
        self.addCleanup(lambda: server.stop(None).wait(TIMEOUT))
        return f"127.0.0.1:{port}"

    def c_server(self):
        return self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "0.01",
                          "--server-id", "python").address

    def expect(self, address, args, lines):
        out, errors = harness.run("greeter-client", "--target", address, *args)
        self.assertEqual(errors, "")
        got = out.splitlines()
        for line in got:
            self.assertRegex(line, r" \(python, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\)$")
        self.assertEqual([line.rpartition(" (")[0] for line in got], lines)

    def test_calls(self):
        unary = ["Hello, World! You are 30 years old."]
        stream = [f"Hello World! This is message #{i}" for i in range(1, 6)]
        many = ["Hello to 3 people! Average age: 31.0"]
        bidi = ["Echo #1: World", "Echo #2: World 2", "Echo #3: World 3"]
        for address in (self.python_server(), self.c_server()):
            self.expect(address, [], unary + stream + many + bidi)
            for call, lines in (("unary", unary), ("server-stream", stream),
                                ("client-stream", many), ("bidi", bidi)):
                self.expect(address, ["--call", call], lines)
            self.expect(address, ["--call", "unary", "--name", "Zoë", "--age", "0"],
                        ["Hello, Zoë!"])
            self.expect(address, ["--call", "client-stream", "--count", "0"],
                        ["Hello to 0 people!"])
            self.expect(address, ["--call", "client-stream", "--count", "10000", "--age", "1"],
                        ["Hello to 10000 people! Average age: 5000.5"])
            self.expect(address, ["--call", "bidi", "--count", "0"], [])
            self.expect(address, ["--call", "bidi", "--count", "200", "--name", "B"],
                        ["Echo #1: B"] + [f"Echo #{i}: B {i}" for i in range(2, 201)])

    def test_error_of_the_server(self):
        out, errors = harness.run("greeter-client", "--target", self.python_server(), "--name",
                                  "nobody", code=1)
        self.assertEqual((out, errors), ("", "greeter-client: SayHello: NOT_FOUND: "
                                             "no such person: 100% näbody\n"))
        _, errors = harness.run("greeter-client", "--target", self.python_server(), "--call",
                                "send", code=1)
        self.assertEqual(errors, "greeter-client: SendMessage: UNIMPLEMENTED: Method not found!\n")

    def test_timeout(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3600")
        out, errors = harness.run("greeter-client", "--target", server.address, "--call",
                                  "server-stream", "--timeout", "3", code=1)
        self.assertRegex(out, r"^Hello World! This is message #1 ")
        self.assertRegex(errors, r"^greeter-client: SayHelloStream: DEADLINE_EXCEEDED: .+\n$")
        # The shortest deadline is no missing one.
        _, errors = harness.run("greeter-client", "--target", server.address, "--call",
                                "server-stream", "--timeout", "1e-9", code=1)
        self.assertRegex(errors, r"DEADLINE_EXCEEDED")

    def test_oldest_people(self):
        self.expect(self.c_server(), ["--call", "client-stream", "--age", str(2**31 - 1)],
                    [f"Hello to 3 people! Average age: {2**31 - 1}.0"])

    def test_text_that_would_steer_a_terminal(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        out, _ = harness.run("greeter-client", "--target", server.address, "--call", "send",
                             "--name", "A\x1b[2J\nB", "--text", "\u009bm é\x7f")
        self.assertEqual(out, "A\\x1b[2J\\x0aB: \\xc2\\x9bm é\\x7f\n")

    def test_output_that_fails(self):
        """A full disk or a reader that goes is an error of the program."""
        address = self.c_server()
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(harness.command("greeter-client", "--target", address),
                                  stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT,
                                  check=False, env=harness.environment())
        self.assertEqual((done.returncode, done.stderr),
                         (1, "greeter-client: cannot write the replies\n"))

    def test_log_that_nobody_reads(self):
        """The server outlives whoever read its log."""
        path = os.path.join(self.folder(), "socket")
        server = subprocess.Popen(harness.command("greeter-server", "--listen", "unix:" + path),
                                  stdout=subprocess.PIPE, env=harness.environment())
        try:
            self.assertIn(b"listening", server.stdout.readline())
            server.stdout.close()
            for _ in range(3):
                harness.run("greeter-client", "--target", "unix:" + path, "--call", "unary")
        finally:
            server.terminate()
            self.assertEqual(server.wait(TIMEOUT), 0)

    def test_send_and_receive(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        receiver = harness.Child(*harness.command("greeter-client", "--target",
                                                  server.address, "--call", "receive"))
        for text in ("Hi!", "ünd ☃"):
            out, _ = harness.run("greeter-client", "--target", server.address, "--call", "send",
                                 "--name", "Ann", "--text", text)
            self.assertEqual(out, f"Ann: {text}\n")
            receiver.wait_line(f"^Ann: {text}$")
        server.stop()
        errors = receiver.wait(1)
        self.assertEqual(errors, "greeter-client: ReceiveMessage: UNAVAILABLE: "
                                 "the server is shutting down\n")


if __name__ == "__main__":
    harness.main()
