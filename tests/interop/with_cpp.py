"""gRPC's C++ library with our interop programs, in both directions."""
import unittest

import harness
import kit

PEER = harness.program("peer-cpp")


@kit.per_case(kit.PLAIN + kit.COMPRESSED + ["concurrent_large_unary", "rpc_soak", "channel_soak"])
class CppServer(kit.Case):
    """Our client, the server in C++."""

    @classmethod
    def setUpClass(cls):
        cls.peer = kit.Peer(PEER, "server").listening()

    @classmethod
    def tearDownClass(cls):
        cls.peer.end()

    def check(self, case):
        self.passes(case, self.peer.port, "--soak_overall_timeout_seconds=60",
                    "--soak_per_iteration_max_acceptable_latency_ms=20000")

    def test_largest(self):
        kit.check_largest(self, self.peer.port)

    def test_short_lives(self):
        peer = kit.Peer(PEER, "server", "100").listening()
        self.addCleanup(peer.end)
        kit.check_short_lives(self, peer.port)


@kit.per_case(kit.PLAIN + kit.COMPRESSED + ["concurrent_large_unary", "largest"])
class CppClient(kit.Case):
    """The client in C++, our server."""

    @classmethod
    def setUpClass(cls):
        cls.server = kit.serve()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def check(self, case):
        out, _ = harness.run("peer-cpp", "client", kit.port_of(self.server.address), case)
        self.assertEqual(out, f"{case}: passed\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
