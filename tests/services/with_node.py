"""Our health service and reflection with clients in JavaScript: @grpc/grpc-js with the .proto
file of grpc-health-check (which has List), and grpc-js-reflection-client."""
import json
import os

import harness

CLIENT = [os.environ["CAW_NODE"], os.path.join(os.path.dirname(os.path.abspath(__file__)), "node", "client.js")]


class Node(harness.Case):
    def setUp(self):
        self.server = self.serve("peer-services")

    def do(self, line):
        self.server.send(line)
        self.server.wait_line(f"^did {line}$")

    def start(self, *args):
        child = harness.Child(*CLIENT, *args)
        self.addCleanup(lambda: None if child.checked else child.kill())
        return child

    def said(self, child):
        return json.loads(child.wait_line(".+").group(0))

    def test_health(self):
        client = self.start("health", self.server.address)

        def ask(line):
            client.send(line)
            return self.said(client)

        self.assertEqual(self.said(client), "ready")
        self.assertEqual(ask("check"), {"status": "SERVING"})
        self.assertEqual(ask("check a.B"), {"code": 5, "details": "unknown service"})
        self.assertEqual(ask("list"), {"statuses": {"": {"status": "SERVING"}}})
        self.assertEqual(ask("watch a.B"), {"watched": "a.B", "status": "SERVICE_UNKNOWN"})
        self.do("set a.B 2")
        self.assertEqual(self.said(client), {"watched": "a.B", "status": "NOT_SERVING"})
        self.do("set a.B 1")
        self.assertEqual(self.said(client), {"watched": "a.B", "status": "SERVING"})
        self.assertEqual(ask("list"), {"statuses": {"": {"status": "SERVING"}, "a.B": {"status": "SERVING"}}})
        self.do("drain 1000")
        self.assertEqual(self.said(client), {"watched": "a.B", "status": "NOT_SERVING"})
        self.assertEqual(self.said(client),
                         {"watched": "a.B", "code": 14, "details": "the server is shutting down"})
        self.server.wait()

    def test_reflection(self):
        for version in "v1", "v1alpha":
            with self.subTest(version):
                client = self.start("reflect", self.server.address, version)
                self.assertEqual(self.said(client), [
                    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                    "grpc.reflection.v1alpha.ServerReflection", "thing.Things", "thing.Unused"])
                self.assertEqual(self.said(client), ["/thing.Things/Get", "/thing.Things/Watch"])
                self.assertEqual(self.said(client), 7)
                self.assertIn("Symbol not found: no.Such", self.said(client))
                client.wait(0)


if __name__ == "__main__":
    harness.main()
