"""Tokens: greeter-server asks for one, greeter-client and Python's gRPC bring it, or not."""
import os
import socket
import unittest

import harness
from harness import grpc

import greeter_pb2
import greeter_pb2_grpc

TOKEN = "s3cret-t0ken"
NO_TOKEN = ('this server wants a token: send the metadata "authorization: Bearer TOKEN" '
            "(greeter-client --token-file FILE)")


def other_address():
    """An address of this machine that is not loopback's, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
            address = s.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith(("127.", "0.")) else address


class Tokens(harness.Case):
    def token_file(self, text=TOKEN + "\n", mode=0o600):
        path = os.path.join(self.folder(), "token")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def greeter(self, *args):
        return self.serve("greeter-server", "--listen", "127.0.0.1:0", "--interval", "0.01",
                          "--require-token-file", self.token_file(), *args)

    def test_python(self):
        server = self.greeter()
        channel = self.connect(server.address)
        stub = greeter_pb2_grpc.GreeterStub(channel)
        one = greeter_pb2.HelloRequest(name="x", age=3)
        calls = ((stub.SayHello, one), (stub.SayHelloStream, one),
                 (stub.SayHelloToMany, [one, one]), (stub.Chat, [one]))
        for call, request in calls:
            asked = (lambda r: iter(r) if isinstance(r, list) else r)
            error = self.fails(grpc.StatusCode.UNAUTHENTICATED, call, asked(request))
            self.assertEqual(error.details(), NO_TOKEN)
            for wrong, text in (("Bearer wrong", "the token is not valid here"),
                                (f"Bearer {TOKEN}x", "the token is not valid here"),
                                (f"Bearer {TOKEN[:-1]}", "the token is not valid here"),
                                ("Bearer ", "the token is not valid here"),
                                (f"Basic {TOKEN}", 'the metadata "authorization" must be "Bearer TOKEN"')):
                error = self.fails(grpc.StatusCode.UNAUTHENTICATED, call, asked(request),
                                   metadata=(("authorization", wrong),))
                self.assertEqual(error.details(), text)
            for right in f"Bearer {TOKEN}", f"bearer {TOKEN}":
                reply = call(asked(request), timeout=harness.TIMEOUT, metadata=(("authorization", right),))
                self.assertTrue(list(reply) if hasattr(reply, "__iter__") else reply.message)

    def test_unknown_methods_are_not_told(self):
        """Who may not come in does not learn which methods there are."""
        channel = self.connect(self.greeter().address)
        call = channel.unary_unary("/no.Such/Method")
        self.fails(grpc.StatusCode.UNAUTHENTICATED, call, b"")
        self.fails(grpc.StatusCode.UNIMPLEMENTED, call, b"",
                   metadata=(("authorization", f"Bearer {TOKEN}"),))

    def test_client(self):
        server = self.greeter("--trace")
        to = ("--target", server.address)
        _, errors = harness.run("greeter-client", *to, code=1)
        self.assertIn(f"SayHello: UNAUTHENTICATED: {NO_TOKEN}", errors)
        _, errors = harness.run("greeter-client", *to, "--token", "wrong", code=1)
        self.assertIn("UNAUTHENTICATED: the token is not valid here", errors)
        for flags in ("--token", TOKEN), ("--token-file", self.token_file()):
            out, errors = harness.run("greeter-client", *to, *flags, "--trace")
            self.assertIn("Hello", out)
            self.assertNotIn(TOKEN, errors)
            for call in "SayHello", "SayHelloStream", "SayHelloToMany", "Chat":
                self.assertRegex(errors, f"call [0-9]+ /greeter.Greeter/{call}: ends with OK")
        server.stop()
        self.assertNotIn(TOKEN, "\n".join(server.lines))
        self.assertTrue(any(": received message 1 of " in line for line in server.lines))

    def test_ends_of_the_line(self):
        """What ends the line is not the token's, also of the longest there is."""
        for token in "abc", "x" * 4095:
            for end in "", "\n", "\r\n", "\nmore\n":
                server = self.serve("greeter-server", "--listen", "127.0.0.1:0",
                                    "--require-token-file", self.token_file(token + end))
                out, _ = harness.run("greeter-client", "--target", server.address, "--call", "unary",
                                     "--token", token)
                self.assertIn("Hello", out)
                server.stop()

    @unittest.skipIf(harness.TLS, "it is about plaintext")
    def test_not_in_plaintext(self):
        host = other_address()
        if not host:
            self.skipTest("this machine has no address but loopback")
        server = self.serve("greeter-server", "--listen", f"{host}:0", "--require-token", TOKEN)
        call = ("greeter-client", "--target", server.address, "--call", "unary", "--token", TOKEN)
        _, errors = harness.run(*call, code=1)
        self.assertIn("UNAUTHENTICATED: call credentials are not sent in plaintext to "
                      f"ipv4:{server.address}: use TLS, or set", errors)
        harness.run(*call, "--insecure-token-over-plaintext")
        server.stop()
        self.assertFalse([line for line in server.lines if "UNAUTHENTICATED" in line])

    def test_files(self):
        for text, mode, why in (("", 0o600, "is no token"), ("a b\n", 0o600, "is no token"),
                                ("a\rb\n", 0o600, "is no token"), ("a\0b\n", 0o600, "is no token"),
                                ("x" * 4096 + "\n", 0o600, "longer than a token may be, 4095 characters"),
                                ("x" * 10000, 0o600, "longer than a token may be, 4095 characters"),
                                (TOKEN, 0o644, "others may read")):
            path = self.token_file(text, mode)
            for program, option in (("greeter-server", "--require-token-file"), ("greeter-client", "--token-file")):
                _, errors = harness.run(program, option, path, code=1)
                self.assertIn(f"{program}: {option}: ", errors)
                self.assertIn(why, errors)
                self.assertIn(path, errors)
        _, errors = harness.run("greeter-server", "--require-token-file", "/no/such", code=1)
        self.assertIn("cannot read /no/such", errors)
        _, errors = harness.run("greeter-client", "--token", "a b", code=2)
        self.assertIn("--token: a token is of 1 to 4095 printable characters", errors)


if __name__ == "__main__":
    harness.main()
