"""Our reflection, used by Python's gRPC with gRPC's own .proto files as grpcurl does: services
are listed, types described from what the server says alone, and a call made with them."""
import harness
from harness import grpc

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import official_reflection_v1_reflection_pb2 as v1
import official_reflection_v1_reflection_pb2_grpc as v1_grpc
import official_reflection_v1alpha_reflection_pb2 as v1alpha
import official_reflection_v1alpha_reflection_pb2_grpc as v1alpha_grpc

VERSIONS = ((v1, v1_grpc), (v1alpha, v1alpha_grpc))
OWN = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
       "grpc.reflection.v1alpha.ServerReflection"]


class Mirror:
    """A talk with a server's reflection."""

    def __init__(self, channel, version):
        self.types, grpc_types = version
        self.feed = harness.Feed()
        stub = grpc_types.ServerReflectionStub(channel)
        self.replies = stub.ServerReflectionInfo(self.feed, timeout=harness.TIMEOUT)
        self.pool = descriptor_pool.DescriptorPool()
        self.known = {}

    def ask(self, **question):
        request = self.types.ServerReflectionRequest(host="localhost", **question)
        self.feed.put(request)
        reply = next(self.replies)
        assert reply.original_request == request, reply
        assert reply.valid_host == "localhost", reply
        return reply

    def services(self):
        return [s.name for s in self.ask(list_services="").list_services_response.service]

    def take(self, reply):
        """Adds the files of an answer, those that others import first."""
        for data in reply.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            self.known[file.name] = file
        pending = dict(self.known)
        while pending:
            ready = [f for f in pending.values() if not any(d in pending for d in f.dependency)]
            assert ready, list(pending)
            for file in ready:
                self.pool.Add(file)
                del pending[file.name]
        self.known = {}
        return self.pool

    def symbol(self, name):
        return self.take(self.ask(file_containing_symbol=name))

    def end(self):
        self.feed.end()
        assert not list(self.replies)


class Things(harness.Case):
    def setUp(self):
        self.server = self.serve("peer-services")
        self.channel = self.connect(self.server.address)

    def each(self):
        for version in VERSIONS:
            with self.subTest(version[0].DESCRIPTOR.package):
                mirror = Mirror(self.channel, version)
                yield mirror
                mirror.end()

    def test_services(self):
        for mirror in self.each():
            self.assertEqual(mirror.services(), OWN + ["thing.Things", "thing.Unused"])

    def test_describe(self):
        for mirror in self.each():
            pool = mirror.symbol("thing.Things")
            service = pool.FindServiceByName("thing.Things")
            self.assertEqual([m.name for m in service.methods], ["Get", "Watch"])
            self.assertTrue(service.FindMethodByName("Watch").server_streaming)
            request = service.FindMethodByName("Get").input_type
            self.assertEqual([(f.name, f.number) for f in request.fields],
                             [("when", 1), ("name", 2), ("nested", 3), ("all", 4)])
            self.assertEqual(request.fields[0].message_type.full_name, "google.protobuf.Timestamp")

    def test_own_files(self):
        """What we say of health and reflection is what gRPC's own files say."""
        for mirror in self.each():
            for name in OWN:
                mirror.symbol(name)
            for types in v1, v1alpha:
                ours = mirror.pool.FindMessageTypeByName(
                    types.DESCRIPTOR.package + ".ServerReflectionResponse")
                theirs = types.ServerReflectionResponse.DESCRIPTOR
                self.assertEqual([(f.name, f.number, f.type, f.label) for f in ours.fields],
                                 [(f.name, f.number, f.type, f.label) for f in theirs.fields])

    def test_call(self):
        for mirror in self.each():
            pool = mirror.symbol("thing.Things.Get")
            method = pool.FindServiceByName("thing.Things").FindMethodByName("Get")
            factory = message_factory.MessageFactory(pool)
            call = self.channel.unary_unary(
                "/thing.Things/Get",
                request_serializer=factory.GetPrototype(method.input_type).SerializeToString,
                response_deserializer=factory.GetPrototype(method.output_type).FromString)
            request = factory.GetPrototype(method.input_type)(name="x")
            self.assertEqual(call(request, timeout=harness.TIMEOUT).id, 7)

    def test_extensions(self):
        for mirror in self.each():
            reply = mirror.ask(all_extension_numbers_of_type="thing.base.Extendable")
            numbers = reply.all_extension_numbers_response
            self.assertEqual(numbers.base_type_name, "thing.base.Extendable")
            self.assertEqual(list(numbers.extension_number), [100, 101, 150, 1000])
            question = mirror.types.ExtensionRequest(containing_type="thing.base.Extendable",
                                                     extension_number=1000)
            pool = mirror.take(mirror.ask(file_containing_extension=question))
            self.assertEqual(pool.FindExtensionByName("thing.request").number, 1000)

    def test_errors(self):
        question = {"containing_type": "thing.base.Extendable", "extension_number": 7}
        for mirror in self.each():
            for asked, text in (({"file_by_filename": "no.proto"}, "File not found: no.proto"),
                                ({"file_containing_symbol": "a.B"}, "Symbol not found: a.B"),
                                ({"all_extension_numbers_of_type": "a.B"}, "Type not found: a.B"),
                                ({"file_containing_extension": mirror.types.ExtensionRequest(**question)},
                                 "Extension not found: 7 of thing.base.Extendable")):
                error = mirror.ask(**asked).error_response
                self.assertEqual((error.error_code, error.error_message),
                                 (grpc.StatusCode.NOT_FOUND.value[0], text))


class Greeter(harness.Case):
    def test_on(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--reflection")
        mirror = Mirror(self.connect(server.address), VERSIONS[0])
        self.assertEqual(mirror.services(), sorted(OWN + ["ChatService", "greeter.Greeter"]))
        service = mirror.symbol("greeter.Greeter").FindServiceByName("greeter.Greeter")
        self.assertEqual(len(service.methods), 4)
        mirror.end()

    def test_off(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        for types, grpc_types in VERSIONS:
            stub = grpc_types.ServerReflectionStub(self.connect(server.address))
            asked = iter([types.ServerReflectionRequest(list_services="")])
            self.fails(grpc.StatusCode.UNIMPLEMENTED, stub.ServerReflectionInfo, asked)


if __name__ == "__main__":
    harness.main()
