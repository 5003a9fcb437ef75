"""What the interoperability tests share: the cases' names, our two programs, and
programs of other implementations as children. CMake passes what harness.py of
tests/python wants, and CAW_GRPC_PROTOS, the folder of grpc/testing/*.proto. With
CAW_TEST_TLS=1 all of it is over TLS, with the certificate of gRPC's interoperability
tests, for foo.test.google.fr, from the folder CAW_GRPC_TESTDATA."""
import os

import harness

HERE = os.path.dirname(os.path.abspath(__file__))

# The cases that need nothing but a server.
PLAIN = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
    "empty_stream", "custom_metadata", "status_code_and_message", "special_status_message",
    "unimplemented_method", "unimplemented_service", "cancel_after_begin",
    "cancel_after_first_response", "timeout_on_sleeping_server"]

# Those of compression. A client of them has to see whether a reply came
# compressed, a server whether a request did.
CLIENT_COMPRESSED = ["client_compressed_unary", "client_compressed_streaming"]
SERVER_COMPRESSED = ["server_compressed_unary", "server_compressed_streaming"]
COMPRESSED = CLIENT_COMPRESSED + SERVER_COMPRESSED


TLS = harness.TLS
# What gRPC's interoperability tests say to their programs.
TLS_SERVER = ["--use_tls=true"] if TLS else []
TLS_CLIENT = ["--use_tls=true", "--use_test_ca=true",
              "--server_host_override=" + harness.TLS_NAME] if TLS else []


def port_of(address):
    return address.rsplit(":", 1)[1]


def serve():
    """Our server, on a port that the system chose."""
    return harness.Server("interop-server", "--port", "0", "--host=127.0.0.1", *TLS_SERVER)


def run_client(case, port, *flags, code=0):
    """Runs our client with one case; its standard output and error."""
    return harness.run("interop-client", "--server_host=127.0.0.1", f"--server_port={port}",
                       f"--test_case={case}", *TLS_CLIENT, *flags, code=code)


def check_largest(test, port):
    """Messages of 4 MiB, the limit of every implementation, pass in both
    directions; a reply that is larger by one byte does not."""
    limit = 4 * harness.MIB
    # What surrounds the body: 10 bytes, and in a request also the 5 of response_size.
    sizes = [f"--soak_request_size={limit - 15}", f"--soak_response_size={limit - 10}",
             "--soak_iterations=3", "--soak_per_iteration_max_acceptable_latency_ms=30000"]
    out, _ = run_client("rpc_soak", port, *sizes)
    test.assertEqual(out, "rpc_soak: passed\n")
    _, err = run_client("rpc_soak", port, *sizes, f"--soak_response_size={limit - 9}", code=1)
    test.assertEqual(err.count(" failed: RESOURCE_EXHAUSTED"), 3, err)


def check_short_lives(test, port):
    """A server that asks each connection to go after a tenth of a second: no call
    is lost on the way from one to the next."""
    out, _ = run_client("rpc_soak", port, "--soak_iterations=2000", "--soak_num_threads=4",
                        "--soak_request_size=1000", "--soak_response_size=1000",
                        "--soak_min_time_ms_between_rpcs=2",
                        "--soak_per_iteration_max_acceptable_latency_ms=10000")
    test.assertEqual(out, "rpc_soak: passed\n")


class Peer(harness.Child):
    """Another implementation's program. How a peer ends is not what is tested
    here, so it is killed, and its exit code is not looked at."""

    def __init__(self, *args, env=None):
        super().__init__(*args, env=env)
        self.port = None

    def listening(self):
        self.port = self.wait_line(r"^listening on \S*:(\d+)$").group(1)
        return self

    def end(self):
        self.checked = True
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()


class Case(harness.Case):
    """A test whose methods are made for each case of an implementation."""

    def passes(self, case, port, *flags):
        out, _ = run_client(case, port, *flags)
        self.assertEqual(out, f"{case}: passed\n")


def per_case(cases):
    """Decorates a class: for each case there is a test that calls check(case)."""
    def add(cls):
        for case in cases:
            setattr(cls, "test_" + case, lambda self, case=case: self.check(case))
        return cls
    return add
