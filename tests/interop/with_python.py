"""Python's gRPC, in this process, with our interop programs, in both directions.
Neither face of Python shows whether a message was compressed; C++ does
(with_cpp.py)."""
import concurrent.futures
import time
import unittest

import harness
import kit
from harness import TIMEOUT, Feed, grpc

import interop_messages_pb2 as pb
import interop_empty_pb2 as empty
import interop_test_pb2_grpc as stubs

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
METADATA = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
TEXTS = ["test status message",
         "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"]
REQUESTS, REPLIES = [27182, 8, 1828, 45904], [31415, 9, 2653, 58979]
CODES = {code.value[0]: code for code in grpc.StatusCode}


def zeros(size):
    return pb.Payload(body=bytes(size))


def large(**more):
    return pb.SimpleRequest(response_size=314159, payload=zeros(271828), **more)


class Service(stubs.TestServiceServicer):
    """The TestService; the cases need no more of it."""

    def echo(self, context):
        for key, value in context.invocation_metadata():
            if key == INITIAL:
                context.send_initial_metadata(((key, value),))
            if key == TRAILING:
                context.set_trailing_metadata(((key, value),))

    def status(self, request, context):
        if request.HasField("response_status"):
            context.abort(CODES[request.response_status.code], request.response_status.message)

    def EmptyCall(self, request, context):
        return empty.Empty()

    def UnaryCall(self, request, context):
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        self.echo(context)
        self.status(request, context)
        return pb.SimpleResponse(payload=zeros(request.response_size))

    def StreamingInputCall(self, requests, context):
        size = sum(len(request.payload.body) for request in requests)
        return pb.StreamingInputCallResponse(aggregated_payload_size=size)

    def StreamingOutputCall(self, request, context):
        self.status(request, context)
        if any(p.compressed.value for p in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for p in request.response_parameters:
            if not p.compressed.value:
                context.disable_next_message_compression()
            yield pb.StreamingOutputCallResponse(payload=zeros(p.size))

    def FullDuplexCall(self, requests, context):
        self.echo(context)
        for request in requests:
            yield from self.StreamingOutputCall(request, context)


@kit.per_case(kit.PLAIN + kit.SERVER_COMPRESSED + ["concurrent_large_unary"])
class PythonServer(kit.Case):
    """Our client, Python's server."""

    @classmethod
    def setUpClass(cls):
        cls.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        stubs.add_TestServiceServicer_to_server(Service(), cls.server)
        cls.port = harness.add_port(cls.server)
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop(0).wait()

    def check(self, case):
        self.passes(case, self.port)

    def test_largest(self):
        kit.check_largest(self, self.port)


class PythonClient(kit.Case):
    """Python's client, our server."""

    @classmethod
    def setUpClass(cls):
        cls.server = kit.serve()
        cls.channel = harness.channel_to(cls.server.address)
        cls.stub = stubs.TestServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()

    def check_large(self, reply):
        self.assertEqual(reply.payload.body, bytes(314159))

    def check_sizes(self, replies, sizes):
        self.assertEqual([len(reply.payload.body) for reply in replies], sizes)

    def order(self, *sizes, request=0, **more):
        parameters = [pb.ResponseParameters(size=size) for size in sizes]
        return pb.StreamingOutputCallRequest(response_parameters=parameters,
                                             payload=zeros(request), **more)

    def test_empty_unary(self):
        self.assertEqual(self.stub.EmptyCall(empty.Empty(), timeout=TIMEOUT), empty.Empty())

    def test_large_unary(self):
        self.check_large(self.stub.UnaryCall(large(), timeout=TIMEOUT))

    def test_cacheable_unary(self):
        first, call = self.stub.CacheableUnaryCall.with_call(large(), timeout=TIMEOUT)
        self.assertIn(("cache-control", "max-age=60, public"), call.initial_metadata())
        second = self.stub.CacheableUnaryCall(large(), timeout=TIMEOUT)
        self.assertLess(int(first.payload.body), int(second.payload.body))

    def test_client_streaming(self):
        requests = (pb.StreamingInputCallRequest(payload=zeros(size)) for size in REQUESTS)
        reply = self.stub.StreamingInputCall(requests, timeout=TIMEOUT)
        self.assertEqual(reply.aggregated_payload_size, 74922)

    def test_server_streaming(self):
        replies = self.stub.StreamingOutputCall(self.order(*REPLIES), timeout=TIMEOUT)
        self.check_sizes(replies, REPLIES)

    def test_ping_pong(self):
        feed = Feed()
        replies = self.stub.FullDuplexCall(feed, timeout=TIMEOUT)
        for request, reply in zip(REQUESTS, REPLIES):
            feed.put(self.order(reply, request=request))
            self.check_sizes([next(replies)], [reply])
        feed.end()
        self.assertEqual(list(replies), [])

    def test_empty_stream(self):
        self.assertEqual(list(self.stub.FullDuplexCall(iter(()), timeout=TIMEOUT)), [])

    def test_half_duplex(self):
        """Nothing is sent before the last request; then all of it, in order."""
        feed = Feed(self.order(1, 2), self.order(), self.order(3))
        replies = self.stub.HalfDuplexCall(feed, timeout=TIMEOUT)
        replies.initial_metadata()
        feed.put(self.order(70000, 4))
        feed.end()
        self.check_sizes(replies, [1, 2, 3, 70000, 4])

    def test_intervals(self):
        """interval_us is a wait before a reply; it holds up neither other calls
        nor the deadline."""
        request = self.order(1, 2, 3)
        for parameters in request.response_parameters:
            parameters.interval_us = 100000
        for call in (lambda t: self.stub.StreamingOutputCall(request, timeout=t),
                     lambda t: self.stub.FullDuplexCall(iter([request]), timeout=t)):
            begin = time.monotonic()
            self.check_sizes(call(TIMEOUT), [1, 2, 3])
            self.assertGreaterEqual(time.monotonic() - begin, 0.3)
            request.response_parameters[2].interval_us = 2000 * 10**6
            with self.assertRaises(grpc.RpcError) as caught:
                list(call(0.4))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            request.response_parameters[2].interval_us = 100000

    def test_many_orders_of_large_replies(self):
        """More than any buffer holds: the orders wait, and come in order."""
        sizes = [100000 + i for i in range(100)]
        orders = [self.order(size) for size in sizes]
        self.check_sizes(self.stub.FullDuplexCall(iter(orders), timeout=TIMEOUT), sizes)
        self.check_sizes(self.stub.HalfDuplexCall(iter(orders), timeout=TIMEOUT), sizes)
        self.check_sizes(self.stub.StreamingOutputCall(self.order(*sizes), timeout=TIMEOUT), sizes)

    def test_wrong_orders(self):
        for request in (pb.SimpleRequest(response_size=-1), pb.SimpleRequest(response_type=7),
                        pb.SimpleRequest(response_size=2**31 - 1)):
            self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.stub.UnaryCall, request)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.stub.StreamingOutputCall,
                   self.order(5, -1))
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.stub.HalfDuplexCall,
                   iter([self.order(*[0] * 60000)] * 2))

    def test_client_compressed_unary(self):
        yes, no = pb.BoolValue(value=True), pb.BoolValue(value=False)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.stub.UnaryCall,
                   large(expect_compressed=yes))
        for encoding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            self.check_large(self.stub.UnaryCall(large(expect_compressed=yes), timeout=TIMEOUT,
                                                 compression=encoding))
            self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.stub.UnaryCall,
                       large(expect_compressed=no), compression=encoding)
        self.check_large(self.stub.UnaryCall(large(expect_compressed=no), timeout=TIMEOUT))

    def test_client_compressed_streaming(self):
        def requests():
            return (pb.StreamingInputCallRequest(payload=zeros(size), expect_compressed=yes)
                    for size in (27182, 45904))
        yes = pb.BoolValue(value=True)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.stub.StreamingInputCall, requests())
        for encoding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            reply = self.stub.StreamingInputCall(requests(), timeout=TIMEOUT, compression=encoding)
            self.assertEqual(reply.aggregated_payload_size, 73086)

    def test_server_compressed(self):
        """That they can be read: Python does not show whether they are compressed."""
        for value in (True, False):
            wanted = pb.BoolValue(value=value)
            self.check_large(self.stub.UnaryCall(large(response_compressed=wanted),
                                                 timeout=TIMEOUT))
        order = self.order(31415, 92653)
        order.response_parameters[0].compressed.value = True
        order.response_parameters[1].compressed.value = False
        for call in (self.stub.StreamingOutputCall(order, timeout=TIMEOUT),
                     self.stub.FullDuplexCall(iter([order]), timeout=TIMEOUT),
                     self.stub.HalfDuplexCall(iter([order]), timeout=TIMEOUT)):
            self.check_sizes(call, [31415, 92653])

    def test_largest_compressed(self):
        """The limit on a message holds for its size after it was decompressed."""
        limit = 4 * harness.MIB
        fits = pb.SimpleRequest(payload=zeros(limit - 10))
        self.assertEqual(fits.ByteSize(), limit)
        for encoding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            self.stub.UnaryCall(fits, timeout=TIMEOUT, compression=encoding)
        fits.payload.body += b"\0"
        for encoding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.stub.UnaryCall, fits,
                       compression=encoding)

    def test_custom_metadata(self):
        reply, call = self.stub.UnaryCall.with_call(large(), metadata=METADATA, timeout=TIMEOUT)
        self.check_large(reply)
        duplex = self.stub.FullDuplexCall(iter([self.order(314159, request=271828)]),
                                          metadata=METADATA, timeout=TIMEOUT)
        self.check_sizes(duplex, [314159])
        for c in (call, duplex):
            self.assertIn(METADATA[0], c.initial_metadata())
            self.assertIn(METADATA[1], c.trailing_metadata())

    def test_statuses(self):
        """status_code_and_message, special_status_message, and every other code."""
        for code in list(CODES)[1:]:
            for text in TEXTS:
                status = pb.EchoStatus(code=code, message=text)
                for fn, request in (
                        (self.stub.UnaryCall, pb.SimpleRequest(response_status=status)),
                        (self.stub.FullDuplexCall, iter([self.order(response_status=status)]))):
                    error = self.fails(CODES[code], fn, request)
                    self.assertEqual(error.details(), text)

    def test_unimplemented(self):
        unknown = stubs.UnimplementedServiceStub(self.channel).UnimplementedCall
        for fn in (self.stub.UnimplementedCall, unknown):
            self.fails(grpc.StatusCode.UNIMPLEMENTED, fn, empty.Empty())

    def test_cancel_after_begin(self):
        call = self.stub.StreamingInputCall.future(Feed(), timeout=TIMEOUT)
        call.cancel()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)

    def test_cancel_after_first_response(self):
        call = self.stub.FullDuplexCall(Feed(self.order(31415, request=27182)), timeout=TIMEOUT)
        self.check_sizes([next(call)], [31415])
        call.cancel()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)

    def test_timeout_on_sleeping_server(self):
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED, self.stub.FullDuplexCall,
                   Feed(self.order(request=27182)), timeout=0.001)

    def test_largest(self):
        limit = 4 * harness.MIB
        options = [("grpc.max_receive_message_length", -1)]
        stub = stubs.TestServiceStub(self.connect(self.server.address, *options))
        fits = pb.SimpleRequest(response_size=limit, payload=zeros(limit - 15))
        self.assertEqual(fits.ByteSize(), limit)
        self.assertEqual(len(stub.UnaryCall(fits, timeout=TIMEOUT).payload.body), limit)
        fits.payload.body += b"\0"
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, stub.UnaryCall, fits)


if __name__ == "__main__":
    unittest.main(verbosity=2)
