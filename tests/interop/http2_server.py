"""A small HTTP/2 server that answers UnaryCall and misbehaves as the case wants:
gRPC's doc/http2-interop-test-descriptions.md. It is no server for anything
else: it knows no HPACK beyond what it sends, and takes every request for a
UnaryCall that asks for REPLY_SIZE bytes.

What a client did wrong is in `faults` when the server has been closed. Raw is
a client of the same frames.
"""
import os
import socket
import struct
import threading

REPLY_SIZE = 314159
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4


def literal(name, value):
    """A header field that is not indexed; both texts are shorter than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


ANSWER = b"\x88" + literal(b"content-type", b"application/grpc")  # 0x88: ":status: 200"
TRAILERS = literal(b"grpc-status", b"0")


def field(number, data):
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def reply():
    """A SimpleResponse with a payload of zeros, in gRPC's frame."""
    message = field(1, field(2, bytes(REPLY_SIZE)))
    return b"\0" + struct.pack(">I", len(message)) + message


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


class Gone(Exception):
    """The client has closed the connection."""


class Connection:
    def __init__(self, server, sock):
        self.server = server
        self.sock = sock
        self.file = sock.makefile("rb")
        self.window = 65535
        self.initial = 65535
        self.windows = {}  # of the streams that are not answered yet
        self.requests = []  # complete, and not answered yet
        self.answered = 0
        self.pings = set()  # sent and not acknowledged
        self.acks = 0  # of SETTINGS

    # ---- Frames that come ----

    def read(self, size):
        data = self.file.read(size)
        if len(data) < size:
            raise Gone()
        return data

    def read_frame(self):
        head = self.read(9)
        payload = self.read(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == SETTINGS:
            self.on_settings(flags, payload)
        elif kind == PING:
            self.on_ping(flags, payload)
        elif kind == WINDOW_UPDATE:
            self.on_window(stream, int.from_bytes(payload, "big"))
        elif kind == HEADERS:
            self.on_headers(stream)
        elif kind == RST_STREAM:
            self.windows.pop(stream, None)
        elif kind == DATA and payload:
            size = struct.pack(">I", len(payload))
            self.send(frame(WINDOW_UPDATE, 0, 0, size))
            if not flags & END_STREAM:
                self.send(frame(WINDOW_UPDATE, 0, stream, size))
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.requests.append(stream)

    def on_settings(self, flags, payload):
        if flags & ACK:
            self.acks += 1
            return
        for at in range(0, len(payload), 6):
            number, value = struct.unpack_from(">HI", payload, at)
            if number == INITIAL_WINDOW_SIZE:
                self.windows = {s: w + value - self.initial for s, w in self.windows.items()}
                self.initial = value
        self.send(frame(SETTINGS, ACK, 0))

    def on_ping(self, flags, payload):
        if not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif payload in self.pings:
            self.pings.remove(payload)
        else:
            self.server.faults.append(f"a PING was acknowledged that was not sent: {payload!r}")

    def on_window(self, stream, size):
        if stream == 0:
            self.window += size
        elif stream in self.windows:
            self.windows[stream] += size

    def on_headers(self, stream):
        if self.server.case == "max_streams" and self.acks == 2 and self.windows:
            self.server.faults.append(f"stream {stream} was opened beside {list(self.windows)}")
        self.windows[stream] = self.initial

    # ---- Frames that go ----

    def send(self, data):
        self.sock.sendall(data)

    def ping(self):
        payload = os.urandom(8)
        self.pings.add(payload)
        self.send(frame(PING, 0, 0, payload))
        return payload

    def send_data(self, stream, data, size=16384, padding=None):
        """DATA frames of `size` bytes each, as far as the client's windows allow."""
        extra = 0 if padding is None else 1 + padding
        prefix = b"" if padding is None else bytes([padding])
        suffix = bytes(padding or 0)
        batch = []
        for at in range(0, len(data), size):
            piece = prefix + data[at:at + size] + suffix
            while min(self.window, self.windows.get(stream, 0)) < len(piece):
                if stream not in self.windows:
                    raise Gone()
                self.send(b"".join(batch))
                batch.clear()
                self.read_frame()
            self.window -= len(piece)
            self.windows[stream] -= len(piece)
            batch.append(frame(DATA, PADDED if extra else 0, stream, piece))
        self.send(b"".join(batch))

    # ---- Answers ----

    def serve(self):
        if self.read(len(PREFACE)) != PREFACE:
            self.server.faults.append("the connection does not begin with HTTP/2's preface")
            return
        self.send(frame(SETTINGS, 0, 0))
        while True:
            while not self.requests:
                self.read_frame()
            self.answer(self.requests.pop(0))

    def answer(self, stream):
        self.answered += 1
        self.server.requests += 1
        getattr(self, "answer_" + self.server.case)(stream)
        self.windows.pop(stream, None)

    def begin(self, stream):
        self.send(frame(HEADERS, END_HEADERS, stream, ANSWER))

    def end(self, stream):
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS))

    def reset(self, stream):
        self.send(frame(RST_STREAM, 0, stream, bytes(4)))

    def answer_goaway(self, stream):
        if self.answered > 1:
            self.server.faults.append("a call was made after the GOAWAY")
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", stream, 0)))
        self.begin(stream)
        self.send_data(stream, reply())
        self.end(stream)

    def answer_rst_after_header(self, stream):
        self.begin(stream)
        self.reset(stream)

    def answer_rst_during_data(self, stream):
        self.begin(stream)
        self.send_data(stream, reply()[:REPLY_SIZE // 2])
        self.reset(stream)

    def answer_rst_after_data(self, stream):
        self.begin(stream)
        self.send_data(stream, reply())
        self.reset(stream)

    def answer_ping(self, stream):
        self.ping()
        self.begin(stream)
        self.ping()
        self.ping()
        self.send_data(stream, reply())
        self.ping()
        self.end(stream)

    def answer_max_streams(self, stream):
        if self.answered == 1:
            self.send(frame(SETTINGS, 0, 0, struct.pack(">HI", MAX_CONCURRENT_STREAMS, 1)))
        # Whatever the client has sent by now comes before its answer to a PING.
        mine = self.ping()
        while mine in self.pings:
            self.read_frame()
        self.begin(stream)
        self.send_data(stream, reply())
        self.end(stream)
        self.windows.pop(stream, None)

    def answer_data_frame_padding(self, stream):
        self.begin(stream)
        self.send_data(stream, reply(), 5, 255)
        self.end(stream)

    def answer_no_df_padding_sanity_test(self, stream):
        self.begin(stream)
        self.send_data(stream, reply(), 5)
        self.end(stream)


class Server:
    """Serves one case on a port that the system chose, until it is closed."""

    def __init__(self, case):
        self.case = case
        self.faults = []
        self.connections = 0
        self.requests = 0
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self, sock)
        try:
            with sock:
                connection.serve()
        except (Gone, ConnectionError):
            pass
        except OSError as error:
            self.faults.append(f"the connection broke: {error}")
        if connection.pings:
            self.faults.append(f"{len(connection.pings)} PINGs were not acknowledged")

    def close(self):
        """Waits until the clients are gone."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in [self.acceptor, *self.threads]:
            thread.join(30)
            if thread.is_alive():
                self.faults.append("a connection was left open")


class Raw:
    """A client made of frames, that does nothing by itself."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")
        self.send(PREFACE, frame(SETTINGS, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def request(self, stream):
        """A whole request for Server, which does not look into it."""
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x83"))

    def call(self, path, *fields):
        """The headers of a call, on stream 1."""
        block = b"\x83\x86"  # ":method: POST", ":scheme: http"
        for name, value in ((b":path", path.encode()), (b":authority", b"localhost"),
                            (b"te", b"trailers"), (b"content-type", b"application/grpc"), *fields):
            block += literal(name, value)
        self.send(frame(HEADERS, END_HEADERS, 1, block))

    def wait(self, kind, flags=0):
        """The payload of the next frame of this type with these flags."""
        while True:
            head = self.file.read(9)
            payload = self.file.read(int.from_bytes(head[:3], "big"))
            if head[3] == kind and head[4] & flags == flags:
                return payload
