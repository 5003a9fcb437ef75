"""What can be seen of a server from outside: metrics with a real Prometheus parser, the access log,
channelz with the official stubs, traces handed on."""
import json
import re
import shutil
import subprocess
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
        stub.SayHello(greeter_pb2.HelloRequest(name="World"), timeout=7, metadata=metadata)
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
        self.assertTrue(6000 < first["timeout_ms"] <= 7100, first)
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

    def test_another_kind(self):
        _, errors = harness.run("greeter-server", "--access-log", "xml", code=2)
        self.assertIn('--access-log: "xml" is neither text nor json', errors)


if __name__ == "__main__":
    harness.main()
