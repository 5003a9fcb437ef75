"""Peers that make the server answer and never read: what they cost is bounded,
and nobody else notices."""
import os
import re
import select
import ssl
import struct

import harness
from harness import SANITIZED, TIMEOUT, scaled

import greeter_pb2 as pb
import greeter_pb2_grpc as stubs

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, WINDOW = 0, 1, 3, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4
# Of every connection that floods: what DESIGN allows a hostile one, in KiB.
COST = 1024
BYTES = 64 << 20  # of input that a flood ends with, when it is taken
STALL = 0.3       # seconds without progress: the server does not read any more


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(path, *more):
    return b"".join(literal(n, v) for n, v in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
        (b"te", b"trailers"), (b"content-type", b"application/grpc")) + more)


UNKNOWN = request(b"/x.Y/Z")
CHAT = request(b"/greeter.Greeter/Chat")
BAD = request(b"/x.Y/Z", (b"BAD", b"x"))
CANCEL = struct.pack(">I", 8)

# What is sent for the stream `i`, over and over.
FLOODS = {
    "unknown methods": lambda i: frame(HEADERS, END_HEADERS | END_STREAM, i, UNKNOWN),
    "calls that stay": lambda i: frame(HEADERS, END_HEADERS, i, CHAT),
    "calls that are reset": lambda i: frame(HEADERS, END_HEADERS, i, CHAT) +
                                      frame(RST, 0, i, CANCEL),
    "ended calls that are reset": lambda i: frame(HEADERS, END_HEADERS | END_STREAM, i, UNKNOWN) +
                                            frame(RST, 0, i, CANCEL),
    "malformed headers": lambda i: frame(HEADERS, END_HEADERS | END_STREAM, i, BAD),
    "windows that overflow": lambda i: frame(HEADERS, END_HEADERS, i, CHAT) +
                                       frame(WINDOW, 0, i, struct.pack(">I", 2**31 - 1)),
    "pings": lambda i: frame(PING, 0, 0, b"12345678") * 8,
    "settings": lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, i)) * 8,
    "resets of nothing": lambda i: frame(RST, 0, 2**31 - 1, CANCEL) * 8,
}


# The other induces no reply.
STOPPED = [name for name in FLOODS if name != "resets of nothing"]


def pour(address, make):
    """Sends until the server closes, stops reading, or has had enough. Returns
    the socket and how many bytes went."""
    peer = harness.connect_raw(address)
    peer.sendall(PREFACE + frame(SETTINGS, 0, 0))
    peer.setblocking(False)
    stream, sent, waiting = 1, 0, b""
    while sent < scaled(BYTES):
        if not waiting:
            waiting = b"".join(make(i) for i in range(stream, stream + 400, 2))
            stream += 400
        if not select.select([], [peer], [], STALL)[1]:
            break
        try:
            n = peer.send(waiting)
        except ssl.SSLWantWriteError:
            continue
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            break
        sent += n
        waiting = waiting[n:]
    return peer, sent


class Floods(harness.Case):
    def resident(self, server):
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1])

    def check(self, name):
        # The kernel buffers less of a Unix socket than of TCP.
        path = os.path.join(self.folder(), "socket")
        server = self.serve("greeter-server", "--listen", "unix:" + path, "--grace", "0")
        stub = stubs.GreeterStub(self.connect(server.address))
        hello = pb.HelloRequest(name="N", age=1)
        for _ in range(100):
            stub.SayHello(hello, timeout=TIMEOUT)
        before = self.resident(server)
        peers = []
        for _ in range(3):
            peer, sent = pour(server.address, FLOODS[name])
            self.addCleanup(peer.close)
            peers.append(peer)
            if name in STOPPED:
                self.assertLess(sent, scaled(BYTES), name + ": all was taken")
            reply = stub.SayHello(hello, timeout=TIMEOUT)
            self.assertEqual(reply.message, "Hello, N! You are 1 years old.")
        if not SANITIZED:
            # What the first connections of a process cost is not theirs alone.
            grown = self.resident(server) - before
            self.assertLess(grown, len(peers) * COST + 512, name)

    def test_floods(self):
        for name in FLOODS:
            with self.subTest(name):
                self.check(name)


if __name__ == "__main__":
    harness.main()
