"""gRPC's own interop client and server for Ruby, as Debian's ruby-grpc ships
them, with ours. Its client has no special_status_message and no
server_compressed_*; its server does not look at compression."""
import os
import unittest

import harness
import kit

RUBY = os.environ["CAW_RUBY"]
FOLDER = os.environ["CAW_RUBY_INTEROP"]  # of client.rb and server.rb
CLIENT = [case for case in kit.PLAIN + kit.CLIENT_COMPRESSED if case != "special_status_message"]


@kit.per_case(kit.PLAIN)
class RubyServer(kit.Case):
    """Our client, Ruby's server."""

    @classmethod
    def setUpClass(cls):
        cls.peer = kit.Peer(RUBY, "-r", os.path.join(kit.HERE, "ruby_port.rb"),
                            os.path.join(FOLDER, "server.rb"), "--port", "0",
                            *(["--use_tls", "true"] if kit.TLS else [])).listening()

    @classmethod
    def tearDownClass(cls):
        cls.peer.end()

    def check(self, case):
        self.passes(case, self.peer.port)

    def test_soaks(self):
        for case in ("rpc_soak", "channel_soak"):
            with self.subTest(case=case):
                self.passes(case, self.peer.port, "--soak_iterations=20",
                            "--soak_overall_timeout_seconds=60",
                            "--soak_per_iteration_max_acceptable_latency_ms=20000")

    def test_largest(self):
        kit.check_largest(self, self.peer.port)


@kit.per_case(CLIENT)
class RubyClient(kit.Case):
    """Ruby's client, our server."""

    @classmethod
    def setUpClass(cls):
        cls.server = kit.serve()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def check(self, case):
        client = harness.Child(RUBY, os.path.join(FOLDER, "client.rb"), "--server_host",
                               "127.0.0.1", "--server_port", kit.port_of(self.server.address),
                               "--test_case", case,
                               *(flag.replace("=", " ").split()[i] for flag in kit.TLS_CLIENT
                                 for i in (0, 1)))
        client.wait_line(f'^"OK: {case}"$')
        client.wait(0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
