"""Mutual TLS with gRPC for Python, in this process, and for Node, in both directions:
the server requires a certificate of its CA, and a client without one is turned away.
The certificates are those of scripts/dev-certs."""
import concurrent.futures
import os
import subprocess
import tempfile
import unittest

import harness
import kit
from harness import TIMEOUT, grpc

import interop_empty_pb2 as empty
import interop_test_pb2_grpc as stubs
import with_python

CASES = ["empty_unary", "large_unary", "ping_pong", "custom_metadata", "concurrent_large_unary"]
NODE = ([os.environ["CAW_NODE"], os.path.join(kit.HERE, "node", "peer.js")]
        if "CAW_NODE" in os.environ else None)

folder = tempfile.TemporaryDirectory(prefix="caw-mutual-")
subprocess.run([os.path.join(harness.ROOT, "scripts", "dev-certs"), folder.name], check=True,
               stdout=subprocess.DEVNULL)


def path(name):
    return os.path.join(folder.name, name)


def read(name):
    with open(path(name), "rb") as file:
        return file.read()


OUR_SERVER = ["--use_tls=true", "--tls_cert_file=" + path("server.pem"),
              "--tls_key_file=" + path("server.key"), "--ca_file=" + path("ca.pem")]
TRUST = ["--use_tls=true", "--ca_file=" + path("ca.pem")]
OUR_CLIENT = TRUST + ["--tls_cert_file=" + path("client.pem"),
                      "--tls_key_file=" + path("client.key")]
# Node says what is missing in an alert; gRPC's C core closes the connection.
REQUIRED = r"the server (requires|asked for) a client certificate.*; give the credentials one"


class Servers(kit.Case):
    """Our client, a server of another make on self.port."""

    def passes_with(self, port):
        for case in CASES:
            with self.subTest(case=case):
                self.passes(case, port, *OUR_CLIENT)
        _, err = kit.run_client("empty_unary", port, *TRUST, code=1)
        self.assertRegex(err, REQUIRED)

    def test_python(self):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        stubs.add_TestServiceServicer_to_server(with_python.Service(), server)
        credentials = grpc.ssl_server_credentials([(read("server.key"), read("server.pem"))],
                                                  read("ca.pem"), require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())
        self.passes_with(port)

    @unittest.skipUnless(NODE, "without Node")
    def test_node(self):
        peer = kit.Peer(*NODE, "server", env={"CAW_TEST_MUTUAL": folder.name}).listening()
        self.addCleanup(peer.end)
        self.passes_with(peer.port)


class Clients(kit.Case):
    """Our server, clients of another make."""

    def setUp(self):
        self.server = self.serve("interop-server", "--port", "0", "--host=127.0.0.1", *OUR_SERVER)

    def stub(self, *credentials):
        channel = grpc.secure_channel(self.server.address, grpc.ssl_channel_credentials(*credentials),
                                      options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return stubs.TestServiceStub(channel)

    def test_python(self):
        stub = self.stub(read("ca.pem"), read("client.key"), read("client.pem"))
        self.assertEqual(stub.EmptyCall(empty.Empty(), timeout=TIMEOUT), empty.Empty())
        reply = stub.UnaryCall(with_python.large(), timeout=TIMEOUT)
        self.assertEqual(reply.payload.body, bytes(314159))
        self.fails(grpc.StatusCode.UNAVAILABLE, self.stub(read("ca.pem")).EmptyCall, empty.Empty())

    @unittest.skipUnless(NODE, "without Node")
    def test_node(self):
        for case in CASES:
            with self.subTest(case=case):
                client = harness.Child(*NODE, "client", kit.port_of(self.server.address), case,
                                       env={"CAW_TEST_MUTUAL": folder.name})
                client.wait_line(f"^{case}: passed$")
                client.wait(0)


if __name__ == "__main__":
    unittest.main(verbosity=2, defaultTest=["Servers", "Clients"])
