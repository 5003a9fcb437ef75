"""The Greeter's programs over TLS, with certificates of scripts/dev-certs: with each
other and with Python, mutual TLS, reloads by SIGHUP, and what they refuse."""
import concurrent.futures
import os
import shutil
import signal
import stat
import subprocess
import unittest

import harness
from harness import TIMEOUT, grpc

import greeter_pb2 as pb
import greeter_pb2_grpc as stubs


def make_certs(folder, *names):
    return subprocess.run([os.path.join(harness.ROOT, "scripts", "dev-certs"), folder, *names],
                          check=True, capture_output=True, text=True).stdout


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


class Tls(harness.Case):
    def setUp(self):
        self.certs = self.folder()
        make_certs(self.certs)

    def path(self, name):
        return os.path.join(self.certs, name)

    def pair(self, name):
        return ["--tls-cert", self.path(name + ".pem"), "--tls-key", self.path(name + ".key")]

    def start(self, *more):
        return self.serve("greeter-server", "--listen", "127.0.0.1:0", *self.pair("server"), *more)

    def greet(self, server, *flags, code=0):
        """A client that fails tries for so long, and tells what came of it: once at least."""
        out, err = harness.run("greeter-client", "--target", server.address, "--call", "unary",
                               "--connect-timeout", "4" if code else str(TIMEOUT), *flags, code=code)
        return err if code else out

    def check_failures(self, server, *cases):
        """What clients with these flags say, all at the same time."""
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            errors = list(pool.map(lambda case: self.greet(server, *case[0], code=1), cases))
        for error, (_, text) in zip(errors, cases):
            self.assertIn(text, error)

    def trust(self, folder=None):
        return ["--tls-ca", os.path.join(folder or self.certs, "ca.pem")]

    def stub(self, server, ca, *pair):
        channel = grpc.secure_channel(server.address, grpc.ssl_channel_credentials(ca, *pair),
                                      options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return stubs.GreeterStub(channel)

    def hello(self, stub):
        return stub.SayHello(pb.HelloRequest(name="World", age=1), timeout=TIMEOUT).message


class Serving(Tls):
    def test_server_certificate(self):
        server = self.start()
        self.assertIn("Hello, World!", self.greet(server, *self.trust()))
        self.assertIn("Hello, World!", self.greet(server, *self.trust(), "--tls-server-name",
                                                  "localhost"))
        self.assertIn("Hello, World!", self.hello(self.stub(server, read(self.certs, "ca.pem"))))
        self.check_failures(
            server, ([], "the server speaks TLS on this port"),
            (["--tls"], "which is not a trusted CA"),
            ([*self.trust(), "--tls-server-name", "other.example"], "not for other.example"))
        errors = server.stop()
        self.assertRegex(errors, r"\d ipv4:127\.0\.0\.1:\d+ TLS: the client does not speak TLS")

    def test_mutual(self):
        server = self.start("--tls-client-ca", self.path("ca.pem"))
        self.assertIn("Hello", self.greet(server, *self.trust(), *self.pair("client")))
        self.check_failures(
            server, (self.trust(), "the server requires a client certificate"),
            ([*self.trust(), *self.pair("server")], "not of a kind or for a use"))
        ca = read(self.certs, "ca.pem")
        mine = read(self.certs, "client.key"), read(self.certs, "client.pem")
        self.assertIn("Hello", self.hello(self.stub(server, ca, *mine)))
        self.fails(grpc.StatusCode.UNAVAILABLE, self.stub(server, ca).SayHello, pb.HelloRequest())

    def test_plaintext_server(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0")
        self.assertIn("the server does not speak TLS on this port",
                      self.greet(server, *self.trust(), code=1))

    def test_unix_socket(self):
        path = "unix:" + self.path("socket")
        server = self.serve("greeter-server", "--listen", path, *self.pair("server"))
        self.assertIn("Hello", self.greet(server, *self.trust()))


class Reloading(Tls):
    def reload(self, server, line=None):
        server.signal(signal.SIGHUP)
        if line:
            server.wait_line(line)

    def test_new_certificates(self):
        server = self.start()
        old_ca = read(self.certs, "ca.pem")
        before = self.stub(server, old_ca)
        self.assertIn("Hello", self.hello(before))
        stream = before.SayHelloStream(pb.HelloRequest(name="a"), timeout=TIMEOUT)
        next(stream)
        old = shutil.copytree(self.certs, os.path.join(self.folder(), "old"))
        for name in os.listdir(self.certs):
            os.unlink(self.path(name))
        make_certs(self.certs)
        self.reload(server, "^read the certificates again$")
        # What is there goes on, and new connections get the new.
        self.assertIn("Hello", self.hello(before))
        self.assertEqual(len(list(stream)), 4)
        self.assertIn("Hello", self.greet(server, *self.trust()))
        self.assertIn("not a trusted CA", self.greet(server, *self.trust(old), code=1))

    def test_a_bad_pair_changes_nothing(self):
        server = self.start()
        shutil.copy(self.path("client.key"), self.path("server.key"))
        self.reload(server)
        self.assertIn("Hello", self.greet(server, *self.trust()))
        os.unlink(self.path("server.key"))
        self.reload(server)
        self.assertIn("Hello", self.greet(server, *self.trust()))
        errors = server.stop()
        self.assertIn("the certificates stay as they were: " + self.path("server.key")
                      + ": the key does not belong to the certificate in "
                      + self.path("server.pem"), errors)
        self.assertIn(self.path("server.key") + ": No such file or directory", errors)


    def test_an_exposed_key_changes_nothing(self):
        server = self.start()
        old = shutil.copytree(self.certs, os.path.join(self.folder(), "old"))
        for name in os.listdir(self.certs):
            os.unlink(self.path(name))
        make_certs(self.certs)
        os.chmod(self.path("server.key"), 0o644)
        self.reload(server)
        self.assertIn("Hello", self.greet(server, *self.trust(old)))
        os.chmod(self.path("server.key"), 0o600)
        self.reload(server, "^read the certificates again$")
        self.assertIn("Hello", self.greet(server, *self.trust()))
        self.assertIn("the certificates stay as they were: " + self.path("server.key")
                      + ": the private key can be read by others than its owner (mode 0644)",
                      server.stop())


class Refusing(Tls):
    def server(self, *args, code):
        _, err = harness.run("greeter-server", "--listen", "127.0.0.1:0", *args, code=code)
        return err

    def test_exposed_keys(self):
        for mode in (0o640, 0o604, 0o644):
            os.chmod(self.path("server.key"), mode)
            err = self.server(*self.pair("server"), code=1)
            self.assertEqual(err, f"greeter-server: cannot use TLS: {self.path('server.key')}: the private "
                             f"key can be read by others than its owner (mode {mode:04o}); "
                             "chmod 600 it\n")
        os.chmod(self.path("client.key"), 0o644)
        _, err = harness.run("greeter-client", "--target", "127.0.0.1:1", *self.pair("client"), code=1)
        self.assertIn("cannot use TLS: " + self.path("client.key"), err)

    def test_wrong_files(self):
        cert, key = self.path("server.pem"), self.path("server.key")
        for args, text in (
                (["--tls-cert", cert, "--tls-key", self.path("client.key")],
                 f"client.key: the key does not belong to the certificate in {cert}"),
                (["--tls-cert", key, "--tls-key", key], f"{key}: there is no certificate in PEM"),
                (["--tls-cert", "/none", "--tls-key", key], "/none: No such file or directory"),
                ([*self.pair("server"), "--tls-client-ca", key], "there is no CA certificate")):
            self.assertIn(text, self.server(*args, code=1))

    def test_wrong_usage(self):
        for args in (["--tls-cert", "x"], ["--tls-key", "x"], ["--tls-client-ca", "x"]):
            self.assertIn("--tls-cert and --tls-key belong together", self.server(*args, code=2))
        _, err = harness.run("greeter-client", "--tls-cert", "x", code=2)
        self.assertIn("--tls-cert and --tls-key belong together", err)


class DevCerts(Tls):
    def test_again(self):
        """What is good stays; what is not is made again, with all that hangs on it."""
        before = {name: read(self.certs, name) for name in os.listdir(self.certs)}
        self.assertEqual(sorted(before), ["ca.key", "ca.pem", "client.key", "client.pem",
                                          "server.key", "server.pem"])
        for name in before:
            mode = stat.S_IMODE(os.stat(self.path(name)).st_mode)
            self.assertEqual(mode, 0o600 if name.endswith(".key") else 0o644, name)
        self.assertEqual(make_certs(self.certs), "")
        self.assertEqual({name: read(self.certs, name) for name in before}, before)
        os.unlink(self.path("ca.pem"))
        self.assertEqual(make_certs(self.certs).count("made "), 3)

    def test_names(self):
        self.assertIn("server.pem", make_certs(self.certs, "grpc.example", "192.0.2.1"))
        text = subprocess.run(["openssl", "x509", "-in", self.path("server.pem"), "-noout", "-ext",
                               "subjectAltName"], check=True, capture_output=True, text=True).stdout
        for name in ("DNS:localhost", "IP Address:127.0.0.1", "DNS:grpc.example",
                     "IP Address:192.0.2.1"):
            self.assertIn(name, text)
        self.assertEqual(make_certs(self.certs, "grpc.example", "192.0.2.1"), "")
        self.assertEqual(make_certs(self.certs), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
