"""The client for terminals and scripts, as a script would use it, and as an enemy would."""
import json
import os
import signal
import subprocess
import time

import chatting
from chatting import PASSWORD, Chatd, chat, fresh, grpc, harness, room


class Case(chatting.Case):
    def setUp(self):
        # On a port that is free when it is started again.
        self.server = self.start("--no-log", address=f"127.0.0.1:{harness.lasting_port()}")
        self.home = self.folder()
        self.run_chat("register", "ann", input=PASSWORD + "\n")
        self.run_chat("create", "hall")
        self.talker = self.member(self.server, "watcher")
        self.hall = self.talker.GetRoom(room.GetRoomRequest(name="hall")).view.room.id

    def environment(self):
        env = harness.environment()
        env.update(XDG_CONFIG_HOME=self.home, CHAT_SERVER=self.server.address)
        return env

    def start_chat(self, *args, **kwargs):
        values = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        values.update(kwargs)
        child = subprocess.Popen([harness.program("chat"), *args], env=self.environment(), **values)
        self.addCleanup(lambda: (child.poll() is None and child.kill(), child.wait(),
                                 [f.close() for f in (child.stdin, child.stdout, child.stderr)
                                  if f]))
        return child

    def run_chat(self, *args, input="", code=0, **kwargs):
        """What it wrote on both outputs."""
        child = self.start_chat(*args, **kwargs)
        data = input if isinstance(input, bytes) else input.encode()
        out, err = child.communicate(data, timeout=5 * harness.TIMEOUT)
        err = err.decode(errors="replace") if err else ""
        self.assertIsNone(harness.SANITIZER.search(err), err)
        self.assertEqual(child.returncode, code, (args, out, err))
        return out, err

    def texts(self):
        return [m.message.text for m in self.talker_all()]

    def talker_all(self):
        self.talker.JoinRoom(room.JoinRoomRequest(room_id=self.hall))
        return list(self.talker.ReadAll(chat.ReadAllRequest(room_id=self.hall)))


class Sending(Case):
    def test_lines(self):
        for data, sent, failed in [
                (b"one\ntwo\n\nthree", ["one", "two", "three"], 0),
                (b"windows\r\n", ["windows"], 0),
                (b"nul\0inside\nfine\n", ["fine"], 1),
                (b"\xff\xfe\nafter\n", ["after"], 1),
                (b"\x1b[31m\n", [], 1),
                (b"x" * 16384 + b"\n", ["x" * 16384], 0),
                (b"y" * 16385 + b"\nz\n", ["z"], 1),
                (b"y" * 40000 + b"\nz\n", ["z"], 1),
                (b"y" * 100000, [], 1),
                (b"", [], 0),
                (os.urandom(100000).replace(b"\n", b"\xff"), [], 1)]:
            before = len(self.texts())
            _, err = self.run_chat("send", "hall", "-", input=data, code=1 if failed else 0)
            self.assertEqual(self.texts()[before:], sent, data[:50])
            self.assertIn(f"sent {len(sent)} messages", err)

    def test_many_lines(self):
        n = harness.scaled(5000 if harness.SANITIZED else 100000)
        out, _ = self.run_chat("send", "hall", "-", "--json",
                               input="".join(f"line {i}\n" for i in range(n)))
        acks = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([int(a["sent"]["number"]) for a in acks], list(range(1, n + 1)))
        self.assertEqual(self.texts(), [f"line {i}" for i in range(n)])

    def test_words(self):
        for words in (["\udcff"], ["bell\x07"], [""], ["x" * 16385]):
            self.run_chat("send", "hall", *words, code=1)
        out, _ = self.run_chat("send", "hall", "two", "words", "--json")
        self.assertEqual(json.loads(out)["number"], "1")
        self.assertEqual(self.texts(), ["two words"])

    def test_the_server_dies_while_lines_are_sent(self):
        child = self.start_chat("send", "hall", "-")
        n = 0
        for _ in range(3):
            for _ in range(200):
                child.stdin.write(f"{n}\n".encode())
                n += 1
            child.stdin.flush()
            self.server.kill()
            self.server = Chatd(self.server.folder, "--no-log", address=self.server.address)
        child.stdin.close()
        self.addCleanup(lambda: None if self.server.checked else self.server.stop())
        child.wait(harness.TIMEOUT)
        self.assertEqual(child.returncode, 0, child.stderr.read())
        self.talker = chatting.Talker(self.connect(self.server.address), self.talker.token)
        self.assertEqual(self.texts(), [str(i) for i in range(n)])


class Reading(Case):
    def test_follow_over_restarts(self):
        """Every message once, whenever the server dies."""
        child = self.start_chat("tail", "hall", "--follow", "--json", "--from", "1")
        for i in range(5):
            self.run_chat("send", "hall", "-", input="".join(f"{i}.{k}\n" for k in range(300)))
            self.server.kill() if i % 2 else self.server.stop()
            self.server = Chatd(self.server.folder, "--no-log", address=self.server.address)
        self.addCleanup(lambda: None if self.server.checked else self.server.stop())
        self.run_chat("send", "hall", "the end")
        numbers = []
        for line in child.stdout:
            message = json.loads(line)
            numbers.append(int(message["number"]))
            if message["text"] == "the end":
                break
        self.assertEqual(numbers, list(range(1, 1502)))
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(harness.TIMEOUT), -signal.SIGINT)

    def test_from_a_number_that_is_not_there_yet(self):
        for i in range(3):
            self.run_chat("send", "hall", f"{i}")
        child = self.start_chat("tail", "hall", "--follow", "--json", "--from", "5")
        self.run_chat("send", "hall", "four")
        self.run_chat("send", "hall", "five")
        self.assertEqual(json.loads(child.stdout.readline())["text"], "five")

    def test_json_of_everything(self):
        self.run_chat("send", "hall", 'quote " backslash \\ tab\t \U0001f600')
        self.run_chat("send", "@watcher", "psst")
        for args in (["whoami"], ["users"], ["users", "an"], ["rooms"], ["rooms", "--all"],
                     ["create", "other"], ["join", "other"], ["tail", "hall"],
                     ["read-all", "hall"], ["count"], ["count", "hall"], ["count", "@watcher"],
                     ["send", "hall", "x"], ["leave", "other"]):
            out, _ = self.run_chat(*args, "--json")
            lines = out.decode().split("\n")
            self.assertEqual(lines.pop(), "")
            for line in lines:
                self.assertIsInstance(json.loads(line), dict, args)
            self.assertTrue(lines or args[0] == "leave", args)

    def test_outputs_that_take_nothing(self):
        self.run_chat("send", "hall", "x")
        for args in (["tail", "hall"], ["tail", "hall", "--follow"], ["read-all", "hall"],
                     ["whoami"], ["rooms", "--json"], ["tail", "hall", "--follow", "--json"]):
            with open("/dev/full", "w") as full:
                _, err = self.run_chat(*args, stdout=full, code=1)
                self.assertIn("cannot write", err, args)
        child = self.start_chat("tail", "hall", "--follow")
        child.stdout.readline()
        child.stdout.close()
        self.run_chat("send", "hall", "y")
        self.assertEqual(child.wait(harness.TIMEOUT), -signal.SIGPIPE)


class Logins(Case):
    def path(self):
        return os.path.join(self.home, "chat", "logins")

    def test_two_at_once(self):
        children = [self.start_chat("register", f"p{i}") for i in range(8)]
        for child in children:
            child.stdin.write(f"{PASSWORD}\n".encode())
            child.stdin.close()
        for child in children:
            self.assertEqual(child.wait(harness.TIMEOUT), 0)
        with open(self.path()) as f:
            self.assertEqual({line.split()[1] for line in f}, {"ann"} | {f"p{i}" for i in range(8)})
        for i in range(8):
            self.run_chat("whoami", "--as", f"p{i}")

    def test_a_failed_login_speaks_of_nobody_else(self):
        for args in (["login", "watcher"], ["login", "nobody"]):
            _, err = self.run_chat(*args, input="wrong password\n", code=1)
            self.assertNotIn("ann", err)
            self.assertNotIn("log in again", err)
        # A session that is no more: of whom it was.
        with open(self.path()) as f:
            line = f.read()
        with open(self.path(), "w") as f:
            f.write(line.replace(line.split()[2], "x" * 43))
        _, err = self.run_chat("rooms", code=1)
        self.assertIn("chat login ann", err)
        self.run_chat("logout")
        _, err = self.run_chat("rooms", code=1)
        self.assertIn("nobody is logged in", err)

    def test_wrong_files(self):
        with open(self.path()) as f:
            good = f.read()
        os.chmod(self.path(), 0o644)
        _, err = self.run_chat("rooms", code=1)
        self.assertIn("others can read", err)
        for bad in (b"", b"\0\xff\n" * 100, b"x" * 100000, b"a b c\n" * 1000):
            with open(self.path(), "wb") as f:
                f.write(bad + b"\n" + good.encode())
            os.chmod(self.path(), 0o600)
            self.run_chat("whoami", "--as", "ann",
                          code=1 if bad.startswith(b"a b") else 0)
        os.unlink(self.path())
        os.mkdir(self.path(), 0o700)
        self.run_chat("rooms", code=1)
        _, err = self.run_chat("login", "ann", input=PASSWORD + "\n", code=1)
        self.assertIn("cannot", err)
        self.assertEqual([n for n in os.listdir(os.path.dirname(self.path())) if n != "logins"], [])

    def test_a_full_disk(self):
        script = 'ulimit -f 0; trap "" XFSZ; exec "$@"'
        with open(self.path()) as f:
            before = f.read()
        child = subprocess.run(["bash", "-c", script, "bash", harness.program("chat"), "login",
                                "ann"], env=self.environment(), input=PASSWORD + "\n",
                               capture_output=True, text=True, timeout=harness.TIMEOUT)
        self.assertEqual(child.returncode, 1, child)
        self.assertIn("cannot write", child.stderr)
        with open(self.path()) as f:
            self.assertEqual(f.read(), before)
        self.assertEqual(os.listdir(os.path.dirname(self.path())), ["logins"])

    def test_addresses_that_a_login_cannot_keep(self):
        for server in ("unix:/tmp/a b", "x" * 300):
            _, err = self.run_chat("--server", server, "login", "ann", input=PASSWORD + "\n",
                                   code=1)
            self.assertIn("--server", err)

    def test_no_server(self):
        self.server.stop()
        for args in (["whoami"], ["rooms"], ["tail", "hall"], ["send", "hall", "x"]):
            _, err = self.run_chat("--timeout", "0.5", *args, code=1)
            self.assertIn("does a chatd listen", err)


if __name__ == "__main__":
    chatting.main()
