"""The whole API with the official gRPC for Node (node/api.js)."""
import os
import subprocess

import chatting
from chatting import auth, chat, harness, room, user

API = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node", "api.js")


class Node(chatting.Case):
    def test_every_method(self):
        server = self.start()
        done = subprocess.run(
            [os.environ["CAW_NODE"], API, server.address, os.path.join(harness.ROOT, "proto"),
             server.owner_token()], capture_output=True, text=True, timeout=harness.TIMEOUT,
            check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        methods = {m.name for file in (auth, user, room, chat)
                   for service in file.DESCRIPTOR.services_by_name.values()
                   for m in service.methods}
        self.assertEqual(set(done.stdout.split()), methods)


if __name__ == "__main__":
    chatting.main()
