"""What the tests with Python's gRPC share: programs as children, whose output
is waited for and whose sanitizers must have nothing to report.

CMake passes where things are: CAW_BIN and CAW_TEST_BIN (folders of programs),
CAW_STUBS (generated Python), CAW_ROOT (the source), CAW_SANITIZED (1 in builds
with sanitizers). CAW_SCALE_DOWN=N divides the counts of what is repeated by N,
for machines that are much slower. With CAW_TEST_TLS=1 channels, servers, the programs'
command lines and clients of bare frames are made with the certificates of
CAW_GRPC_TESTDATA (gRPC's own for tests).
"""
import atexit
import functools
import os
import queue
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
sys.path.insert(0, os.environ["CAW_STUBS"])

import grpc  # noqa: E402

ROOT = os.environ["CAW_ROOT"]
SANITIZED = os.environ.get("CAW_SANITIZED") == "1"
TIMEOUT = 120 if SANITIZED else 40  # of every wait; reached only by a failure
MIB = 1024 * 1024
HAS_TLS = os.environ.get("CAW_TLS") != "OFF"
TLS = os.environ.get("CAW_TEST_TLS") == "1"
TLS_NAME = "foo.test.google.fr"  # the certificate is for *.test.google.fr
SANITIZER = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:)")


def scaled(n):
    return max(1, n // int(os.environ.get("CAW_SCALE_DOWN", "1")))


def program(name):
    folder = "CAW_TEST_BIN" if name.startswith("peer-") else "CAW_BIN"
    return os.path.join(os.environ[folder], name)


def testdata(name):
    return os.path.join(os.environ["CAW_GRPC_TESTDATA"], name)


def read(path):
    with open(path, "rb") as file:
        return file.read()


@functools.cache
def private_key():
    """The key as a file that nobody else can read: the programs refuse any other."""
    folder = tempfile.mkdtemp(prefix="caw-test-")
    atexit.register(shutil.rmtree, folder)
    path = shutil.copyfile(testdata("server1.key"), os.path.join(folder, "server1.key"))
    os.chmod(path, 0o600)
    return path


def command(name, *args):
    """The command line of a program. The peer-... are told of TLS by the environment."""
    tls = []
    if TLS and name in ("greeter-server", "chatd"):
        tls = ["--tls-cert", testdata("server1.pem"), "--tls-key", private_key()]
    if TLS and name in ("greeter-client", "chat"):
        tls = ["--tls-ca", testdata("ca.pem"), "--tls-server-name", TLS_NAME]
    return [program(name), *tls, *args]


def environment():
    env = dict(os.environ)
    env["ASAN_OPTIONS"] = "detect_leaks=1:abort_on_error=0:exitcode=99"
    env["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1:exitcode=99"
    env["TSAN_OPTIONS"] = "halt_on_error=0:exitcode=99"
    return env


class Child:
    """A program that runs; its standard output can be waited for."""

    def __init__(self, *args, env=None, fds=()):
        self.args = args
        full = environment()
        full.update(env or {})
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=full, bufsize=1, pass_fds=fds)
        self.lines = []
        self.arrived = threading.Condition()
        self.ended = False
        self.taken = 0
        self.checked = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self.arrived:
                self.lines.append(line.rstrip("\n"))
                self.arrived.notify_all()
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read()

    def wait_line(self, pattern):
        """The match of the first line that fits, after those taken before."""
        regex = re.compile(pattern)
        with self.arrived:
            while True:
                while self.taken < len(self.lines):
                    match = regex.search(self.lines[self.taken])
                    self.taken += 1
                    if match:
                        return match
                if self.ended:
                    break
                if not self.arrived.wait(TIMEOUT):
                    break
        raise AssertionError(f"{self.args}: no line with {pattern!r} among {self.lines[-20:]}; "
                             f"standard error: {self.stderr()!r}")

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, code=0):
        """Waits for the end and checks the exit code and the sanitizers."""
        self.checked = True
        try:
            got = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"{self.args} does not end; {self.stderr()!r}") from None
        self.thread.join()
        errors = self.stderr()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        if SANITIZER.search(errors) or got != code:
            raise AssertionError(f"{self.args} ended with {got}, not {code}: {errors[-8000:]}")
        return errors

    def stop(self, code=0):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(code)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        return self.wait(-signal.SIGKILL)


class Server(Child):
    """A child that says where it listens."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(*command(name, *args), **kwargs)
        self.address = self.wait_line(r"^listening on (.+)$").group(1)


def run(name, *args, code=0, env=None):
    """Runs a program to its end; its standard output and standard error."""
    full = environment()
    full.update(env or {})
    done = subprocess.run(command(name, *args), capture_output=True, text=True, timeout=TIMEOUT,
                          env=full, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != code or SANITIZER.search(done.stderr):
        raise AssertionError(f"{name} {args} ended with {done.returncode}, not {code}: "
                             f"{done.stdout!r} {done.stderr!r}")
    return done.stdout, done.stderr


def lasting_port():
    """A free port that no connection is given while nobody listens there: none of Linux's
    ephemeral ones, which begin at 32,768."""
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError("no port is free")


def add_port(server, address="127.0.0.1:0"):
    """Has a server of Python's listen; returns the port."""
    if not TLS:
        return server.add_insecure_port(address)
    pair = read(testdata("server1.key")), read(testdata("server1.pem"))
    return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))


def channel_to(address, *options):
    """A channel of its own connection: Python shares those of equal options."""
    def make(options):
        if not TLS:
            return grpc.insecure_channel(address, options=options)
        return grpc.secure_channel(
            address, grpc.ssl_channel_credentials(read(testdata("ca.pem"))),
            options=[*options, ("grpc.ssl_target_name_override", TLS_NAME)])
    return make([
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # Not a back-off at all: the time in which a connection has to be made.
        ("grpc.min_reconnect_backoff_ms", 20000),
        ("grpc.max_reconnect_backoff_ms", 500),
        *options])


def connect_raw(address):
    """A socket for frames that the test makes itself."""
    if address.startswith("unix:"):
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(TIMEOUT)
        raw.connect(address.removeprefix("unix:"))
    else:
        host, port = address.rsplit(":", 1)
        raw = socket.create_connection((host, int(port)), TIMEOUT)
    if not TLS:
        return raw
    context = ssl.create_default_context(cafile=testdata("ca.pem"))
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(raw, server_hostname=TLS_NAME)


def accept_raw(listener):
    """The other side of it."""
    raw, _ = listener.accept()
    if not TLS:
        return raw
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(testdata("server1.pem"), testdata("server1.key"))
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(raw, server_side=True)


class Case(unittest.TestCase):
    """A test with a temporary folder, and an end for what it starts."""
    maxDiff = 2000

    def folder(self):
        path = tempfile.mkdtemp(prefix="caw-test-")
        self.addCleanup(shutil.rmtree, path)
        return path

    def serve(self, name, *args):
        """A server that must end well after the test."""
        server = Server(name, *args)
        self.addCleanup(lambda: None if server.checked else server.stop())
        return server

    def connect(self, address, *options):
        channel = channel_to(address, *options)
        self.addCleanup(channel.close)
        return channel

    def fails(self, code, fn, *args, **kwargs):
        """The grpc.RpcError of a call that must end with this code."""
        with self.assertRaises(grpc.RpcError) as caught:
            result = fn(*args, timeout=kwargs.pop("timeout", TIMEOUT), **kwargs)
            for _ in result if hasattr(result, "__iter__") else ():
                pass
        error = caught.exception
        self.assertEqual(error.code(), code, error.details())
        return error


class Feed:
    """An iterator of requests that the test fills as it goes."""

    def __init__(self, *first):
        self.items = queue.Queue()
        for item in first:
            self.items.put(item)

    def put(self, item):
        self.items.put(item)

    def end(self):
        self.items.put(None)

    def __iter__(self):
        return self

    def __next__(self):
        item = self.items.get()
        if item is None:
            raise StopIteration
        return item


def main():
    unittest.main(verbosity=2, argv=sys.argv)
