"""@grpc/grpc-js, gRPC for Node, with our interop programs, in both directions.
Its server compresses nothing; its client does not show what came compressed."""
import os
import subprocess
import unittest

import harness
import http2_server
import kit

VERSION = subprocess.check_output([os.environ["CAW_NODE"], "--version"], text=True).strip()
# Two faults of Node 18, Debian 12's own. Its streams refuse the flags by which
# grpc-js leaves a single message uncompressed ("Unknown encoding: 2"). And where
# grpc-js ends a connection for its age, it sometimes closes it without the second
# GOAWAY, which says what was not processed: such a call cannot be sent again.
OLD = int(VERSION[1:].split(".")[0]) < 20

NODE = [os.environ["CAW_NODE"], os.path.join(kit.HERE, "node", "peer.js")]


def run_client(port, case):
    client = harness.Child(*NODE, "client", str(port), case)
    client.wait_line(f"^{case}: passed$")
    client.wait(0)


@kit.per_case(kit.PLAIN + kit.CLIENT_COMPRESSED + ["concurrent_large_unary", "rpc_soak", "channel_soak"])
class NodeServer(kit.Case):
    """Our client, Node's server."""

    @classmethod
    def setUpClass(cls):
        cls.peer = kit.Peer(*NODE, "server").listening()

    @classmethod
    def tearDownClass(cls):
        cls.peer.end()

    def check(self, case):
        self.passes(case, self.peer.port, "--soak_overall_timeout_seconds=60",
                    "--soak_per_iteration_max_acceptable_latency_ms=20000")

    def test_largest(self):
        kit.check_largest(self, self.peer.port)

    @unittest.skipIf(OLD, f"{VERSION} loses calls when it closes connections")
    def test_short_lives(self):
        peer = kit.Peer(*NODE, "server", "100").listening()
        self.addCleanup(peer.end)
        kit.check_short_lives(self, peer.port)


@kit.per_case(kit.PLAIN + kit.COMPRESSED + ["concurrent_large_unary", "largest"])
class NodeClient(kit.Case):
    """Node's client, our server."""

    @classmethod
    def setUpClass(cls):
        cls.server = kit.serve()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def check(self, case):
        if OLD and case == "client_compressed_streaming":
            self.skipTest(f"{VERSION} takes no flags with a message")
        run_client(kit.port_of(self.server.address), case)


@unittest.skipIf(kit.TLS, "speaks bare HTTP/2")
class Padding(harness.Case):
    """That the padded frames of http2_server.py are right."""

    def test_padding(self):
        server = http2_server.Server("data_frame_padding")
        run_client(server.port, "large_unary")
        server.close()
        self.assertEqual((server.faults, server.requests), ([], 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
