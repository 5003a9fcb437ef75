"""Honest traffic, of which there is much, and whose form is unusual: no limit of a server may
hit it. A program that knows nothing of Caw (peer-watcher) stands between clients and server
and counts what the server's GOAWAY and RST_STREAM frames say. That it would see them is
tested, too: by traffic that is not honest, and by a server with a limit that is too low.

HONEST_LONG=1 makes the long forms (`make soak`): cancels for five minutes, and the like."""
import os
import re
import socket
import subprocess
import time
import unittest

import harness
from harness import TIMEOUT, grpc

LONG = os.environ.get("HONEST_LONG") == "1"
NO_ERROR, CANCEL = 0x0, 0x8
BYTES = {"request_serializer": bytes, "response_deserializer": bytes}


def many(n, sanitized, long=None):
    """How much of something: with sanitizers all is ten times slower."""
    if LONG:
        return long or n
    return sanitized if harness.SANITIZED else n


class Watcher(harness.Child):
    """What stands in between, and what it has seen."""

    def __init__(self, server, *flags):
        super().__init__(harness.program("peer-watcher"), *flags, server.address.rsplit(":", 1)[1])
        self.address = self.wait_line(r"^listening on (.+)$").group(1)

    def seen(self):
        """(connections, those that were cut, codes of GOAWAY, codes of RST_STREAM)."""
        self.send("?")
        line = self.wait_line(r"^connections (\d+), cut (\d+), goaway \d+:?(.*), reset \d+:?(.*)$")
        codes = [{int(code, 16): int(n) for code, n in re.findall(r"(0x\w+) (\d+)", text)}
                 for text in line.group(3, 4)]
        return int(line[1]), int(line[2]), *codes

    def end(self):
        self.process.stdin.close()
        self.process.wait(TIMEOUT)
        self.kill_quietly()

    def kill_quietly(self):
        self.checked = True
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.errors.close()


class Honest(harness.Case):
    def begin(self, *flags, server=("server",), program="peer-honest"):
        if program == "peer-honest":
            self.server = harness.Server("peer-honest", *server)
        else:
            self.server = harness.Server(program, *server)
        self.addCleanup(lambda: None if self.server.checked else self.server.stop())
        self.watcher = Watcher(self.server, *flags)
        self.addCleanup(self.watcher.kill_quietly)
        return self.watcher.address

    def traffic(self, name, n, env=None):
        """Makes it; the outcomes of its calls, and how many replies came."""
        full = harness.environment()
        full.update(env or {})
        done = subprocess.run([harness.program("peer-honest"), name, self.watcher.address, str(n)],
                              capture_output=True, text=True, env=full, check=False,
                              timeout=900 if LONG else 3 * TIMEOUT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIsNone(harness.SANITIZER.search(done.stderr), done.stderr)
        last = re.search(r"^replies (\d+);(.*)$", done.stdout, re.M)
        return {k: int(v) for k, v in re.findall(r"(\w+) (\d+)", last[2])}, int(last[1])

    def unharmed(self, resets=(), connections=None):
        """Nothing came from a limit. `resets`: codes of RST_STREAM that are no limit's."""
        seen = self.watcher.seen()
        count, cut, goaways, found = seen
        print(f"{self.id().split('.')[-1]}: {count} connections, goaway {goaways}, reset {found}")
        self.assertGreater(count, 0)
        self.assertEqual(cut, 0, seen)
        self.assertEqual(goaways, {}, seen)
        self.assertEqual([code for code in found if code not in resets], [], seen)
        if connections:
            self.assertEqual(count, connections, seen)
        self.server.stop()


class Caw(Honest):
    """Caw's own client, with the defaults."""

    def check(self, name, n, outcomes, replies=None, env=None, resets=(), connections=1,
              flags=()):
        self.begin(*flags)
        got, came = self.traffic(name, n, env)
        self.assertEqual(got, outcomes)
        if replies is not None:
            self.assertEqual(came, replies)
        self.unharmed(resets, connections)

    def test_a_million_tiny_requests(self):
        self.check("tiny-up", many(1000000, 50000), {"OK": 1})

    def test_a_million_tiny_replies(self):
        n = many(1000000, 50000)
        self.check("tiny-down", n, {"OK": 1}, n)

    def test_tiny_both_ways(self):
        n = many(300000, 20000, 1000000)
        self.check("tiny-both", n, {"OK": 1}, n)

    def test_ten_thousand_of_600(self):
        n = many(10000, 3000)
        self.check("medium", n, {"OK": 1}, n)

    def test_sixty_cancels_a_second(self):
        n = many(360, 240, 60 * 300)
        self.check("cancels", n, {"CANCELLED": n})

    def test_five_thousand_calls_a_second(self):
        n = many(15000, 2000, 300000)
        self.check("paced", n, {"OK": n}, n)

    def test_a_slow_reader(self):
        # Longer than the 30 s for which a write may make no progress.
        n = 3 if LONG else 5
        self.check("slow-reader", n, {"OK": 1}, n, {"HONEST_PAUSE": "40000" if LONG else "200"})

    def test_a_thousand_idle_connections(self):
        n = many(1000, 200)
        self.check("idle", n, {"OK": n}, n, {"HONEST_PAUSE": "60000" if LONG else "1500"},
                   connections=n)

    def test_expired_tokens(self):
        n = many(20000, 3000, 500000)
        self.check("tokens", n, {"UNAUTHENTICATED": n}, 0)

    def test_expired_deadlines(self):
        # The server's clock may be the first, which says so by CANCEL; or by a status before
        # the request has ended, and NO_ERROR.
        n = many(10000, 1000, 200000)
        self.check("deadlines", n, {"DEADLINE_EXCEEDED": n}, 0,
                   resets=(CANCEL, NO_ERROR))

    def test_expired_deadlines_on_a_busy_machine(self):
        """Client and server come late to all they do, and by more than many of the deadlines."""
        for _ in range(8):
            busy = subprocess.Popen(["timeout", "60", "sh", "-c", "while :; do :; done"])
            self.addCleanup(busy.wait)
            self.addCleanup(busy.terminate)
        self.check("deadlines", 10000, {"DEADLINE_EXCEEDED": 10000}, 0, resets=(CANCEL, NO_ERROR))

    def test_each_byte_in_a_segment_of_its_own(self):
        n = many(2000, 200)
        self.check("paced", n, {"OK": n}, n, flags=("--dribble",))
        self.check("tiny-up", n, {"OK": 1}, flags=("--dribble",))


class Controls(Honest):
    """What the watcher is for."""

    def goaways(self):
        """Their codes, as soon as there is one."""
        until = time.monotonic() + TIMEOUT
        while True:
            _, _, goaways, _ = self.watcher.seen()
            if goaways or time.monotonic() > until:
                return list(goaways)

    def test_cancels_without_a_pause_are_seen(self):
        self.begin()
        self.traffic("rapid", 2000)
        self.assertEqual(self.goaways(), [0xb])
        self.server.stop()

    def test_a_limit_that_is_too_low_is_seen(self):
        self.begin(server=("server", "strict"))
        outcomes, _ = self.traffic("paced", 50)
        self.assertEqual(list(outcomes), ["UNAVAILABLE"])
        self.assertEqual(self.goaways(), [0xb])
        self.server.stop()

    def test_a_cut_is_seen(self):
        """A client that has not said that it leaves: after GOAWAY either may be the first."""
        address = self.begin()
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), TIMEOUT) as client:
            client.settimeout(TIMEOUT)
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            self.assertNotEqual(client.recv(1), b"")
            self.assertEqual(self.watcher.seen()[:3], (1, 0, {}))
            self.server.kill()
            while client.recv(4096):
                pass
            self.assertEqual(self.watcher.seen()[:3], (1, 1, {}))


class Python(Honest):
    """gRPC's C core by Python, with its defaults."""

    def setUp(self):
        self.address = self.begin()
        self.channel = grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(self.channel.close)

    def call(self, name):
        return self.channel.unary_unary("/test.Honest/" + name, **BYTES)

    def test_unary(self):
        echo = self.call("Echo")
        pending = [echo.future(b"x" * 600, timeout=TIMEOUT) for _ in range(many(2000, 300, 50000))]
        self.assertEqual({len(p.result()) for p in pending}, {600})
        self.unharmed()

    def test_streams(self):
        both = self.channel.stream_stream("/test.Honest/Both", **BYTES)
        n = many(5000, 500, 100000)
        self.assertEqual(sum(len(r) for r in both((b"y" for _ in range(n)), timeout=10 * TIMEOUT)), n)
        give = self.channel.unary_stream("/test.Honest/Give", **BYTES)
        self.assertEqual(sum(len(r) for r in give(b"3 4194200", timeout=TIMEOUT)), 3 * 4194200)
        self.unharmed()

    def test_cancels(self):
        waits = self.call("Waits")
        for _ in range(many(240, 180, 60 * 300)):
            call = waits.future(b"")
            time.sleep(1 / 60)
            call.cancel()
        self.assertEqual(self.call("Echo")(b"z", timeout=TIMEOUT), b"z")
        self.unharmed()

    def test_deadlines(self):
        """A storm: hundreds at a time, each with some milliseconds. On a busy machine the C core
        may read the server's CANCEL before it has looked at its clock, and believes it."""
        waits = self.call("Waits")
        for _ in range(many(10, 3, 300)):
            calls = [waits.future(b"", timeout=0.001 * (1 + i % 20)) for i in range(200)]
            codes = {c.code() for c in calls} - {grpc.StatusCode.CANCELLED}
            self.assertEqual(codes, {grpc.StatusCode.DEADLINE_EXCEEDED})
        self.assertEqual(self.call("Echo")(b"z", timeout=TIMEOUT), b"z")
        self.unharmed(resets=(CANCEL, NO_ERROR))

    def test_expired_tokens(self):
        guarded = self.call("Guarded")
        metadata = [("authorization", "Bearer t0ken")]
        calls = [guarded.future(b"", timeout=TIMEOUT, metadata=metadata)
                 for _ in range(many(2000, 300, 50000))]
        self.assertEqual({c.code() for c in calls}, {grpc.StatusCode.UNAUTHENTICATED})
        self.unharmed(resets=(NO_ERROR,))


class Others(Honest):
    """Other implementations with their defaults, as their own tests have them."""

    CASES = ["large_unary", "client_streaming", "server_streaming", "ping_pong",
             "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server",
             "custom_metadata"]

    def rounds(self, command, cases=CASES):
        """Each case on a connection of its own; `command(port, case)` is the client."""
        self.begin(server=("--port", "0", "--host=127.0.0.1"), program="interop-server")
        port = self.watcher.address.rsplit(":", 1)[1]
        for case in cases:
            done = subprocess.run(command(port, case), capture_output=True, text=True,
                                  timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, f"{case}: {done.stdout} {done.stderr}")
        # Answers to requests that are not at their end, and what clients gave up.
        self.unharmed(resets=(NO_ERROR, CANCEL))

    @unittest.skipUnless(os.environ.get("CAW_NODE"), "no Node")
    def test_node(self):
        peer = os.path.join(harness.ROOT, "tests", "interop", "node", "peer.js")
        self.rounds(lambda port, case: [os.environ["CAW_NODE"], peer, "client", port, case])

    @unittest.skipUnless(os.path.exists(harness.program("peer-cpp")), "no gRPC C++")
    def test_cpp(self):
        self.rounds(lambda port, case: [harness.program("peer-cpp"), "client", port, case])

    @unittest.skipUnless(os.environ.get("CAW_RUBY"), "no gRPC for Ruby")
    def test_ruby(self):
        client = os.path.join(os.environ["CAW_RUBY_INTEROP"], "client.rb")
        self.rounds(lambda port, case: [os.environ["CAW_RUBY"], client, "--server_host",
                                        "127.0.0.1", "--server_port", port, "--test_case", case],
                    [c for c in self.CASES if not harness.SANITIZED])

    @unittest.skipUnless(os.environ.get("CAW_H2LOAD"), "no h2load")
    def test_h2load(self):
        address = self.begin()
        body = os.path.join(self.folder(), "body")
        with open(body, "wb") as file:
            file.write(b"\0\0\0\0\x0ais it you?")
        n = many(20000, 2000, 1000000)
        out = subprocess.run(
            [os.environ["CAW_H2LOAD"], "-n", str(n), "-c", "10", "-m", "100", "-d", body, "-H",
             "content-type: application/grpc", "-H", "te: trailers",
             f"http://{address}/test.Honest/Echo"],
            capture_output=True, text=True, timeout=TIMEOUT * (10 if LONG else 1), check=True).stdout
        self.assertIn(f"{n} succeeded, 0 failed, 0 errored", out)
        self.unharmed(connections=10)


if __name__ == "__main__":
    harness.main()
