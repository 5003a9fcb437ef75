"""Python's client and Caw's server: the four kinds of call, metadata, statuses,
deadlines, cancellation and early ends, against both faces of the server."""
import itertools

import harness
from harness import MIB, TIMEOUT, Feed, grpc

import peer_pb2 as pb
import peer_pb2_grpc as stubs

CODES = {code.value[0]: code for code in grpc.StatusCode}
ids = itertools.count(1)


def pattern(index, size):
    return bytes((index + i) % 256 for i in range(size))


class Faces:
    """The tests, for one of the services; the server is shared by a class."""
    service = None

    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server("peer-server")
        cls.channel = harness.channel_to(cls.server.address)
        cls.stub = getattr(stubs, cls.service + "Stub")(cls.channel)
        cls.watch = stubs.WatchStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()

    def seen(self, name, event):
        """What the server has noted; waits until the event has happened."""
        return self.watch.Seen(pb.Order(id=name, event=event), timeout=TIMEOUT)

    def alive(self):
        self.assertEqual(self.stub.Unary(pb.Order(data=b"alive"), timeout=TIMEOUT).data, b"alive")

    # ---- The four kinds ----

    def test_unary(self):
        answer = self.stub.Unary(pb.Order(data=b"\0\xff data"), timeout=TIMEOUT)
        self.assertEqual(answer.data, b"\0\xff data")
        self.assertEqual(answer.requests, 1)

    def test_replies(self):
        for n in (0, 1, 100):
            answers = list(self.stub.Replies(pb.Order(replies=n, size=10), timeout=TIMEOUT))
            self.assertEqual([(a.index, a.data) for a in answers],
                             [(i, pattern(i, 10)) for i in range(1, n + 1)])

    def test_requests(self):
        for n in (0, 1, 100):
            orders = (pb.Order(index=i, data=b"x" * i) for i in range(1, n + 1))
            answer = self.stub.Requests(orders, timeout=TIMEOUT)
            self.assertEqual((answer.requests, answer.bytes, answer.disorder),
                             (n, n * (n + 1) // 2, False))

    def test_both(self):
        for n in (0, 1, 100):
            orders = (pb.Order(index=i, data=b"%d" % i) for i in range(1, n + 1))
            answers = list(self.stub.Both(orders, timeout=TIMEOUT))
            self.assertEqual([(a.index, a.data) for a in answers],
                             [(i, b"%d" % i) for i in range(1, n + 1)])

    def test_both_in_turns(self):
        feed = Feed()
        call = self.stub.Both(feed, timeout=TIMEOUT)
        for i in range(1, 21):
            feed.put(pb.Order(index=i, data=b"%d" % i))
            self.assertEqual(next(call).data, b"%d" % i)
        feed.end()
        self.assertEqual(list(call), [])
        self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_empty_messages(self):
        self.assertEqual(self.stub.Unary(pb.Order(), timeout=TIMEOUT).data, b"")
        raw = self.channel.stream_stream(f"/peer.{self.service}/Both")
        self.assertEqual(len(list(raw(iter([b""] * 50), timeout=TIMEOUT))), 50)

    # ---- Metadata ----

    def test_metadata_both_ways(self):
        sent = [("x-text", "plain"), ("x-text", "again"), ("x-spaces", "a b  c"), ("x-empty", ""),
                ("x-odd_name.1", "~!\"#$%&'()*+,;<=>?@[]^`{|}"), ("x-large", "L" * 4000),
                ("x-all-bin", bytes(range(256))), ("x-none-bin", b""), ("x-one-bin", b"\0"),
                ("x-two-bin", b"\xff\xfe"), ("x-two-bin", b"second"), ("x-comma", "a,b, c"),
                ("x-large-bin", bytes(range(256)) * 8)]
        for call in (self.stub.Unary.with_call(pb.Order(metadata=True), metadata=sent)[1],
                     self.stub.Requests.with_call(iter([pb.Order(metadata=True)]),
                                                  metadata=sent)[1],
                     self.stub.Replies(pb.Order(metadata=True, replies=2), metadata=sent),
                     self.stub.Both(iter([pb.Order(metadata=True)]), metadata=sent)):
            if hasattr(call, "__iter__"):
                list(call)
            mine = lambda got: sorted((k, v) for k, v in got if k.startswith("x-"))
            self.assertEqual(mine(call.initial_metadata()), sorted(sent))
            self.assertEqual(mine(call.trailing_metadata()), sorted(sent))
            # Values of one key keep their order.
            got = call.initial_metadata()
            self.assertEqual([v for k, v in got if k == "x-text"], ["plain", "again"])
            self.assertEqual([v for k, v in got if k == "x-two-bin"], [b"\xff\xfe", b"second"])

    def test_metadata_with_an_error(self):
        error = self.fails(grpc.StatusCode.NOT_FOUND, self.stub.Unary,
                           pb.Order(metadata=True, code=5, text="no"),
                           metadata=[("x-a", "1"), ("x-b-bin", b"\0\1")])
        self.assertEqual(error.details(), "no")
        trailing = dict(error.trailing_metadata())
        self.assertEqual((trailing["x-a"], trailing["x-b-bin"]), ("1", b"\0\1"))

    def test_what_the_handler_sees_of_the_client(self):
        answer = self.stub.Unary(pb.Order(), timeout=TIMEOUT)
        self.assertRegex(answer.user_agent, r"grpc-python/")
        self.assertEqual(answer.authority,
                         harness.TLS_NAME if harness.TLS else self.server.address)
        self.assertRegex(answer.peer, r"^ipv4:127\.0\.0\.1:\d+$")

    def test_initial_metadata_before_the_first_message(self):
        name = f"early-{next(ids)}"
        for start in (lambda o: self.stub.Replies(o, metadata=[("x-k", "v")], timeout=TIMEOUT),
                      lambda o: self.stub.Both(Feed(o), metadata=[("x-k", "v")], timeout=TIMEOUT)):
            name = f"early-{next(ids)}"
            call = start(pb.Order(id=name, hang=True, headers_now=True, metadata=True))
            self.assertEqual(dict(call.initial_metadata())["x-k"], "v")
            self.assertTrue(call.is_active())
            call.cancel()
            self.seen(name, "done")

    # ---- Statuses ----

    TEXTS = ["", "plain", "per%cent %41 100%", "line\nbreak\r\n\ttab", "日本語 ünïcode ☃ 🎉",
             "\x01\x7f control", "long " * 300, " leading and trailing "]

    def test_every_status(self):
        for code in range(1, 17):
            text = self.TEXTS[code % len(self.TEXTS)]
            error = self.fails(CODES[code], self.stub.Unary, pb.Order(code=code, text=text))
            self.assertEqual(error.details(), text)

    def test_texts_of_a_status(self):
        for text in self.TEXTS:
            error = self.fails(grpc.StatusCode.ABORTED, self.stub.Unary,
                               pb.Order(code=10, text=text))
            self.assertEqual(error.details(), text)

    def test_status_after_messages(self):
        for n in (0, 1, 30):
            for start in (lambda n: self.stub.Replies(
                              pb.Order(replies=n, code=9, text="späť %"), timeout=TIMEOUT),
                          lambda n: self.stub.Both(
                              (pb.Order(index=i + 1, code=9, text="späť %") for i in range(n)),
                              timeout=TIMEOUT)):
                got = []
                call = start(n)
                try:
                    for answer in call:
                        got.append(answer.index)
                except grpc.RpcError:
                    pass
                self.assertEqual(got, list(range(1, n + 1)))
                want = (grpc.StatusCode.FAILED_PRECONDITION, "späť %")
                if n == 0 and call.code() == grpc.StatusCode.OK:
                    want = (grpc.StatusCode.OK, "")  # Both without a request has no orders
                self.assertEqual((call.code(), call.details()), want)
        error = self.fails(grpc.StatusCode.DATA_LOSS, self.stub.Requests,
                           iter([pb.Order(code=15, text="gone"), pb.Order()]))
        self.assertEqual(error.details(), "gone")

    # ---- Deadlines ----

    def test_time_left(self):
        for timeout in (2, 20, 3000, 100000):
            answer = self.stub.Unary(pb.Order(), timeout=timeout)
            # Python's client rounds up, by at most a hundredth.
            self.assertLessEqual(answer.time_left_ms, timeout * 1010)
            self.assertGreater(answer.time_left_ms, timeout * 1000 - 20000 if timeout > 20 else 0)
        self.assertEqual(self.stub.Unary(pb.Order()).time_left_ms, -1)

    def test_deadline(self):
        """All at once, with time for their handlers to begin."""
        calls = {}
        for start in (self.stub.Unary.future, self.stub.Replies,
                      lambda o, timeout: self.stub.Requests.future(iter([o]), timeout=timeout),
                      lambda o, timeout: self.stub.Both(iter([o]), timeout=timeout)):
            name = f"deadline-{next(ids)}"
            calls[name] = start(pb.Order(id=name, hang=True), timeout=4)
        for name, call in calls.items():
            self.assertEqual(call.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            note = self.seen(name, "cancelled")
            self.assertGreaterEqual(note.time_left_ms, 0)
            self.assertLessEqual(note.time_left_ms, 4040)
            self.seen(name, "done")
        self.alive()

    # ---- Cancellation ----

    def cancel(self, start, order_of):
        name = f"cancel-{next(ids)}"
        call = start(order_of(name))
        self.seen(name, "started")
        call.cancel()
        self.seen(name, "cancelled")
        self.assertEqual(self.seen(name, "done").code, grpc.StatusCode.CANCELLED.value[0])
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        return self.seen(name, "done")

    def hanging(self, name):
        return pb.Order(id=name, hang=True)

    def test_cancel_unary(self):
        self.cancel(self.stub.Unary.future, self.hanging)

    def test_cancel_replies(self):
        self.cancel(self.stub.Replies, self.hanging)

    def test_cancel_replies_in_full_flow(self):
        note = self.cancel(self.stub.Replies,
                           lambda name: pb.Order(id=name, replies=10**9, size=1000))
        self.assertLess(note.index, 10**6)

    def test_cancel_requests(self):
        self.cancel(lambda o: self.stub.Requests.future(Feed(o)), self.hanging)
        self.cancel(lambda o: self.stub.Requests.future(iter([o])), self.hanging)

    def test_cancel_both(self):
        self.cancel(lambda o: self.stub.Both(Feed(o)), self.hanging)
        self.cancel(lambda o: self.stub.Both(iter([o])), self.hanging)
        self.alive()

    def test_client_leaves_after_some_replies(self):
        name = f"leave-{next(ids)}"
        call = self.stub.Replies(pb.Order(id=name, replies=10**9, size=100))
        for _ in range(10):
            next(call)
        call.cancel()
        self.seen(name, "cancelled")
        self.alive()

    def test_release(self):
        name = f"release-{next(ids)}"
        future = self.stub.Unary.future(pb.Order(id=name, hang=True, data=b"late"))
        self.seen(name, "started")
        self.watch.Release(pb.Order(id=name))
        self.assertEqual(future.result(TIMEOUT).data, b"late")

    # ---- The server ends first ----

    def test_server_ends_while_the_client_sends(self):
        for code, text in ((0, ""), (8, "enough")):
            feed = Feed(*(pb.Order(index=i, stop_after=3, code=code, text=text)
                          for i in range(1, 4)))
            future = self.stub.Requests.future(feed, timeout=TIMEOUT)
            self.assertEqual(future.code(), CODES[code])
            self.assertEqual(future.details(), text)
            if not code:
                self.assertEqual(future.result().requests, 3)
            feed.end()
            feed = Feed(*(pb.Order(index=i, stop_after=3, code=code, text=text)
                          for i in range(1, 4)))
            call = self.stub.Both(feed, timeout=TIMEOUT)
            got = []
            try:
                for answer in call:
                    got.append(answer.index)
            except grpc.RpcError:
                pass
            self.assertEqual((got, call.code(), call.details()), ([1, 2, 3], CODES[code], text))
            feed.end()

    def test_server_ends_under_a_flood_of_requests(self):
        """The client is in the midst of megabytes that nobody will read."""
        def flood():
            for i in itertools.count(1):
                yield pb.Order(index=i, data=b"f" * 10000, stop_after=50, code=8, text="enough")
        error = self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.stub.Requests, flood())
        self.assertEqual(error.details(), "enough")
        self.alive()

    # ---- Sizes ----

    def exactly(self, size):
        """An order whose encoding has this size."""
        order = pb.Order(data=b"d" * (size - 5))
        self.assertEqual(order.ByteSize(), size)
        return order

    def test_request_at_the_limit(self):
        channel = self.connect(self.server.address, ("grpc.max_receive_message_length", 5 * MIB))
        stub = getattr(stubs, self.service + "Stub")(channel)
        order = self.exactly(4 * MIB)
        self.assertEqual(stub.Unary(order, timeout=TIMEOUT).data, order.data)
        self.assertEqual(stub.Requests(iter([order] * 3), timeout=TIMEOUT).bytes,
                         3 * len(order.data))
        answers = list(stub.Both(iter([order] * 3), timeout=TIMEOUT))
        self.assertTrue(all(a.data == order.data for a in answers))
        self.assertEqual(len(answers), 3)

    def test_request_over_the_limit(self):
        order = self.exactly(4 * MIB + 1)
        for start in (self.stub.Unary, lambda o, timeout: self.stub.Requests(iter([o]), timeout),
                      lambda o, timeout: self.stub.Both(iter([pb.Order(), o]), timeout)):
            error = self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, start, order)
            self.assertIn("larger than the receiver's limit", error.details())
        self.alive()

    def test_reply_at_the_limit(self):
        size = 4 * MIB - 7  # the index takes 2, the data's tag and length 5
        answer = self.stub.Unary(pb.Order(size=size), timeout=TIMEOUT)
        self.assertEqual(answer.ByteSize(), 4 * MIB)
        self.assertEqual(answer.data, pattern(1, 256) * (size // 256) + pattern(1, size % 256))
        self.assertEqual([a.ByteSize() for a in
                          self.stub.Replies(pb.Order(size=size, replies=2), timeout=TIMEOUT)],
                         [4 * MIB] * 2)
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.stub.Unary, pb.Order(size=size + 1))
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.stub.Replies,
                   pb.Order(size=size + 1, replies=2))
        self.alive()

    # ---- What is not as it should be ----

    def raw(self, method, kind="unary_unary"):
        return getattr(self.channel, kind)(f"/peer.{self.service}/{method}")

    def test_malformed_requests(self):
        cases = {b"\xff": "truncated tag", b"\x1a\x05ab": "length past the end",
                 b"\x0a\x02\xff\xfe": "id is not UTF-8", b"\x0b": "a group without its end",
                 b"\x00\x01": "field 0", b"\x10" + b"\xff" * 10 + b"\x01": "an endless varint"}
        for bad, why in cases.items():
            with self.subTest(why):
                for method, kind, request in (("Unary", "unary_unary", bad),
                                              ("Replies", "unary_stream", bad),
                                              ("Requests", "stream_unary", iter([b"", bad])),
                                              ("Both", "stream_stream", iter([b"", bad]))):
                    self.fails(grpc.StatusCode.INTERNAL, self.raw(method, kind), request)
        self.alive()

    def test_number_of_requests(self):
        for method in ("Unary", "Replies"):
            for requests in ([], [b"", b""]):
                error = self.fails(grpc.StatusCode.UNIMPLEMENTED,
                                   self.raw(method, "stream_stream"), iter(requests))
                self.assertIn("one request", error.details())

    def test_unknown_method_and_service(self):
        for path in (f"/peer.{self.service}/No", "/no.Such/Unary",
                     f"/peer.{self.service.lower()}/Unary"):
            error = self.fails(grpc.StatusCode.UNIMPLEMENTED, self.channel.unary_unary(path), b"")
            self.assertIn(path, error.details())
        for path in ("/", "/peer", f"/peer.{self.service}/Unary/"):
            self.fails(grpc.StatusCode.UNIMPLEMENTED, self.channel.unary_unary(path), b"")
        for kind in ("unary_stream", "stream_unary", "stream_stream"):
            request = b"" if kind.startswith("unary") else iter([b""] * 10)
            self.fails(grpc.StatusCode.UNIMPLEMENTED,
                       getattr(self.channel, kind)("/no.Such/Method"), request)
        self.alive()


class CallbackFace(Faces, harness.Case):
    service = "Callback"


class BlockingFace(Faces, harness.Case):
    service = "Blocking"


if __name__ == "__main__":
    harness.main()
