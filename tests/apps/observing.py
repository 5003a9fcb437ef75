"""What can be seen of a server from outside: metrics with a real Prometheus parser, the access log,
channelz with the official stubs, traces handed on."""
import json
import os
import re
import shutil
import subprocess
import time
import unittest
import urllib.error
import urllib.request

import harness
import grpc
import greeter_pb2
import greeter_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def scrape(address, path="/metrics", **kwargs):
    request = urllib.request.Request(f"http://{address}{path}", **kwargs)
    with urllib.request.urlopen(request, timeout=harness.TIMEOUT) as answer:
        return answer.headers, answer.read().decode()


def samples(text):
    """{(name, labels without le): value}, and a check that histograms are cumulative."""
    out = {}
    for family in text_string_to_metric_families(text):
        last = {}
        for s in family.samples:
            labels = {k: v for k, v in s.labels.items() if k != "le"}
            key = (s.name, tuple(sorted(labels.items())))
            if s.name.endswith("_bucket"):
                assert s.value >= last.get(key, 0), s
                last[key] = s.value
            else:
                assert key not in out, f"twice: {key}"
            out[key] = s.value
    return out


class Metrics(harness.Case):
    def serve_with_metrics(self, *args):
        server = harness.Child(*harness.command("greeter-server", "--listen", "127.0.0.1:0",
                                                "--metrics", "127.0.0.1:0", "--no-log", *args))
        self.addCleanup(lambda: None if server.checked else server.stop())
        server.metrics = server.wait_line(r"^metrics on (.+)$").group(1)
        server.address = server.wait_line(r"^listening on (.+)$").group(1)
        return server

    def test_calls_are_counted(self):
        server = self.serve_with_metrics("--loops", "2")
        for _ in range(4):
            stub = greeter_pb2_grpc.GreeterStub(self.connect(server.address))
            for _ in range(5):
                stub.SayHello(greeter_pb2.HelloRequest(name="World"), timeout=harness.TIMEOUT)
        channel = self.connect(server.address)
        for name in ("/x.Y/One", "/x.Y/Two"):
            self.fails(grpc.StatusCode.UNIMPLEMENTED, channel.unary_unary(name), b"")
        headers, text = scrape(server.metrics)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        found = samples(text)
        hello = ("grpc_method", "greeter.Greeter/SayHello")
        fine = ("grpc_status", "OK")
        self.assertEqual(found["grpc_server_call_started_total", (hello,)], 20)
        self.assertEqual(found["grpc_server_call_duration_seconds_count", (hello, fine)], 20)
        self.assertEqual(found["grpc_server_call_duration_seconds_bucket", (hello, fine)], 20)
        self.assertGreater(found["grpc_server_call_duration_seconds_sum", (hello, fine)], 0)
        size = "grpc_server_call_rcvd_total_compressed_message_size_bytes_sum"
        self.assertEqual(found[size, (hello, fine)], 20 * 7)
        other = ("grpc_method", "other")
        self.assertEqual(found["grpc_server_call_started_total", (other,)], 2)
        unknown = ("grpc_status", "UNIMPLEMENTED")
        self.assertEqual(found["grpc_server_call_duration_seconds_count", (other, unknown)], 2)
        self.assertNotIn("x.Y", text)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not there")
    def test_promtool_has_no_objection(self):
        server = self.serve_with_metrics()
        stub = greeter_pb2_grpc.GreeterStub(self.connect(server.address))
        stub.SayHello(greeter_pb2.HelloRequest(name="World"), timeout=harness.TIMEOUT)
        _, text = scrape(server.metrics)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=harness.TIMEOUT, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_nothing_else_is_there(self):
        server = self.serve_with_metrics()
        headers, text = scrape(server.metrics, method="HEAD")
        self.assertEqual(text, "")
        for code, args in ((404, {"path": "/"}), (405, {"method": "DELETE"}),
                           (405, {"data": b"x" * 1000})):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                scrape(server.metrics, **args)
            self.assertEqual(caught.exception.code, code)
            caught.exception.close()

    def test_a_takeover_takes_the_page_too(self):
        path = self.folder() + "/takeover"
        old = self.serve_with_metrics("--takeover", path)
        new = harness.Child(*harness.command("greeter-server", "--listen", old.address, "--metrics",
                                             old.metrics, "--no-log", "--takeover", path))
        self.addCleanup(lambda: None if new.checked else new.stop())
        self.assertEqual(new.wait_line(r"^metrics on (.+)$").group(1), old.metrics)
        old.wait()
        self.assertEqual(samples(scrape(old.metrics)[1]), {})

    def test_an_address_that_is_taken(self):
        server = self.serve_with_metrics()
        _, errors = harness.run("greeter-server", "--listen", "127.0.0.1:0", "--metrics",
                                server.metrics, code=1)
        self.assertIn(f"cannot serve metrics on {server.metrics}: ", errors)


class AccessLog(harness.Case):
    def calls(self, kind):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--access-log", kind)
        channel = self.connect(server.address, ("grpc.primary_user_agent", 'a"b\\c'))
        stub = greeter_pb2_grpc.GreeterStub(channel)
        metadata = (("authorization", "Bearer secret"), ("traceparent", PARENT))
        stub.SayHello(greeter_pb2.HelloRequest(name="World"), timeout=700, metadata=metadata)
        # A path of any bytes; Python's gRPC sends what it gets.
        self.fails(grpc.StatusCode.UNIMPLEMENTED, channel.unary_unary("/x.\u00e9\u201d/y"), b"")
        channel.close()
        lines = [line for line in server.stop().splitlines() if line]
        self.assertNotIn("secret", "\n".join(lines))
        return lines

    def test_json(self):
        lines = [json.loads(line) for line in self.calls("json")]
        self.assertEqual(len(lines), 2)
        first, second = lines
        self.assertRegex(first["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertRegex(first["peer"], r"^ipv4:127\.0\.0\.1:\d+$")
        self.assertEqual(first["method"], "/greeter.Greeter/SayHello")
        self.assertEqual(first["status"], "OK")
        self.assertEqual((first["received"], first["received_bytes"], first["sent"]), (1, 7, 1))
        self.assertGreater(first["sent_bytes"], 7)
        self.assertGreater(first["duration_ms"], 0)
        self.assertTrue(600000 < first["timeout_ms"] <= 710000, first)
        self.assertTrue(first["user_agent"].startswith('a"b\\c grpc-python/'), first)
        self.assertEqual(first["traceparent"], PARENT)
        self.assertEqual(first["trace_id"], PARENT[3:35])
        self.assertEqual(second["status"], "UNIMPLEMENTED")
        self.assertIn("unknown method", second["message"])
        self.assertEqual(second["method"], "/x.\u00e9\u201d/y")

    def test_text(self):
        first, second = self.calls("text")
        self.assertRegex(first, r"^\S+Z ipv4:\S+ /greeter\.Greeter/SayHello OK \d+\.\d{3}ms "
                                r"in=1/7B out=1/\d+B timeout=\d+\.\d{3}ms authority=\S+ "
                                r"agent=a\\x22b\\x5cc\\x20grpc-python/\S+ traceparent=" + PARENT + "$")
        self.assertIn(" UNIMPLEMENTED ", second)
        self.assertTrue(second.isprintable(), second)

    def test_without_a_standard_error(self):
        """What is closed must not be a socket's, or the loop's own pipe's, for the log to go to."""
        for closed in ("2>&-", "<&- 2>&-"):
            server = harness.Child("sh", "-c", f'exec "$@" {closed}', "sh", *harness.command(
                "greeter-server", "--listen", "127.0.0.1:0", "--access-log", "json"))
            self.addCleanup(lambda s=server: None if s.checked else s.stop())
            stub = greeter_pb2_grpc.GreeterStub(
                self.connect(server.wait_line(r"^listening on (.+)$").group(1)))
            for _ in range(5):
                stub.SayHello(greeter_pb2.HelloRequest(name="World"), timeout=harness.TIMEOUT)
            server.stop()

    def test_another_kind(self):
        _, errors = harness.run("greeter-server", "--access-log", "xml", code=2)
        self.assertIn('--access-log: "xml" is neither text nor json', errors)


class Chatd(harness.Case):
    def test_its_own_numbers(self):
        server = harness.Child(*harness.command(
            "chatd", "--listen", "127.0.0.1:0", "--data", self.folder() + "/var", "--no-log",
            "--metrics", "127.0.0.1:0", "--channelz", "--registration", "closed"))
        self.addCleanup(lambda: None if server.checked else server.stop())
        server.metrics = server.wait_line(r"^metrics on (.+)$").group(1)
        server.wait_line(r"^listening on (.+)$")

        def look():
            found = samples(scrape(server.metrics)[1])
            return {name: value for (name, _), value in found.items() if name.startswith("chatd_")}
        # Its first work is over when nothing waits and nothing has changed since.
        until = time.monotonic() + harness.TIMEOUT
        before, found = None, look()
        while (found["chatd_writer_queue"] or found != before) and time.monotonic() < until:
            before, found = found, look()
        self.assertEqual(found["chatd_writer_fine"], 1)
        self.assertEqual(found["chatd_streams"], 0)
        self.assertEqual(found["chatd_writer_queue"], 0)
        self.assertEqual(found["chatd_writer_refused_total"], 0)
        self.assertGreaterEqual(found["chatd_writer_jobs_total"], found["chatd_writer_turns_total"])
        self.assertGreater(found["chatd_writer_turns_total"], 0)


class Trace(harness.Case):
    """CAW_TRACE, on both sides."""

    def trace(self, components):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        _, errors = harness.run("greeter-client", "--target", server.address, "--call", "unary",
                                env={"CAW_TRACE": components})
        return [line.split(None, 2)[1:] for line in errors.splitlines()]

    def test_what_happens_to_a_call(self):
        lines = self.trace("call")
        self.assertEqual({component for component, _ in lines}, {"call"})
        said = [re.sub("0x[0-9a-f]+", "C", text) for _, text in lines]
        self.assertRegex(said[0], r"^call C is /greeter\.Greeter/SayHello to ")
        self.assertEqual(said[1:], [
            "call C (client) IDLE -> OPEN", "call C (client) OPEN -> HALF_CLOSED_LOCAL",
            "call C (client) HALF_CLOSED_LOCAL -> CLOSING", "call C (client) CLOSING -> DONE",
            "call C ends with OK"])

    def test_frames(self):
        said = [text.split(" ", 2)[2] for _, text in self.trace("h2")]
        self.assertIn("-> DATA stream 1, 14 bytes END_STREAM", said)
        self.assertTrue(any(re.match(r"-> HEADERS stream 1, \d+ bytes END_HEADERS$", text)
                            for text in said), said)
        self.assertTrue(any(re.match(r"<- HEADERS stream 1, \d+ bytes END_STREAM END_HEADERS$", text)
                            for text in said), said)
        self.assertIn("<- SETTINGS stream 0, 0 bytes ACK", said)

    def test_several_and_unknown(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        _, errors = harness.run("greeter-client", "--target", server.address, "--call", "unary",
                                env={"CAW_TRACE": "conn,nonsense,client"})
        first, *rest = errors.splitlines()
        self.assertEqual(first, 'CAW_TRACE: "nonsense" is no component; '
                                "h2, call, conn, client, server, all are")
        self.assertEqual({line.split()[1] for line in rest}, {"conn", "client"})

    def test_off(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        for value in (None, ""):
            env = {} if value is None else {"CAW_TRACE": value}
            _, errors = harness.run("greeter-client", "--target", server.address, "--call",
                                    "unary", env=env)
            self.assertEqual(errors, "")


class Probes(unittest.TestCase):
    """USDT: the notes in the library that bpftrace and perf look for."""

    @unittest.skipUnless(os.environ.get("CAW_PROBES") == "1", "built without sys/sdt.h")
    def test_the_notes(self):
        path = os.path.join(os.path.dirname(os.environ["CAW_BIN"]), "lib", "libcaw.so")
        text = subprocess.run(["readelf", "-n", path], capture_output=True, text=True,
                              check=True).stdout
        notes = re.findall(r"Provider: caw\s+Name: (\w+)\s+Location: .*\s+Arguments: (.*)", text)
        known = {}
        for name, arguments in notes:
            known.setdefault(name, set()).add(len(re.findall(r"-?\d+@", arguments)))
        self.assertEqual(known, {"call__state": {3}, "server__call__begin": {3},
                                 "server__call__end": {2}, "client__call__begin": {2},
                                 "client__call__end": {2}})


if __name__ == "__main__":
    harness.main()
