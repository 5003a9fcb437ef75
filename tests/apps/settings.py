"""greeter-client beside a server that first allows no stream at all, and later
allows some (RFC 9113, 6.5.2): the call waits and is then made."""
import socket
import struct
import threading
import unittest

import harness

DATA, HEADERS, SETTINGS = 0, 1, 4
ACK, END_STREAM, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing, not Huffman coded (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def max_streams(n):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", 3, n))


class Reader:
    def __init__(self, connection):
        self.stream = connection.makefile("rb")
        self.stream.read(24)  # the client's preface

    def until(self, kind, flags):
        """Reads frames until one of this kind has all of these flags."""
        seen = []
        while True:
            head = self.stream.read(9)
            if len(head) < 9:
                return seen, None
            self.stream.read(int.from_bytes(head[:3], "big"))
            seen.append(head[3])
            if head[3] == kind and head[4] & flags == flags:
                return seen, int.from_bytes(head[5:9], "big")


class Settings(unittest.TestCase):
    def serve(self, listener):
        with harness.accept_raw(listener) as connection:
            connection.sendall(max_streams(0))
            reader = Reader(connection)
            self.before, _ = reader.until(SETTINGS, ACK)
            connection.sendall(max_streams(5))
            _, stream = reader.until(DATA, END_STREAM)
            reply = b"\x0a\x05hello"  # HelloReply { message: "hello" }
            connection.sendall(
                frame(HEADERS, END_HEADERS, stream, b"\x88" + literal(b"content-type", b"application/grpc"))
                + frame(DATA, 0, stream, b"\0" + struct.pack(">I", len(reply)) + reply)
                + frame(HEADERS, END_HEADERS | END_STREAM, stream, literal(b"grpc-status", b"0")))
            while connection.recv(4096):
                pass

    def test_a_limit_that_is_raised_later(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self.serve, args=(listener,))
            thread.start()
            target = "127.0.0.1:%d" % listener.getsockname()[1]
            out, errors = harness.run("greeter-client", "--target", target, "--call", "unary",
                                      "--timeout", str(harness.TIMEOUT))
            thread.join(90)
        self.assertEqual(errors, "")
        self.assertTrue(out.startswith("hello ("), out)
        self.assertNotIn(HEADERS, self.before)


if __name__ == "__main__":
    unittest.main()
