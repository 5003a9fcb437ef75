"""Python's client and Caw's server under load: many calls on one connection,
long streams, slow readers; and the server's life: start, restart, drain."""
import itertools
import os
import queue
import signal
import threading

import harness
from harness import MIB, TIMEOUT, Feed, grpc, scaled

import peer_pb2 as pb
import peer_pb2_grpc as stubs

SERVICES = {"Callback": stubs.CallbackStub, "Blocking": stubs.BlockingStub}
ids = itertools.count(1)


class Load(harness.Case):
    def setUp(self):
        self.server = self.serve("peer-server")
        # Without its probes, Python's client takes 64 KiB ahead of a reader;
        # with them, as much as it guesses that the network would hold.
        self.channel = self.connect(self.server.address, ("grpc.http2.bdp_probe", 0))
        self.watch = stubs.WatchStub(self.channel)

    def each(self):
        return [stub(self.channel) for stub in SERVICES.values()]

    def test_a_thousand_calls_at_once(self):
        """Ten times what the server lets a connection have at once."""
        n = scaled(1000)
        for stub in self.each():
            futures = [stub.Unary.future(pb.Order(data=b"%d" % i), timeout=TIMEOUT)
                       for i in range(n)]
            self.assertEqual([f.result().data for f in futures], [b"%d" % i for i in range(n)])

    def test_as_many_handlers_as_streams(self):
        """The server's limit is really reached: 100 calls hang at once, and
        the next ones wait for them."""
        stub = stubs.CallbackStub(self.channel)
        names = [f"hang-{i}" for i in range(100)]
        watch = stubs.WatchStub(self.connect(self.server.address))
        hung = [stub.Unary.future(pb.Order(id=n, hang=True), timeout=TIMEOUT) for n in names]
        for name in names:
            watch.Seen(pb.Order(id=name, event="started"), timeout=TIMEOUT)
        more = [stub.Unary.future(pb.Order(data=b"m"), timeout=TIMEOUT) for _ in range(10)]
        self.assertFalse(any(f.done() for f in more))
        for name in names:
            watch.Release(pb.Order(id=name), timeout=TIMEOUT)
        self.assertEqual([f.result().data for f in more], [b"m"] * 10)
        self.assertEqual([f.code() for f in hung], [grpc.StatusCode.OK] * 100)

    def test_a_hundred_streams_of_a_hundred(self):
        """All streams at once, each message answered before the next."""
        streams, messages = 100, scaled(100)
        # 32 blocking handlers run at a time: more streams would wait for them.
        for name, count in (("Callback", streams), ("Blocking", 30)):
            feeds = [Feed() for _ in range(count)]
            calls = [SERVICES[name](self.channel).Both(f, timeout=TIMEOUT) for f in feeds]
            for i in range(1, messages + 1):
                for feed in feeds:
                    feed.put(pb.Order(index=i, data=b"%d" % i))
                for call in calls:
                    answer = next(call)
                    self.assertEqual((answer.index, answer.data), (i, b"%d" % i))
            for feed, call in zip(feeds, calls):
                feed.end()
                self.assertEqual(list(call), [])

    def test_long_streams_of_small_messages(self):
        n = scaled(20000)
        for stub in self.each():
            for want, answer in enumerate(
                    stub.Replies(pb.Order(replies=n, data=b"small"), timeout=TIMEOUT), 1):
                if answer.index != want:
                    self.fail(f"reply {answer.index} where {want} was due")
            self.assertEqual(want, n)
            orders = (pb.Order(index=i, data=b"small") for i in range(1, n + 1))
            answer = stub.Requests(orders, timeout=TIMEOUT)
            self.assertEqual((answer.requests, answer.bytes, answer.disorder), (n, 5 * n, False))

    def test_slow_reader(self):
        """While nobody reads, the handler stands still, and others do not."""
        n = scaled(20000)
        for stub in self.each():
            name = f"slow-{next(ids)}"
            call = stub.Replies(pb.Order(id=name, replies=n, data=b"r" * 1000), timeout=TIMEOUT)
            self.assertEqual(next(call).index, 1)
            seen = self.watch.Seen.future(pb.Order(id=name, event="done"), timeout=TIMEOUT)
            for _ in range(200):
                stub.Unary(pb.Order(data=b"fast" * 1000), timeout=TIMEOUT)
            self.assertFalse(seen.done())
            self.assertEqual([a.index for a in call], list(range(2, n + 1)))
            self.assertEqual(seen.result().index, n)

    def test_calls_that_end_before_they_begin(self):
        """Deadlines that are over and cancels at once: gRPC's core resets
        streams that it never opened. The other calls of the connection go on."""
        n = scaled(5000)
        for stub in self.each():
            feed = Feed()
            witness = stub.Both(feed, timeout=TIMEOUT)
            for i in range(1, n + 1):
                hasty = [stub.Unary.future(pb.Order(data=b"x" * (i % 700)), timeout=t)
                         for t in (1e-9, 1e-6, 1e-4, TIMEOUT)]
                if i % 2:
                    hasty[3].cancel()
                if i % 50 == 0:
                    feed.put(pb.Order(index=i // 50, data=b"w"))
                    self.assertEqual(next(witness).index, i // 50)
                    self.assertEqual(hasty[3].code(), grpc.StatusCode.OK)
                for call in hasty:
                    self.assertIn(call.code(), (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED,
                                                grpc.StatusCode.DEADLINE_EXCEEDED), call.details())
            feed.end()
            self.assertEqual(list(witness), [])

    def test_slow_reader_of_echoes(self):
        """Who does not read its echoes is not read for ever either."""
        limit = scaled(100000)
        for stub in self.each():
            taken = []
            stop = threading.Event()

            def requests():
                for i in range(1, limit + 1):
                    if stop.is_set():
                        return
                    taken.append(i)
                    yield pb.Order(index=i, data=b"e" * 1000)
            call = stub.Both(requests(), timeout=TIMEOUT)
            self.assertEqual(next(call).index, 1)
            for _ in range(200):
                stub.Unary(pb.Order(data=b"fast" * 1000), timeout=TIMEOUT)
            self.assertLess(len(taken), limit)
            stop.set()
            self.assertEqual([a.index for a in call], list(range(2, len(taken) + 1)))


class Life(harness.Case):
    def test_wait_for_ready(self):
        path = os.path.join(self.folder(), "socket")
        channel = self.connect("unix:" + path)
        states = []
        failed = threading.Event()

        def on_state(state):
            states.append(state)
            if state == grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                failed.set()
        channel.subscribe(on_state, try_to_connect=True)
        stub = stubs.CallbackStub(channel)
        future = stub.Unary.future(pb.Order(data=b"w"), timeout=TIMEOUT, wait_for_ready=True)
        self.assertTrue(failed.wait(TIMEOUT), states)
        self.assertFalse(future.done())
        self.fails(grpc.StatusCode.UNAVAILABLE, stub.Unary, pb.Order())
        self.serve("peer-server", "--listen", "unix:" + path)
        self.assertEqual(future.result(TIMEOUT).data, b"w")

    def test_restart(self):
        """A channel connects anew to a server that was stopped, or killed."""
        path = os.path.join(self.folder(), "socket")
        listen = ("--listen", "unix:" + path)
        channel = self.connect("unix:" + path)
        stub = stubs.CallbackStub(channel)
        states = queue.Queue()
        channel.subscribe(states.put)
        server = self.serve("peer-server", *listen)
        for end in (True, False):
            self.assertEqual(stub.Unary(pb.Order(data=b"1"), timeout=TIMEOUT,
                                        wait_for_ready=True).data, b"1")
            call = stub.Replies(pb.Order(id="x", hang=True, replies=1), timeout=TIMEOUT)
            next(call)
            while states.get(timeout=TIMEOUT) != grpc.ChannelConnectivity.READY:
                pass
            if end:
                call.cancel()
                server.stop()
            else:
                server.kill()
                with self.assertRaises(grpc.RpcError):
                    next(call)
                self.assertEqual(call.code(), grpc.StatusCode.UNAVAILABLE)
            while states.get(timeout=TIMEOUT) == grpc.ChannelConnectivity.READY:
                pass
            server = self.serve("peer-server", *listen)
        self.assertEqual(stub.Unary(pb.Order(data=b"2"), timeout=TIMEOUT,
                                    wait_for_ready=True).data, b"2")

    def drain(self, service, grace):
        server = self.serve("peer-server", "--grace", str(grace))
        channel, other = self.connect(server.address), self.connect(server.address)
        stub, watch = SERVICES[service](channel), stubs.WatchStub(other)
        unary = stub.Unary.future(pb.Order(id="u", hang=True, data=b"u"), timeout=TIMEOUT)
        stream = stub.Replies(pb.Order(id="s", hang=True, replies=3), timeout=TIMEOUT)
        both = stub.Both(Feed(pb.Order(id="b")), timeout=TIMEOUT)
        self.assertEqual([next(stream).index for _ in range(3)], [1, 2, 3])
        self.assertEqual(next(both).index, 1)
        for name in ("u", "s", "b"):
            watch.Seen(pb.Order(id=name, event="started"), timeout=TIMEOUT)
        # The watch's own connection has a call open too, so it stays usable.
        held = watch.Seen.future(pb.Order(id="s", event="done"), timeout=TIMEOUT)
        server.signal(signal.SIGTERM)
        server.wait_line("^draining$")
        return server, watch, unary, stream, both, held

    def test_drain_lets_calls_finish(self):
        for service in SERVICES:
            with self.subTest(service):
                path = os.path.join(self.folder(), "s")
                server = self.serve("peer-server", "--grace", str(TIMEOUT * 1000),
                                    "--listen", "unix:" + path)
                channel = self.connect("unix:" + path)
                stub = SERVICES[service](channel)
                feed = Feed(pb.Order(index=1, data=b"1"))
                call = stub.Both(feed, timeout=TIMEOUT)
                self.assertEqual(next(call).data, b"1")
                server.signal(signal.SIGTERM)
                server.wait_line("^draining$")
                for i in range(2, 20):
                    feed.put(pb.Order(index=i, data=b"%d" % i))
                    self.assertEqual(next(call).data, b"%d" % i)
                self.assertFalse(server.process.poll())
                feed.end()
                self.assertEqual(list(call), [])
                self.assertEqual(call.code(), grpc.StatusCode.OK)
                server.wait(0)

    def test_drain_ends_the_rest(self):
        for service in SERVICES:
            with self.subTest(service):
                server, _, unary, stream, both, held = self.drain(service, 300)
                for call in (unary, stream, both):
                    self.assertEqual((call.code(), call.details()),
                                     (grpc.StatusCode.UNAVAILABLE, "the server is shutting down"))
                self.assertIn(held.code(), (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE))
                server.wait(0)

    def test_drain_does_not_cut_what_is_finished(self):
        """A call whose handler is done, but whose reply waits for the reader
        when the grace is over, still has the moment that statuses have."""
        server = self.serve("peer-server", "--grace", "100")
        stub = stubs.CallbackStub(self.connect(server.address))
        other = self.connect(server.address)
        large = stub.Replies(pb.Order(id="l", replies=1, size=4 * MIB - 7), timeout=TIMEOUT)
        large.initial_metadata()
        hung = stubs.CallbackStub(other).Unary.future(pb.Order(id="h", hang=True), timeout=TIMEOUT)
        stubs.WatchStub(other).Seen(pb.Order(id="h", event="started"), timeout=TIMEOUT)
        server.signal(signal.SIGTERM)
        self.assertEqual(hung.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual([len(m.data) for m in large], [4 * MIB - 7])
        self.assertEqual(large.code(), grpc.StatusCode.OK)
        server.wait(0)


class Forward(harness.Case):
    """A handler that makes a call of its own on behalf of the one it serves."""

    def setUp(self):
        self.back = self.serve("peer-server")
        self.front = self.serve("peer-server", "--loops", "1", "--forward", self.back.address)
        self.stub = stubs.WatchStub(self.connect(self.front.address))
        self.watch = stubs.WatchStub(self.connect(self.back.address))

    def test_reply_and_status(self):
        answer = self.stub.Forward(pb.Order(data=b"through"), timeout=30)
        self.assertEqual(answer.data, b"through")
        self.assertIn("grpc-c-caw/", answer.user_agent)
        self.assertGreater(answer.time_left_ms, 0)
        self.assertLessEqual(answer.time_left_ms, 30300)
        self.assertEqual(self.stub.Forward(pb.Order()).time_left_ms, -1)
        error = self.fails(grpc.StatusCode.NOT_FOUND, self.stub.Forward,
                           pb.Order(code=5, text="ö"))
        self.assertEqual(error.details(), "ö")

    def test_cancellation(self):
        call = self.stub.Forward.future(pb.Order(id="c", hang=True))
        self.watch.Seen(pb.Order(id="c", event="started"), timeout=TIMEOUT)
        call.cancel()
        self.watch.Seen(pb.Order(id="c", event="cancelled"), timeout=TIMEOUT)

    def test_deadline(self):
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED, self.stub.Forward,
                   pb.Order(id="d", hang=True), timeout=3)
        self.watch.Seen(pb.Order(id="d", event="cancelled"), timeout=TIMEOUT)


if __name__ == "__main__":
    harness.main()
