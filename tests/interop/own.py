"""Our client against our server, against HTTP/2 servers that misbehave, and the
command lines of both programs."""
import socket
import struct
import time
import unittest

import harness
import http2_server
import kit

HTTP2 = ["goaway", "rst_after_header", "rst_during_data", "rst_after_data", "ping", "max_streams",
         "data_frame_padding", "no_df_padding_sanity_test"]


class Served(kit.Case):
    """Tests with one interop-server for the class."""

    @classmethod
    def setUpClass(cls):
        cls.server = kit.serve()
        cls.port = kit.port_of(cls.server.address)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()


@kit.per_case(kit.PLAIN + kit.COMPRESSED)
class Plain(Served):
    def check(self, case):
        self.passes(case, self.port)


class Long(Served):
    """The cases of many calls."""

    def test_concurrent_large_unary(self):
        self.passes("concurrent_large_unary", self.port)

    def test_long_lived_channel(self):
        self.passes("long_lived_channel", self.port, "--soak_iterations=2", "--iteration_interval=1")

    def soak(self, case, *flags, code=0):
        return kit.run_client(case, self.port, *flags, code=code)

    def test_soaks(self):
        for case in ("rpc_soak", "channel_soak"):
            for threads in (1, 4):
                if harness.SANITIZED and threads > 1 and case == "channel_soak":
                    # The thread sanitizer does not see that libuv closes a
                    # descriptor, and takes its next use by another thread for a race.
                    continue
                n = harness.scaled(100) * threads
                with self.subTest(case=case, threads=threads):
                    out, err = self.soak(case, f"--soak_iterations={n}",
                                         f"--soak_num_threads={threads}",
                                         "--soak_per_iteration_max_acceptable_latency_ms=10000",
                                         "--soak_request_size=1000", "--soak_response_size=20000")
                    self.assertEqual(out, f"{case}: passed\n")
                    self.assertEqual(err.count(" succeeded\n"), n)
                    self.assertIn(f"soak test ran: {n} iterations. total_failures: 0.", err)
                    self.assertRegex(err, r"elapsed_ms: \d+ peer: ipv4:127\.0\.0\.1:"
                                     + self.port + r" server_uri: 127\.0\.0\.1:" + self.port)

    def test_soak_paces_its_calls(self):
        """Three starts with 300 ms between them take at least 600 ms, so a limit
        of one second lets no more than four of a hundred begin."""
        _, err = self.soak("rpc_soak", "--soak_iterations=100",
                           "--soak_min_time_ms_between_rpcs=300",
                           "--soak_overall_timeout_seconds=1", code=1)
        self.assertRegex(err, r"quit early, only having ran [1-4] out of desired 100 iterations")

    def test_soak_counts_slow_calls(self):
        flags = ["--soak_iterations=3", "--soak_per_iteration_max_acceptable_latency_ms=0",
                 "--soak_overall_timeout_seconds=60", "--soak_request_size=4000000",
                 "--soak_response_size=4000000"]
        _, err = self.soak("rpc_soak", *flags, code=1)
        self.assertEqual(err.count(" exceeds max acceptable latency: 0\n"), 3, err)
        self.assertIn("3 iterations failed; at most 0 may", err)
        out, _ = self.soak("rpc_soak", *flags, "--soak_max_failures=3")
        self.assertEqual(out, "rpc_soak: passed\n")


@unittest.skipIf(kit.TLS, "speaks bare HTTP/2")
@kit.per_case(HTTP2)
class Misbehaving(kit.Case):
    def check(self, case):
        server = http2_server.Server(case)
        try:
            self.passes(case, server.port)
        finally:
            server.close()
        self.assertEqual(server.faults, [])
        self.assertEqual((server.connections, server.requests),
                         {"goaway": (2, 2), "max_streams": (1, 11)}.get(case, (1, 1)))


@unittest.skipIf(kit.TLS, "speaks bare HTTP/2")
class Deadline(Served):
    def call(self, timeout):
        """Until the server ends it: the seconds that took, and with which code."""
        client = http2_server.Raw(int(self.port))
        with client:
            begin = time.monotonic()
            client.call("/grpc.testing.TestService/FullDuplexCall", (b"grpc-timeout", timeout))
            code, = struct.unpack(">I", client.wait(http2_server.RST_STREAM))
            return time.monotonic() - begin, code

    def test_the_client_expires_first(self):
        """A server that resets an expired call leaves the client two milliseconds to
        do it by itself: who reads CANCEL before it looks at its clock takes it for a
        cancellation. The deadline is long enough for a handler to begin before it."""
        for _ in range(3):
            took, code = self.call(b"700m")
            self.assertEqual(code, 8)
            self.assertGreaterEqual(took, 0.702)

    def test_a_call_that_has_expired(self):
        """gRPC's C core asks for 1 ns in the last millisecond of a deadline: no handler
        begins, the status is told, and no reset stands for it."""
        for _ in range(5):
            self.assertEqual(self.call(b"1n")[1], 0)


@unittest.skipIf(kit.TLS, "has flags of its own")
class CommandLine(Served):
    def wrong(self, program, *args):
        _, err = harness.run(program, *args, code=2)
        return err

    @unittest.skipUnless(harness.HAS_TLS, "built without TLS")
    def test_tls_files(self):
        for args in (["interop-server", "--port=0", "--use_tls", "--tls_cert_file=/none/x",
                      "--tls_key_file=/none/y"],
                     ["interop-client", "--server_port=1", "--test_case=empty_unary", "--use_tls",
                      "true", "--ca_file=/none/x"]):
            _, err = harness.run(*args, code=1)
            self.assertIn("cannot use TLS: /none/x: No such file or directory", err)

    def test_tls_flags_without_tls(self):
        self.passes("empty_unary", self.port, "--use_test_ca=true", "--ca_file=/none/x")

    def test_forms_of_flags(self):
        for flags in (["--use_tls=false"], ["--use_tls", "false"], ["--use_test_ca", "false"]):
            with self.subTest(flags=flags):
                self.passes("empty_unary", self.port, *flags)
        out, _ = harness.run("interop-client", "--server_host", "127.0.0.1", "--server_port",
                             self.port, "--test_case", "large_unary")
        self.assertEqual(out, "large_unary: passed\n")

    def test_override_and_metadata(self):
        self.passes("custom_metadata", self.port, "--server_host_override=foo.test.google.fr",
                    "--additional_metadata=a:1;b-c:two words")

    def test_wrong_usage(self):
        for args, text in (
                ([], "--server_port is missing"),
                (["--server_port=0"], "--server_port: \"0\" is not a whole number from 1 to 65535"),
                (["--server_port=1"], "--test_case is missing"),
                (["--server_port=1", "--test_case=no"], "\"no\" is not a case of this program"),
                (["--server_port=1", "--use_tls=perhaps"], "\"perhaps\" is neither true nor false"),
                (["--server_port=1", "--test_case=empty_unary", "--additional_metadata=x"],
                 "\"x\" is not KEY:VALUE"),
                (["--server_port=1", "word"], "unexpected argument: word"),
                (["--unknown"], "Try: interop-client --help")):
            with self.subTest(args=args):
                self.assertIn(text, self.wrong("interop-client", *args))
        self.assertIn("--port is missing", self.wrong("interop-server"))

    def test_help_and_version(self):
        for program in ("interop-server", "interop-client"):
            out, _ = harness.run(program, "--help")
            self.assertTrue(out.startswith(f"Usage: {program} "), out)
            out, _ = harness.run(program, "--version")
            self.assertRegex(out, rf"^{program} \d+\.\d+\.\d+\n$")
        out, _ = harness.run("interop-client", "--help")
        for case in kit.PLAIN + kit.COMPRESSED + HTTP2:
            self.assertIn(f"  {case} ", out)

    def test_nobody_there(self):
        _, err = kit.run_client("empty_unary", harness.lasting_port(), code=1)
        self.assertRegex(err, r"is not reachable within 5 s: .*refused.* Is the server running\?")

    def test_port_in_use(self):
        _, err = harness.run("interop-server", "--host=127.0.0.1", "--port=" + self.port, code=1)
        self.assertIn("127.0.0.1:" + self.port, err)

    def test_every_address(self):
        server = harness.Server("interop-server", "--port=0")
        self.addCleanup(lambda: None if server.checked else server.stop())
        self.passes("empty_unary", kit.port_of(server.address))

    def test_a_case_that_fails(self):
        """What a server does not do is found and named, not passed over."""
        bad = http2_server.Server("rst_after_data")
        _, err = kit.run_client("large_unary", bad.port, code=1)
        bad.close()
        self.assertRegex(err, r"^interop-client: large_unary: UnaryCall ended with [A-Z]+.*, "
                              r"not with OK\n$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
