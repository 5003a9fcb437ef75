"""docs/chatd.md: its example in Python does what it says; and the README's words are true."""
import os
import re
import subprocess
import sys

import chatting
from chatting import harness


def read(path):
    with open(os.path.join(harness.ROOT, path), encoding="utf-8") as file:
        return file.read()


class Manual(chatting.Case):
    def test_the_example_in_python(self):
        text = read("docs/chatd.md")
        code, = re.findall(r"```python\n(.*?)```", text, re.S)
        output, = re.findall(r"It prints:\n\n```\n(.*?)```", text, re.S)
        folder = self.folder()
        path = os.path.join(folder, "example.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(code)
        done = subprocess.run([sys.executable, path, self.start().address], capture_output=True,
                              text=True, timeout=harness.TIMEOUT, check=False)
        self.assertEqual((done.stdout, done.returncode), (output, 0), done.stderr)

    def test_the_promises_are_those_of_the_proto(self):
        """The same words in both places."""
        proto = " ".join(re.sub(r"^// ?", "", line) for line in
                         read("proto/chat/v1/chat.proto").splitlines() if line.startswith("//"))
        for promise in re.findall(r"- \*\*(.+?)\.\*\*", read("docs/chatd.md").split("## Who")[0]):
            self.assertIn(promise, proto)

    def test_every_option_is_in_the_help(self):
        options = set(re.findall(r"--[a-z][a-z-]+", read("docs/chatd.md")))
        known = set()
        for name in ("chatd", "chat"):
            known |= set(re.findall(r"--[a-z][a-z-]+", harness.run(name, "--help")[0]))
        protoc = {"--python", "--grpc", "--plugin"}  # protoc's, up to their underscores
        self.assertLessEqual(options - protoc, known)


if __name__ == "__main__":
    chatting.main()
