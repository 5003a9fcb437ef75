"""The details of errors, with Ruby's gRPC and its official messages of
google.rpc: the same fields, and all of them across the wire both ways."""
import json
import os
import unittest

import harness
import kit

RUBY = os.environ["CAW_RUBY"]
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.rb")
PROGRAM = "peer-details"


def ruby(*args):
    return harness.Child(RUBY, SCRIPT, *args)


def lines(child):
    child.wait(0)
    return child.lines


def details(got):
    return [json.loads(line) for line in got]


class Details(kit.Case):
    def test_fields(self):
        """Every field that Ruby knows is ours; later versions have more."""
        theirs = set(lines(ruby("fields")))
        ours = set(harness.run(PROGRAM, "fields")[0].splitlines())
        self.assertGreater(len(theirs), 25)
        self.assertEqual(theirs - ours, set())

    def expected(self):
        return [
            {"reason": "FULL", "domain": "caw.example", "metadata": {"zone": "a"}},
            {"stackEntries": ["inner", "outer"], "detail": "d"},
            {"violations": [{"subject": "s", "description": "too much"}]},
            {"fieldViolations": [{"field": "name", "description": "empty"}]},
            {"violations": [{"type": "TOS", "subject": "s", "description": "accept"}]},
            {"requestId": "42", "servingData": "x"},
            {"resourceType": "user", "resourceName": "ann", "owner": "o", "description": "gone"},
            {"links": [{"description": "manual", "url": "https://caw.example/"}]},
            {"locale": "de", "message": "Zu viel ☃"}]

    def test_ruby_reads_ours(self):
        server = harness.Server(PROGRAM, "serve")
        self.addCleanup(server.kill)
        got = lines(ruby("call", server.address))
        self.assertEqual(got[:2], ["FailedPrecondition all of them", "9 all of them 10"])
        read = details(got[2:])
        self.assertEqual(read.pop(1), {"retryDelay": "2.500s"})
        self.assertEqual(read, self.expected())

    def test_we_read_rubys(self):
        server = kit.Peer(RUBY, SCRIPT, "serve").listening()
        self.addCleanup(server.end)
        got = harness.run(PROGRAM, "call", f"127.0.0.1:{server.port}")[0].splitlines()
        self.assertEqual(got[:2], ["FAILED_PRECONDITION all of them",
                                   "FAILED_PRECONDITION all of them 10"])
        read = details(got[2:])
        self.assertEqual(read.pop(1), {"retryDelay": {"seconds": "2", "nanos": 500000000}})
        self.assertEqual(read, self.expected())


if __name__ == "__main__":
    unittest.main(verbosity=2)
