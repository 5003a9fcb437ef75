"""The examples that lend a loop to another program's: the calls are answered,
deadlines and the host's timer pass, nothing spins, no thread appears."""
import os
import re
import subprocess
import unittest

BIN = os.environ["CAW_BIN"]

WANTED = re.compile(
    r"Hello, (?P<greeted>\w+)!\n"
    r"SayHello: OK after \d+ ms\n"
    r"(?P<ticks>\d+) ticks of the timer of (?P<host>\w+), (?P<rounds>\d+) rounds of its loop, "
    r"(?P<threads>-?\d+) new threads\n"
)
# Before or behind the answer: the program may stand still for longer than the deadline.
EXPIRED = re.compile(r"^SayHelloStream: DEADLINE_EXCEEDED after (\d+) ms\n", re.M)


class Loops(unittest.TestCase):
    def check(self, host):
        run = subprocess.run([f"{BIN}/loop-{host.lower()}"], capture_output=True, text=True,
                             timeout=60)
        self.assertEqual((run.returncode, run.stderr), (0, ""), run.stdout)
        parts = EXPIRED.split(run.stdout)  # before, the milliseconds, behind
        self.assertEqual(len(parts), 3, run.stdout)
        match = WANTED.fullmatch(parts[0] + parts[2])
        self.assertIsNotNone(match, run.stdout)
        self.assertEqual((match["greeted"], match["host"]), (host, host))
        self.assertGreaterEqual(int(parts[1]), 50)  # the deadline, and not before
        self.assertGreaterEqual(int(match["ticks"]), 1)  # the host's timer is every 20 ms
        # 6 to 9 on a quiet machine. A host that spins has tens of thousands.
        self.assertLess(int(match["rounds"]), 200)
        self.assertEqual(int(match["threads"]), 0)

    def test_poll(self):
        self.check("poll")

    def test_libuv(self):
        self.check("libuv")

    def test_glib(self):
        self.check("GLib")

    def test_libevent(self):
        self.check("libevent")


if __name__ == "__main__":
    unittest.main()
