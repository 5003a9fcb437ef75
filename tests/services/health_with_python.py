"""Our health service, asked and watched by Python's gRPC with gRPC's own .proto file."""
import signal
import threading

import harness
from harness import grpc

import official_health_v1_health_pb2 as health
import official_health_v1_health_pb2_grpc as health_grpc

SERVING = health.HealthCheckResponse.SERVING
NOT_SERVING = health.HealthCheckResponse.NOT_SERVING
UNKNOWN = health.HealthCheckResponse.UNKNOWN
SERVICE_UNKNOWN = health.HealthCheckResponse.SERVICE_UNKNOWN


def request(name):
    return health.HealthCheckRequest(service=name)


class Health(harness.Case):
    def setUp(self):
        self.server = self.serve("peer-services")
        self.stub = health_grpc.HealthStub(self.connect(self.server.address))

    def do(self, line):
        self.server.send(line)
        self.server.wait_line(f"^did {line}$")

    def check(self, name):
        return self.stub.Check(request(name), timeout=harness.TIMEOUT).status

    def test_check(self):
        self.assertEqual(self.check(""), SERVING)
        error = self.fails(grpc.StatusCode.NOT_FOUND, self.stub.Check, request("thing.Things"))
        self.assertEqual(error.details(), "unknown service")
        for number, status in ((1, SERVING), (2, NOT_SERVING), (0, UNKNOWN)):
            self.do(f"set thing.Things {number}")
            self.assertEqual(self.check("thing.Things"), status)

    def test_watch(self):
        watch = self.stub.Watch(request("thing.Things"), timeout=harness.TIMEOUT)
        self.assertEqual(next(watch).status, SERVICE_UNKNOWN)
        for number, status in ((1, SERVING), (2, NOT_SERVING), (1, SERVING)):
            self.do(f"set thing.Things {number}")
            self.assertEqual(next(watch).status, status)
        self.do("shutdown")
        self.assertEqual(next(watch).status, NOT_SERVING)
        self.do("resume")
        self.assertEqual(next(watch).status, SERVING)
        watch.cancel()

    def test_many_watchers(self):
        names = ["", "thing.Things", "no.Such"]
        watches = [self.stub.Watch(request(names[i % 3]), timeout=harness.TIMEOUT) for i in range(60)]
        for i, watch in enumerate(watches):
            self.assertEqual(next(watch).status, SERVING if i % 3 == 0 else SERVICE_UNKNOWN)
        self.do("set thing.Things 1")
        self.do("set - 2")
        for i, watch in enumerate(watches):
            if i % 3 < 2:
                self.assertEqual(next(watch).status, SERVING if i % 3 else NOT_SERVING)
            watch.cancel()

    def test_drain(self):
        """The watcher hears that the server does not serve, and is let go."""
        watch = self.stub.Watch(request(""), timeout=harness.TIMEOUT)
        self.assertEqual(next(watch).status, SERVING)
        self.server.signal(signal.SIGTERM)
        self.assertEqual(next(watch).status, NOT_SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            next(watch)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(caught.exception.details(), "the server is shutting down")
        self.server.wait()

    def test_client_side_checking(self):
        """What gRPC's own clients do with it: a channel is ready while the service is."""
        config = ('{"loadBalancingConfig": [{"round_robin": {}}], '
                  '"healthCheckConfig": {"serviceName": "thing.Things"}}')
        channel = self.connect(self.server.address, ("grpc.service_config", config))
        states = []
        changed = threading.Condition()

        def note(state):
            with changed:
                states.append(state)
                changed.notify_all()

        def wait(state):
            with changed:
                self.assertTrue(changed.wait_for(lambda: states[-1:] == [state], harness.TIMEOUT), states)

        self.do("set thing.Things 2")
        channel.subscribe(note, try_to_connect=True)
        wait(grpc.ChannelConnectivity.TRANSIENT_FAILURE)
        self.do("set thing.Things 1")
        wait(grpc.ChannelConnectivity.READY)
        self.do("set thing.Things 2")
        wait(grpc.ChannelConnectivity.TRANSIENT_FAILURE)
        channel.unsubscribe(note)


class Greeter(harness.Case):
    def test_services(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        stub = health_grpc.HealthStub(self.connect(server.address))
        for name in "", "greeter.Greeter", "ChatService":
            self.assertEqual(stub.Check(request(name), timeout=harness.TIMEOUT).status, SERVING)

    def test_without_token(self):
        """Who only asks for the health needs no token."""
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--require-token", "s3cret")
        stub = health_grpc.HealthStub(self.connect(server.address))
        self.assertEqual(stub.Check(request(""), timeout=harness.TIMEOUT).status, SERVING)


if __name__ == "__main__":
    harness.main()
