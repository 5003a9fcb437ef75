"""Caw's client, with both its faces, and Python's server."""
import concurrent.futures
import os
import sys
import threading

import harness
from harness import MIB, TIMEOUT, grpc, scaled

import peer_pb2 as pb
import peer_pb2_grpc as stubs

CODES = {code.value[0]: code for code in grpc.StatusCode}


class Servicer(stubs.CallbackServicer):
    """Carries orders out, and remembers what it saw by the order's id."""

    def __init__(self):
        self.changed = threading.Condition()
        self.events = {}  # (id, event): what was known
        self.released = set()

    def note(self, name, event, value=True):
        with self.changed:
            self.events[name, event] = value
            self.changed.notify_all()

    def seen(self, name, event):
        with self.changed:
            assert self.changed.wait_for(lambda: (name, event) in self.events, TIMEOUT), \
                (name, event, self.events)
            return self.events[name, event]

    def release(self, name):
        with self.changed:
            self.released.add(name)
            self.changed.notify_all()

    def begin(self, order, context):
        metadata = context.invocation_metadata()
        known = {"metadata": metadata, "time": context.time_remaining(), "peer": context.peer()}

        def over():
            self.note(order.id, "over")
            with self.changed:
                self.changed.notify_all()
        context.add_callback(over)
        if order.metadata:
            back = [(k, v) for k, v in metadata if k.startswith("x-")]
            context.send_initial_metadata(back)
            context.set_trailing_metadata(back)
        elif order.headers_now:
            context.send_initial_metadata(())
        self.note(order.id, "started", known)

    def finish(self, order, context):
        if order.hang:
            with self.changed:
                self.changed.wait_for(lambda: order.id in self.released
                                      or not context.is_active(), TIMEOUT)
            if not context.is_active():
                self.note(order.id, "cancelled")
        if order.code:
            context.abort(CODES[order.code], order.text)

    @staticmethod
    def data(order):
        return b"\0" * order.size if order.size else order.data

    def Unary(self, order, context):
        self.begin(order, context)
        self.finish(order, context)
        return pb.Answer(data=self.data(order))

    def Replies(self, order, context):
        self.begin(order, context)
        for i in range(1, order.replies + 1):
            self.note(order.id, "sent", i)
            yield pb.Answer(index=i, data=self.data(order))
        self.finish(order, context)

    def Requests(self, orders, context):
        first, count, size = None, 0, 0
        for order in orders:
            if first is None:
                first = order
                self.begin(order, context)
            count += 1
            size += len(order.data)
            if order.index and order.index != count:
                context.abort(grpc.StatusCode.DATA_LOSS, "disorder")
            if count == first.stop_after:
                break
        if first is not None:
            self.finish(first, context)
        return pb.Answer(index=1, requests=count, bytes=size)

    def Both(self, orders, context):
        first, count = None, 0
        for order in orders:
            if first is None:
                first = order
                self.begin(order, context)
            count += 1
            yield pb.Answer(index=count, data=self.data(order))
            if count == first.stop_after:
                break
        if first is not None:
            self.finish(first, context)


def start(address="127.0.0.1:0", *options):
    """A server and its servicer, and where it listens."""
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=40)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0), *options])
    servicer = Servicer()
    stubs.add_CallbackServicer_to_server(servicer, server)
    port = harness.add_port(server, address)
    server.start()
    return server, servicer, address if address.startswith("unix:") else f"127.0.0.1:{port}"


class Client(harness.Child):
    """The peer client; lines go in, what comes of the calls comes out."""

    def __init__(self, face, address):
        super().__init__(harness.program("peer-client"), face, address)

    def call(self, line):
        """Makes a call and returns what came of it."""
        self.send(line)
        return self.result()

    def result(self):
        result = {"header": [], "trailer": [], "reply": []}
        while True:
            words = self.wait_line("^").string.split(" ")
            if words[0] in ("header", "trailer"):
                value = bytes.fromhex(words[2])
                result[words[0]].append(
                    (words[1], value if words[1].endswith("-bin") else value.decode()))
            elif words[0] == "reply":
                result["reply"].append((int(words[1]), int(words[2]), bytes.fromhex(words[4])))
                result["requests"] = int(words[3])
            elif words[0] == "status":
                result["status"] = (int(words[1]), bytes.fromhex(words[2]).decode())
            elif words[0] == "total":
                result.update(calls=int(words[1]), replies=int(words[3]), ok=int(words[5]),
                              ordered=words[7] == "ordered")
                return result

    def finish(self):
        if not self.checked:
            self.process.stdin.close()
            self.wait(0)


class Faces:
    face = None

    @classmethod
    def setUpClass(cls):
        cls.server, cls.servicer, cls.address = start(
            "127.0.0.1:0", ("grpc.max_receive_message_length", 5 * MIB))
        cls.names = iter(range(10**6))

    @classmethod
    def tearDownClass(cls):
        cls.server.stop(None).wait(TIMEOUT)

    def setUp(self):
        self.client = self.start_client(self.address)

    def start_client(self, address):
        client = Client(self.face, address)
        self.addCleanup(client.finish)
        return client

    def name(self):
        return f"{self.face}-{next(self.names)}"

    # ---- Kinds ----

    def test_unary(self):
        got = self.client.call("call=unary data=hello timeout=20000")
        self.assertEqual((got["status"], got["reply"]), ((0, ""), [(0, 5, b"hello")]))

    def test_replies(self):
        for n in (0, 1, 100):
            got = self.client.call(f"call=replies replies={n} data=d")
            self.assertEqual((got["status"], got["reply"]),
                             ((0, ""), [(i, 1, b"d") for i in range(1, n + 1)]))

    def test_requests(self):
        for n in (0, 1, 100):
            got = self.client.call(f"call=requests n={n} data=abc")
            self.assertEqual((got["status"], got["requests"]), ((0, ""), n))

    def test_both(self):
        for n in (0, 1, 100):
            got = self.client.call(f"call=both n={n} data=abc")
            self.assertEqual((got["status"], got["reply"]),
                             ((0, ""), [(i, 3, b"abc") for i in range(1, n + 1)]))

    def test_empty_messages(self):
        self.assertEqual(self.client.call("call=unary")["reply"], [(0, 0, b"")])

    # ---- Metadata ----

    def test_metadata(self):
        sent = [("x-text", "plain"), ("x-text", "again"), ("x-spaces", "a b  c"), ("x-empty", ""),
                ("x-odd_name.1", "~!\"#$%&'()*+,;<=>?@[]^`{|}"), ("x-large", "L" * 4000),
                ("x-all-bin", bytes(range(256))), ("x-none-bin", b""), ("x-one-bin", b"\0"),
                ("x-two-bin", b"\xff\xfe"), ("x-two-bin", b"second")]
        words = " ".join("meta=%s:%s" % (k, (v if isinstance(v, bytes) else v.encode()).hex())
                         for k, v in sent)
        for call in ("unary", "replies", "requests", "both"):
            with self.subTest(call):
                name = self.name()
                got = self.client.call(f"call={call} id={name} replies=1 metadata=1 {words}")
                self.assertEqual(got["status"], (0, ""))
                seen = self.servicer.seen(name, "started")["metadata"]
                mine = sorted((k, v) for k, v in seen if k.startswith("x-"))
                self.assertEqual(mine, sorted(sent))
                self.assertRegex(dict(seen)["user-agent"], r"^peer-client grpc-c-caw/\d")
                for part in ("header", "trailer"):
                    back = [(k, v) for k, v in got[part] if k.startswith("x-")]
                    self.assertEqual(sorted(back), sorted(sent), part)
                    self.assertEqual([v for k, v in back if k == "x-text"], ["plain", "again"])

    def test_headers_before_the_first_reply(self):
        """With callbacks they are told at once, while the server still waits."""
        name = self.name()
        self.client.send(f"call=replies id={name} hang=1 metadata=1 meta=x-early:6869")
        self.servicer.seen(name, "started")
        if self.face == "callback":
            self.client.wait_line("^header x-early 6869$")
        self.servicer.release(name)
        self.assertEqual(self.client.result()["status"], (0, ""))

    # ---- Statuses ----

    def test_every_status(self):
        texts = ["plain", "per%cent %41", "line\nbreak\r\n\ttab", "日本語 ünïcode 🎉", "long " * 300]
        for code in range(1, 17):
            text = texts[code % len(texts)]
            got = self.client.call(f"call=unary code={code} text={text.encode().hex()}")
            self.assertEqual((got["status"], got["reply"]), ((code, text), []))
        for call in ("replies", "requests", "both"):
            got = self.client.call(f"call={call} replies=3 n=3 code=9 text={b'no'.hex()}")
            self.assertEqual(got["status"], (9, "no"))
            self.assertEqual(len(got["reply"]), 0 if call == "requests" else 3)

    def test_unknown_method(self):
        for path in ("/peer.Callback/No", "/no.Such/Unary"):
            got = self.client.call(f"call=unary path={path}")
            self.assertEqual(got["status"], (12, "Method not found!"))

    # ---- Deadlines and cancellation ----

    def test_deadline(self):
        """All at once, with time for their handlers to begin."""
        calls = {}
        for call in ("unary", "replies", "requests", "both"):
            name = self.name()
            calls[name] = self.start_client(self.address)
            calls[name].send(f"call={call} id={name} hang=1 timeout=3000")
        for name, client in calls.items():
            got = client.result()
            self.assertEqual(got["status"][0], 4, got)
            time = self.servicer.seen(name, "started")["time"]
            self.assertTrue(0 < time <= 3.01, time)
            self.servicer.seen(name, "over")
        name = self.name()
        self.client.call(f"call=unary id={name} timeout=100000000")
        time = self.servicer.seen(name, "started")["time"]
        self.assertTrue(99900 < time <= 100001, time)

    def test_cancel(self):
        for call in ("unary", "replies", "requests", "both"):
            for more in ("", " open=1" if call in ("requests", "both") else " replies=1"):
                name = self.name()
                self.client.send(f"call={call} id={name} hang=1 wait=cancel{more}")
                self.servicer.seen(name, "started")
                self.client.send("cancel")
                got = self.client.result()
                self.assertEqual(got["status"][0], 1, got)
                self.servicer.seen(name, "over")

    def test_leave_after_some_replies(self):
        name = self.name()
        got = self.client.call(f"call=replies id={name} replies=1000000 cancel=5 quiet=1 size=10")
        self.assertEqual(got["status"][0], 1)
        # Replies that had come already can still be read with the blocking face.
        self.assertGreaterEqual(got["replies"], 5)
        self.assertTrue(got["replies"] == 5 or self.face == "blocking")
        self.servicer.seen(name, "over")
        self.assertLess(self.servicer.seen(name, "sent"), 1000000)

    # ---- The server ends first ----

    def test_server_ends_first(self):
        for code in (0, 8):
            # Python has the text of an OK too.
            for call, replies in (("requests", 1 - bool(code)), ("both", 3)):
                got = self.client.call(f"call={call} n=3 open=1 stop_after=3 code={code} "
                                       f"text={b'enough'.hex()}")
                self.assertEqual((got["status"], len(got["reply"])),
                                 ((code, "enough" if code else ""), replies))
        got = self.client.call(f"call=requests n=100000 fill=1000 stop_after=5 code=8 "
                               f"text={b'enough'.hex()}")
        self.assertEqual(got["status"], (8, "enough"))

    # ---- Sizes and numbers ----

    def test_large_messages(self):
        size = 4 * MIB - 5
        got = self.client.call(f"call=unary fill={size}")
        self.assertEqual((got["status"], got["reply"][0][1]), ((0, ""), size))
        got = self.client.call(f"call=unary size={size}")
        self.assertEqual((got["status"], got["reply"][0][1]), ((0, ""), size))
        got = self.client.call(f"call=replies replies=3 size={size - 2}")
        self.assertEqual((got["status"], [r[1] for r in got["reply"]]), ((0, ""), [size - 2] * 3))
        for call in ("unary", "replies"):
            got = self.client.call(f"call={call} replies=1 size={size + 1}")
            self.assertEqual(got["status"][0], 8, got)
        got = self.client.call(f"call=unary size={size + 1} max_receive={4 * MIB + 1}")
        self.assertEqual((got["status"], got["reply"][0][1]), ((0, ""), size + 1))
        got = self.client.call(f"call=unary fill={5 * MIB} code=0")
        self.assertEqual(got["status"][0], 8, got)

    def test_a_thousand_calls_at_once(self):
        n = scaled(1000)
        got = self.client.call(f"call=unary data=x count={n}")
        self.assertEqual((got["calls"], got["ok"], got["replies"]), (n, n, n))

    def test_a_thousand_calls_where_fifty_may_be(self):
        server, _, address = start("127.0.0.1:0", ("grpc.max_concurrent_streams", 50))
        self.addCleanup(lambda: server.stop(None).wait(TIMEOUT))
        n = scaled(1000)
        got = self.start_client(address).call(f"call=unary data=x count={n}")
        self.assertEqual((got["calls"], got["ok"], got["replies"]), (n, n, n))

    def test_streams_at_once(self):
        n = scaled(100)
        for call in ("requests", "both"):
            got = self.client.call(f"call={call} data=x n=20 count={n}")
            self.assertEqual((got["ok"], got["ordered"]), (n, True))

    def test_long_stream(self):
        n = scaled(20000)
        got = self.client.call(f"call=replies replies={n} data=r quiet=1")
        self.assertEqual((got["status"], got["replies"], got["ordered"]), ((0, ""), n, True))
        got = self.client.call(f"call=requests n={n} data=rr")
        self.assertEqual((got["status"], got["requests"]), ((0, ""), n))

    def test_slow_reader(self):
        """While nobody reads, Python's handler stands still, and others do not."""
        n = 20000
        name = self.name()
        self.client.send(f"call=replies id={name} replies={n} size=1000 quiet=1 wait=read")
        self.servicer.seen(name, "started")
        other = self.start_client(self.address)
        for _ in range(30):
            self.assertEqual(other.call("call=unary data=o")["status"], (0, ""))
        self.assertLess(self.servicer.seen(name, "sent"), n)
        self.client.send("read")
        got = self.client.result()
        self.assertEqual((got["status"], got["replies"], got["ordered"]), ((0, ""), n, True))

    # ---- The server's life ----

    def test_nobody_there(self):
        path = os.path.join(self.folder(), "s")
        client = self.start_client("unix:" + path)
        got = client.call("call=unary")
        self.assertEqual(got["status"][0], 14)
        self.assertIn(path, got["status"][1])

    def test_wait_for_ready(self):
        path = "unix:" + os.path.join(self.folder(), "s")
        client = self.start_client(path)
        self.assertEqual(client.call("call=unary")["status"][0], 14)
        client.send("call=unary data=late ready=1")
        server = start(path)[0]
        self.addCleanup(lambda: server.stop(None).wait(TIMEOUT))
        self.assertEqual(client.result()["reply"], [(0, 4, b"late")])

    def test_stop_with_grace(self):
        """GOAWAY: what runs goes on, what comes later goes to the next server."""
        path = "unix:" + os.path.join(self.folder(), "s")
        server, servicer, _ = start(path)
        client = self.start_client(path)
        client.send("call=unary id=g hang=1 data=grace")
        servicer.seen("g", "started")
        stopped = server.stop(TIMEOUT)
        self.assertFalse(stopped.is_set())
        servicer.release("g")
        self.assertEqual(client.result()["reply"], [(0, 5, b"grace")])
        self.assertTrue(stopped.wait(TIMEOUT))
        server = start(path)[0]
        self.addCleanup(lambda: server.stop(None).wait(TIMEOUT))
        self.assertEqual(client.call("call=unary data=new ready=1")["reply"], [(0, 3, b"new")])

    def test_stop_without_grace(self):
        path = "unix:" + os.path.join(self.folder(), "s")
        server, servicer, _ = start(path)
        client = self.start_client(path)
        client.send("call=replies id=g replies=2 hang=1")
        client.wait_line("^reply 2 ")
        server.stop(0.05).wait(TIMEOUT)
        got = client.result()
        self.assertIn(got["status"][0], (1, 14), got)  # Python cancels what is left

    def test_server_killed(self):
        path = os.path.join(self.folder(), "s")
        child = harness.Child(sys.executable, os.path.abspath(__file__), "--serve", "unix:" + path)
        child.wait_line("^serving$")
        client = self.start_client("unix:" + path)
        client.send("call=replies id=k replies=3 hang=1")
        client.wait_line("^reply 3 ")
        child.kill()
        self.assertEqual(client.result()["status"][0], 14)
        os.unlink(path)
        child = harness.Child(sys.executable, os.path.abspath(__file__), "--serve", "unix:" + path)
        child.wait_line("^serving$")
        self.assertEqual(client.call("call=unary data=back ready=1")["reply"], [(0, 4, b"back")])
        child.kill()


class Forward(harness.Case):
    """Python's client, Caw's server, which calls Python's server on its behalf:
    deadlines and cancellations are passed on."""

    def setUp(self):
        self.server, self.servicer, address = start()
        self.addCleanup(lambda: self.server.stop(None).wait(TIMEOUT))
        front = self.serve("peer-server", "--loops", "1", "--forward", address)
        self.stub = stubs.WatchStub(self.connect(front.address))

    def test_reply_and_status(self):
        self.assertEqual(self.stub.Forward(pb.Order(data=b"f"), timeout=TIMEOUT).data, b"f")
        error = self.fails(grpc.StatusCode.ABORTED, self.stub.Forward, pb.Order(code=10, text="ö%"))
        self.assertEqual(error.details(), "ö%")

    def test_time_is_passed_on(self):
        self.stub.Forward(pb.Order(id="t"), timeout=20)
        time = self.servicer.seen("t", "started")["time"]
        self.assertTrue(0 < time < 20.3, time)
        self.stub.Forward(pb.Order(id="without"))
        # Python tells of no deadline as a time without end.
        self.assertGreater(self.servicer.seen("without", "started")["time"] or 1e9, 1e6)

    def trace_of(self, name, metadata):
        self.stub.Forward(pb.Order(id=name), metadata=metadata, timeout=TIMEOUT)
        return [(k, v) for k, v in self.servicer.seen(name, "started")["metadata"]
                if k.startswith("trace")]

    def test_a_trace_is_passed_on(self):
        parent = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        state = ("tracestate", "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE")
        more = ("tracestate", "x@y=z")
        self.assertEqual(self.trace_of("t1", (parent,)), [parent])
        self.assertEqual(sorted(self.trace_of("t2", (state, parent, more))),
                         sorted([parent, state, more]))
        self.assertEqual(self.trace_of("t3", (state,)), [])
        self.assertEqual(self.trace_of("t4", (parent, parent)), [])
        self.assertEqual(self.trace_of("t5", (parent, ("tracestate", "a=b,=c"))), [parent])
        self.assertEqual(self.trace_of("t6", (("traceparent", parent[1].upper()), state)), [])
        self.assertEqual(self.trace_of("t7", ()), [])

    def test_deadline_is_passed_on(self):
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED, self.stub.Forward,
                   pb.Order(id="d", hang=True), timeout=3)
        self.servicer.seen("d", "cancelled")

    def test_cancellation_is_passed_on(self):
        call = self.stub.Forward.future(pb.Order(id="c", hang=True))
        self.servicer.seen("c", "started")
        call.cancel()
        self.servicer.seen("c", "cancelled")


class CallbackFace(Faces, harness.Case):
    face = "callback"


class BlockingFace(Faces, harness.Case):
    face = "blocking"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serving = start(sys.argv[2])[0]
        print("serving", flush=True)
        serving.wait_for_termination()
    harness.main()
