"""What an operator does with the connections of a running server: limits of idleness and
age, keepalive, systemd. Python's client and ours notice nothing that they need not."""
import os
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from concurrent import futures

import harness
from harness import MIB, TIMEOUT, grpc, scaled
import steady

import greeter_pb2 as pb
import greeter_pb2_grpc as stubs
import peer_pb2
import peer_pb2_grpc as peer_stubs

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY, ACK = 4, 6, 7, 1
LOG = r"^\S+ (\S+) (\S+) (\w+) ([0-9.]+) ms, (\d+) in, (\d+) out(: .*)?$"


class Raw:
    """A client made of frames, which answers PINGs until it is told not to."""

    def __init__(self, address):
        self.socket = harness.connect_raw(address)
        self.socket.sendall(PREFACE)
        self.send(SETTINGS)
        self.bytes = b""

    def send(self, kind, flags=0, payload=b""):
        self.socket.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
                            bytes(4) + payload)

    def frame(self):
        """Type, flags and payload of the next; None at the end."""
        def have(n):
            while len(self.bytes) < n:
                more = self.socket.recv(65536)
                if not more:
                    return False
                self.bytes += more
            return True
        if not have(9):
            return None
        length = int.from_bytes(self.bytes[:3], "big")
        kind, flags = self.bytes[3], self.bytes[4]
        if not have(9 + length):
            return None
        payload, self.bytes = self.bytes[9:9 + length], self.bytes[9 + length:]
        return kind, flags, payload

    def until_the_end(self, answer=True, leave_after=None):
        """(code, debug data) of each GOAWAY, how many PINGs came, and when it ended: by the
        server, or by us after so many of them."""
        goaways, pings = [], 0
        while frame := self.frame():
            kind, flags, payload = frame
            if kind == GOAWAY:
                goaways.append((int.from_bytes(payload[4:8], "big"), payload[8:].decode()))
            if kind == PING and not flags & ACK:
                pings += 1
                if answer:
                    self.send(PING, ACK, payload)
                if pings == leave_after:
                    self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()
        return goaways, pings, time.monotonic()


class Limits(steady.Case):
    def test_an_idle_connection(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0",
                            "--max-connection-idle", "0.2")
        began = time.monotonic()
        goaways, _, ended = Raw(server.address).until_the_end()
        self.assertEqual(goaways, [(0, ""), (0, "max_idle")])
        self.assertGreater(ended - began, 0.19)
        stub = stubs.GreeterStub(self.connect(server.address))
        for _ in range(3):
            self.assertEqual(stub.SayHello(pb.HelloRequest(name="I"), timeout=TIMEOUT).message,
                             "Hello, I!")
            time.sleep(0.25)  # it loses the connection

    def test_ages_under_load(self):
        """Each connection lives for 0.1 s or so, and no call is lost."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "0.01",
                            "--max-connection-age", "0.1", "--max-connection-age-grace",
                            str(TIMEOUT))
        load, ours = self.load(server.address)
        load.wait(scaled(1000))
        self.check(load, ours)
        peers = {line.split()[1] for line in list(server.lines) if "SayHello" in line}
        self.assertGreater(len(peers), 10)

    def test_the_grace_of_an_old_connection(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3600",
                            "--max-connection-age", "0.1", "--max-connection-age-grace", "3")
        stub = stubs.GreeterStub(self.connect(server.address))
        began = time.monotonic()
        call = stub.SayHelloStream(pb.HelloRequest(name="N"))
        next(call)  # what has not come when the connection ends is lost
        with self.assertRaises(grpc.RpcError) as caught:
            next(call)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertGreater(time.monotonic() - began, 3.08)
        self.assertEqual(server.wait_line(LOG)[3], "CANCELLED")


CLIENT = """
import sys, harness
import greeter_pb2 as pb, greeter_pb2_grpc as stubs
options = [(name, int(value)) for name, value in (o.split("=") for o in sys.argv[2:])]
call = stubs.GreeterStub(harness.channel_to(sys.argv[1], *options)).SayHelloStream(
    pb.HelloRequest(name="N"))
print(next(call).message, flush=True)
next(call)
"""


LAUNCHER = """
import ast, os, sys
for i, fd in enumerate(ast.literal_eval(sys.argv[1])):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Keepalive(steady.Case):
    """Both sides, with Python's at the other end."""

    EAGER = (("grpc.keepalive_time_ms", 100), ("grpc.keepalive_timeout_ms", 20000),
             ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0))

    def python_client(self, address, *options):
        return harness.Child(sys.executable, "-c", CLIENT, address,
                             *(f"{name}={value}" for name, value in options),
                             env={"GRPC_VERBOSITY": "ERROR"})

    def test_a_client_that_asks_too_often(self):
        """Python's client every 0.1 s, or as often as it thinks right; ours wants 5 minutes.
        It knows what the GOAWAY means, and says so."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3600")
        client = self.python_client(server.address, *self.EAGER)
        client.wait_line("^Hello N!")
        errors = client.wait(1)
        self.assertIn("StatusCode.UNAVAILABLE", errors)
        self.assertRegex(errors, 'ENHANCE_YOUR_CALM and debug data equal to "too_many_pings"')
        self.assertEqual(server.wait_line(LOG)[3], "CANCELLED")

    def test_a_client_that_may(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3",
                            "--permit-keepalive-time", "0.05",
                            "--permit-keepalive-without-calls")
        channel = self.connect(server.address, *self.EAGER)
        replies = []
        stub = stubs.GreeterStub(channel)
        call = stub.SayHelloStream(pb.HelloRequest(name="N"), timeout=TIMEOUT)
        replies.append(next(call))
        replies.append(next(call))
        call.cancel()
        line = server.wait_line(LOG)
        self.assertEqual((line[3], len(replies)), ("CANCELLED", 2))

    def test_frames_too_often(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        raw = Raw(server.address)
        for _ in range(3):
            raw.send(PING, 0, b"12345678")
            while True:
                kind, flags, payload = raw.frame()
                if kind == PING:
                    break
            self.assertEqual((flags, payload), (ACK, b"12345678"))
        raw.send(PING, 0, b"12345678")
        goaways, _, _ = raw.until_the_end()
        self.assertEqual(goaways, [(11, "too_many_pings")])

    def test_pings_that_measure(self):
        """Python's client measures its path while it receives; a slow path is one where
        much is still on its way when the server has said all."""
        server = self.serve("peer-server")
        relay = Relay(server.address)
        self.addCleanup(relay.close)
        for address in (server.address, relay.address):
            stub = peer_stubs.CallbackStub(self.connect(address))
            for size, n in ((2 * MIB, 4), (100, 5000), (64 * 1024, 60)):
                order = peer_pb2.Order(size=size, replies=scaled(n))
                got = list(stub.Replies(order, timeout=TIMEOUT))
                self.assertEqual(len(got), scaled(n))
        self.assertGreater(relay.passed, MIB)

    def test_a_client_that_hangs(self):
        """The process is stopped: its kernel goes on, it does not answer."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3600",
                            "--keepalive-time", "1", "--keepalive-timeout", "0.3")
        client = self.python_client(server.address)
        client.wait_line("^Hello N!")
        client.signal(signal.SIGSTOP)
        line = server.wait_line(LOG)
        client.signal(signal.SIGCONT)
        client.kill()
        self.assertEqual((line[2], line[3]), ("/greeter.Greeter/SayHelloStream", "CANCELLED"))
        self.assertGreater(float(line[4]), 1200)

    def test_a_client_that_answers(self):
        """A third PING comes only to who has answered two, and then nothing has ended."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3600",
                            "--keepalive-time", "1", "--keepalive-timeout", "3")
        began = time.monotonic()
        goaways, pings, ended = Raw(server.address).until_the_end(leave_after=3)
        self.assertEqual((goaways, pings), ([], 3))
        self.assertGreaterEqual(ended - began, 3)
        self.assertLess(ended - began, 5)
        began = time.monotonic()
        _, pings, ended = Raw(server.address).until_the_end(answer=False)
        self.assertEqual(pings, 1)
        self.assertGreaterEqual(ended - began, 4)

    def test_our_client_and_a_server_that_hangs(self):
        # It minds no PINGs, for there may be many before it hangs.
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "3600",
                            "--permit-keepalive-time", "0.01",
                            "--permit-keepalive-without-calls")
        client = harness.Child(*harness.command("peer-pinger"), server.address, "50", "200")
        client.wait_line("^waiting$")
        server.signal(signal.SIGSTOP)
        end = client.wait_line("^ended: (.*)$")[1]
        server.signal(signal.SIGCONT)
        self.assertIn("UNAVAILABLE: ", end)
        self.assertIn("keepalive: nothing came in 200 ms after a PING", end)
        client.wait()

    def python_server(self, *options):
        class Greeter(stubs.GreeterServicer):
            def SayHelloStream(self, request, context):
                yield pb.HelloReply(message="first")
                context.add_callback(done.set)
                done.wait(TIMEOUT)
        done = threading.Event()
        server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
        stubs.add_GreeterServicer_to_server(Greeter(), server)
        port = harness.add_port(server)
        server.start()
        self.addCleanup(lambda: (done.set(), server.stop(0).wait()))
        return f"127.0.0.1:{port}"

    def test_our_client_asks_too_often(self):
        """Python's server minds: the connection ends, and the next one asks half as often."""
        client = harness.Child(*harness.command("peer-pinger"), self.python_server(), "50",
                               "20000")
        client.wait_line("^waiting$")
        end = client.wait_line("^ended: (.*)$")[1]
        self.assertIn("UNAVAILABLE: ", end)
        self.assertRegex(end, "too_many_pings|Too many pings")
        self.assertRegex(client.wait_line("^channel: (.*)$")[1],
                         r"too_many_pings\); the keepalive time is 100 ms from now on$")
        client.wait()

    def test_our_client_may(self):
        """Some 40 PINGs in a row."""
        address = self.python_server(("grpc.http2.min_ping_interval_without_data_ms", 10))
        client = harness.Child(*harness.command("peer-pinger"), address, "50", "20000")
        client.wait_line("^waiting$")
        time.sleep(2)
        self.assertIsNone(client.process.poll())
        self.assertEqual(client.lines, ["waiting"])
        client.stop()


class Relay:
    """Passes on what the server says, slowly, and holds little of it."""

    def __init__(self, address):
        self.target = address.split(":")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.passed = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                client, _ = self.listener.accept()
                server = socket.socket()
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
                server.connect((self.target[0], int(self.target[1])))
                for pair in ((client, server, 0), (server, client, 0.002)):
                    threading.Thread(target=self.run, args=pair, daemon=True).start()
        except OSError:
            return

    def run(self, source, sink, pause):
        try:
            while data := source.recv(16384):
                sink.sendall(data)
                self.passed += len(data)
                time.sleep(pause)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


class Systemd(steady.Case):
    """With the tool of systemd where it is installed, and by its protocol."""

    def activated(self, sockets, *args, names=None, env=None):
        """A server that gets these sockets from 3 on, as systemd gives them."""
        full = {"LISTEN_FDS": str(len(sockets)), **(env or {})}
        if names:
            full["LISTEN_FDNAMES"] = names
        fds = [s.fileno() for s in sockets]
        return harness.Child(sys.executable, "-c", LAUNCHER, repr(fds),
                             *harness.command("greeter-server", *args), env=full, fds=fds)

    def listeners(self, n):
        # Away from those numbers to which they will be moved.
        made = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
        moved = []
        for i, s in enumerate(made):
            os.dup2(s.fileno(), 200 + i)
            s.close()
            moved.append(socket.socket(fileno=200 + i))
            self.addCleanup(moved[-1].close)
        return moved

    def address(self, sock):
        return "127.0.0.1:%d" % sock.getsockname()[1]

    def test_all_sockets(self):
        sockets = self.listeners(2)
        server = self.activated(sockets, "--listen", "systemd:")
        for sock in sockets:
            self.assertEqual(server.wait_line(r"^listening on (.+)$")[1], self.address(sock))
            self.hello(self.address(sock))
        server.stop()
        # They are systemd's: the next server has them, and who comes meanwhile waits.
        waiting = socket.create_connection(sockets[0].getsockname())
        waiting.close()
        server = self.activated(sockets, "--listen", "systemd:")
        self.hello(self.address(sockets[0]))
        server.stop()

    def test_sockets_by_name(self):
        sockets = self.listeners(3)
        server = self.activated(sockets, "--listen", "systemd:web", names="web:admin:web")
        listens = [server.wait_line(r"^listening on (.+)$")[1] for _ in range(2)]
        self.assertEqual(listens, [self.address(sockets[0]), self.address(sockets[2])])
        self.hello(listens[1])
        server.stop()

    def test_no_such_name(self):
        server = self.activated(self.listeners(1), "--listen", "systemd:web", names="admin")
        self.assertEqual(server.wait(1), "greeter-server: cannot listen on systemd:web: systemd "
                                         "passed no socket named web to this process\n")

    def test_the_tool(self):
        tool = shutil.which("systemd-socket-activate")
        if not tool:
            self.skipTest("systemd-socket-activate is not installed")
        address = f"127.0.0.1:{harness.lasting_port()}"
        server = harness.Child(tool, "-l", address, "--fdname=web",
                               *harness.command("greeter-server", "--listen", "systemd:web"))
        stub = stubs.GreeterStub(self.connect(address))
        reply = stub.SayHello(pb.HelloRequest(name="T"), timeout=TIMEOUT, wait_for_ready=True)
        self.assertEqual(reply.message, "Hello, T!")
        server.wait_line(f"^listening on {address}$")
        server.stop()

    def check_states(self, name):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(peer.close)
        peer.bind("\0" + name[1:] if name[0] == "@" else name)
        peer.settimeout(TIMEOUT)
        env = {"NOTIFY_SOCKET": name}
        path = os.path.join(self.folder(), "control")
        args = ("--listen", "127.0.0.1:0", "--takeover", path)
        first = harness.Server("greeter-server", *args, env=env)
        self.assertEqual(peer.recv(1000), b"READY=1")
        second = harness.Server("greeter-server", *args, env=env)
        told = {peer.recv(1000), peer.recv(1000)}
        self.assertEqual(told, {b"READY=1", b"MAINPID=%d\nREADY=1" % second.process.pid})
        first.wait(0)
        second.stop()
        self.assertEqual(peer.recv(1000), b"STOPPING=1")

    def test_states(self):
        self.check_states(os.path.join(self.folder(), "notify"))
        self.check_states(f"@caw-notify-{os.getpid()}")

    def test_nobody_to_be_told(self):
        for name in ("/nonexistent/notify", "relative", "@", "vsock:2:1", "x" * 200):
            server = harness.Server("greeter-server", "--listen", "127.0.0.1:0",
                                    env={"NOTIFY_SOCKET": name})
            self.hello(server.address)
            server.stop()


if __name__ == "__main__":
    harness.main()
