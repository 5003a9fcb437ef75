"""Several servers and several clients, of C and of Python, at once; and the
Python program that README.md prints."""
import concurrent.futures
import os
import re
import subprocess
import sys
import unittest

import harness
from harness import TIMEOUT, scaled

import chat_service_pb2 as chat
import chat_service_pb2_grpc as chat_stubs
import greeter_pb2 as pb
import greeter_pb2_grpc as stubs


class Many(harness.Case):
    def python_client(self, address, server_id, number):
        with harness.channel_to(address) as channel:
            stub = stubs.GreeterStub(channel)
            room = chat_stubs.ChatServiceStub(channel)
            ids = set()
            for i in range(scaled(100)):
                name = f"{number}.{i}"
                reply = stub.SayHello(pb.HelloRequest(name=name), timeout=TIMEOUT)
                assert reply.message == f"Hello, {name}!", reply
                ids.add(reply.server_id)
                room.SendMessage(chat.Message(user_name=server_id, text=name), timeout=TIMEOUT)
            replies = list(stub.Chat((pb.HelloRequest(name=str(i)) for i in range(200)),
                                     timeout=TIMEOUT))
            assert [r.message for r in replies] == [f"Echo #{i + 1}: {i}" for i in range(200)]
            ids.update(r.server_id for r in replies)
            ids.update(r.server_id for r in stub.SayHelloStream(pb.HelloRequest(),
                                                                timeout=TIMEOUT))
            return ids

    def c_client(self, address):
        out, _ = harness.run("greeter-client", "--target", address, "--count", "50")
        assert len(out.splitlines()) == 1 + 5 + 1 + 50, out
        return set(re.findall(r"\((\w+), [^)]+\)$", out, re.M))

    def test_two_servers_and_many_clients(self):
        servers = {name: self.serve("greeter-server", "--listen", "127.0.0.1:0", "--server-id",
                                    name, "--interval", "0.01", "--loops", "2", "--receive", "list")
                   for name in ("one", "two")}
        jobs = []
        with concurrent.futures.ThreadPoolExecutor(max_workers=24) as pool:
            for i in range(6):
                for name, server in servers.items():
                    jobs.append((name, pool.submit(self.python_client, server.address, name, i)))
                    jobs.append((name, pool.submit(self.c_client, server.address)))
            for name, job in jobs:
                self.assertEqual(job.result(), {name})
        for name, server in servers.items():
            room = chat_stubs.ChatServiceStub(self.connect(server.address))
            got = list(room.ReceiveMessage(chat.Empty(), timeout=TIMEOUT))
            self.assertEqual({m.user_name for m in got}, {name})
            self.assertEqual(len(got), 6 * scaled(100))
            for i in range(6):
                own = [m.text for m in got if m.text.startswith(f"{i}.")]
                self.assertEqual(own, [f"{i}.{j}" for j in range(scaled(100))])

    def test_one_of_two_stops(self):
        """Clients of the other server do not notice."""
        one = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--server-id", "one")
        two = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--server-id", "two")
        feed = harness.Feed(pb.HelloRequest(name="a"))
        call = stubs.GreeterStub(self.connect(two.address)).Chat(feed, timeout=TIMEOUT)
        self.assertEqual(next(call).server_id, "two")
        one.stop()
        feed.put(pb.HelloRequest(name="b"))
        self.assertEqual(next(call).message, "Echo #2: b")
        feed.end()
        self.assertEqual(list(call), [])


@unittest.skipIf(harness.TLS, "the program is for plaintext")
class Readme(harness.Case):
    def test_python_program(self):
        with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as readme:
            text = readme.read()
        code = re.search(r"/usr/bin/python3 -c '\n(.*?)'\n```", text, re.S)[1]
        self.assertEqual(code.count("127.0.0.1:50051"), 1)
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "0.01")
        done = subprocess.run(
            [sys.executable, "-c", code.replace("127.0.0.1:50051", server.address)],
            env={**os.environ, "PYTHONPATH": os.environ["CAW_STUBS"]}, capture_output=True,
            text=True, timeout=TIMEOUT, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.splitlines(),
                         ["Hello, Python! You are 34 years old."]
                         + [f"Hello Python! This is message #{i}" for i in range(1, 6)])


if __name__ == "__main__":
    harness.main()
