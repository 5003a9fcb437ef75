"""Tests of http2_server.py: gRPC for Python takes it for a server, and it sees
what a client does wrong."""
import socket
import struct
import unittest

import harness
import http2_server
from harness import TIMEOUT, grpc
from http2_server import ACK, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, frame

import interop_messages_pb2 as pb
import interop_test_pb2_grpc as stubs


class Server(harness.Case):
    def start(self, case):
        server = http2_server.Server(case)
        self.addCleanup(lambda: server.acceptor.is_alive() and server.close())
        return server


class Official(Server):
    """Each case with a client that is known to be right."""

    def call(self, channel):
        request = pb.SimpleRequest(response_size=314159, payload=pb.Payload(body=bytes(271828)))
        return stubs.TestServiceStub(channel).UnaryCall.future(request, timeout=TIMEOUT)

    def check(self, case, calls=1, connections=1, at_once=1):
        server = self.start(case)
        channel = harness.channel_to(f"127.0.0.1:{server.port}")
        for _ in range(calls):
            for call in [self.call(channel) for _ in range(at_once)]:
                if case.startswith("rst_"):
                    self.assertNotEqual(call.code(), grpc.StatusCode.OK)
                else:
                    self.assertEqual(call.result().payload.body, bytes(314159))
        channel.close()
        server.close()
        self.assertEqual((server.faults, server.connections), ([], connections))

    def test_goaway(self):
        self.check("goaway", calls=2, connections=2)

    def test_resets(self):
        for case in ("rst_after_header", "rst_during_data", "rst_after_data"):
            with self.subTest(case=case):
                self.check(case)

    def test_ping(self):
        self.check("ping")

    def test_max_streams(self):
        self.check("max_streams", calls=2, at_once=5)

    def test_small_frames(self):
        """gRPC's C core takes no padded frames; Node does (with_node.py)."""
        self.check("no_df_padding_sanity_test")


class Faults(Server):
    """What each case looks for is found."""

    def connect(self, server):
        client = http2_server.Raw(server.port)
        self.addCleanup(client.close)
        return client

    def test_two_streams(self):
        server = self.start("max_streams")
        client = self.connect(server)
        client.send(frame(SETTINGS, ACK, 0), frame(http2_server.WINDOW_UPDATE, 0, 0,
                                                   struct.pack(">I", 2**30)))
        client.request(1)
        mine = client.wait(PING)
        client.send(frame(SETTINGS, ACK, 0))
        client.request(3)
        client.send(frame(PING, ACK, 0, mine))
        client.close()
        server.close()
        self.assertEqual(server.faults, ["stream 3 was opened beside [1]"])

    def test_a_ping_unanswered(self):
        server = self.start("ping")
        client = self.connect(server)
        client.request(1)
        client.wait(PING)
        client.close()
        server.close()
        self.assertRegex(server.faults[-1], "[1-4] PINGs were not acknowledged")

    def test_a_ping_invented(self):
        server = self.start("ping")
        client = self.connect(server)
        client.send(frame(PING, ACK, 0, b"12345678"), frame(PING, 0, 0, b"87654321"))
        self.assertEqual(client.wait(PING, ACK), b"87654321")
        client.close()
        server.close()
        self.assertEqual(server.faults,
                         ["a PING was acknowledged that was not sent: b'12345678'"])

    def test_a_call_after_goaway(self):
        server = self.start("goaway")
        client = self.connect(server)
        client.send(frame(http2_server.WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)),
                    frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**30)))
        client.request(1)
        client.wait(HEADERS, END_STREAM)
        client.request(3)
        client.wait(HEADERS, END_STREAM)
        client.close()
        server.close()
        self.assertEqual(server.faults, ["a call was made after the GOAWAY"])

    def test_no_preface(self):
        server = self.start("ping")
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(client.recv(1), b"")
        server.close()
        self.assertEqual(server.faults, ["the connection does not begin with HTTP/2's preface"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
