"""Restarts that nobody notices: a greeter-server takes the sockets over from another,
while Python's client and ours call without a pause. Over TLS too: sockets are handed
over, handshakes and sessions are not."""
import os
import socket
import stat
import subprocess
import threading
import unittest

import harness
from harness import TIMEOUT, grpc, scaled
import steady

RESTARTS = 20


class Handover(steady.Case):
    def setUp(self):
        self.path = os.path.join(self.folder(), "control")

    def start(self, *args, address="127.0.0.1:0"):
        return self.serve("greeter-server", "--listen", address, "--interval", "0.01",
                          "--takeover", self.path, "--no-log", "--grace", str(TIMEOUT), *args)

    def restart(self, address, args=()):
        """Twenty times, one after the other, under load."""
        server = self.start(*args, address=address)
        load, steady = self.load(server.address)
        for i in range(scaled(RESTARTS)):
            successor = self.start(*args, address=address)
            self.assertEqual(successor.lines[0], f"taking over at {self.path}")
            self.assertEqual(successor.address, server.address)
            server.wait_line("^shutting down")
            server.wait(0)
            server = successor
            load.wait(5 + i % 20)
        self.check(load, steady)
        server.stop()
        self.assertFalse(os.path.exists(self.path))

    def test_restarts_on_tcp(self):
        self.restart("127.0.0.1:0")

    def test_restarts_of_several_loops(self):
        self.restart("localhost:0", ["--loops", "2"])

    def test_restarts_on_a_unix_socket(self):
        path = os.path.join(self.folder(), "socket")
        self.restart("unix:" + path)
        self.assertFalse(os.path.exists(path))

    def test_the_control_socket_is_private(self):
        self.start()
        mode = os.stat(self.path).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    @unittest.skipIf(os.geteuid(), "only root can be somebody else")
    def test_somebody_else(self):
        """Even where the file's mode lets them in, others get nothing."""
        server = self.start()
        os.chmod(os.path.dirname(self.path), 0o755)
        os.chmod(self.path, 0o666)
        script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                  "print(socket.recv_fds(s, 65536, 16)[:2])")
        other = subprocess.run(["/usr/bin/python3", "-c", script, self.path], user=65534,
                               capture_output=True, text=True, check=True, timeout=TIMEOUT)
        self.assertEqual(other.stdout, "(b'', [])\n")
        self.start()  # who may is served afterwards
        server.wait(0)

    def test_a_path_that_is_left_over(self):
        left = socket.socket(socket.AF_UNIX)
        left.bind(self.path)
        left.close()
        server = self.start()
        self.assertEqual(server.lines[0], f"listening on {server.address}")
        server.stop()

    def test_a_successor_that_fails(self):
        """The one before serves on, and the next one finds it."""
        server = self.start()
        load, steady = self.load(server.address)
        for _ in range(3):
            _, errors = harness.run("greeter-server", "--takeover", self.path, "--listen",
                                    "127.0.0.1:0", "--listen", "192.0.2.1:1", code=1)
            self.assertIn("cannot listen on 192.0.2.1:1", errors)
        killed = self.connect_to_control()
        killed.close()
        load.wait(20)
        successor = self.start()
        server.wait(0)
        self.check(load, steady)
        successor.stop()

    def connect_to_control(self):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(self.path)
        return peer

    def test_one_at_a_time(self):
        self.start()
        with self.connect_to_control() as first:
            letter, fds, _, _ = socket.recv_fds(first, 65536, 16)
            self.assertEqual(len(fds), 2)
            for fd in fds:
                os.close(fd)
            self.assertTrue(letter.startswith(b"caw-ho 1"))
            _, errors = harness.run("greeter-server", "--takeover", self.path, code=1)
            self.assertIn(f"the server there gives to process {os.getpid()}", errors)
            first.sendall(b"something else\n")
            first.settimeout(0.1)
            with self.assertRaises(TimeoutError):
                first.recv(100)

    def test_letters_that_are_none(self):
        head = b"caw-ho 1"
        for i, (letter, text) in enumerate(((b"x" * 4096, "is no server of Caw"),
                             (head + b"\1\0\0\0" + b"\0\0\1\0", "is ending"),
                             (head + b"\1\0\0\0" + b"\xff\xff\xff\xff", "is no server of Caw"),
                             (head + b"\0\0\0\0\0\0\0\0x", "is no server of Caw"),
                             (head + b"\0\0\0\0\1\0\0\0", "gives to process 1"),
                             (head + b"\1\0\0\0\1\0\0\0x", "is no server of Caw"),
                             (head, "is ending"), (b"", "is ending"))):
            with self.subTest(letter[:40]), socket.socket(socket.AF_UNIX) as fake:
                path = self.path + str(i)
                fake.bind(path)
                fake.listen()

                def answer():
                    peer, _ = fake.accept()
                    peer.sendall(letter)
                    peer.close()

                thread = threading.Thread(target=answer)
                thread.start()
                _, errors = harness.run("greeter-server", "--takeover", path, "--listen",
                                        "127.0.0.1:0", code=1)
                thread.join()
                self.assertIn(f"cannot take over at {path}: ", errors)
                self.assertIn(text, errors)

    def test_what_is_not_asked_for_ends(self):
        first = self.start("--listen", "127.0.0.1:0")
        second = first.wait_line(r"^listening on (.+)$")[1]
        successor = self.serve("greeter-server", "--listen", second, "--takeover", self.path)
        self.assertEqual(successor.address, second)
        first.wait(0)
        self.hello(second)
        host, port = first.address.split(":")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))

    def test_an_old_one_that_stops(self):
        """While somebody has its sockets and has not begun: nothing is lost."""
        path = os.path.join(self.folder(), "socket")
        server = self.start(address="unix:" + path)
        with self.connect_to_control() as heir:
            _, fds, _, _ = socket.recv_fds(heir, 65536, 16)
            server.stop()
            self.assertEqual(heir.recv(1), b"")
        self.assertTrue(os.path.exists(path))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)  # it waits for us
        for fd in fds:
            os.close(fd)
        self.start(address="unix:" + path)  # removes what is left


if __name__ == "__main__":
    harness.main()
