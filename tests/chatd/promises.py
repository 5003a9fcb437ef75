"""What chatd promises (docs/chatd.md), while it is killed, cut off, starved of its disk and
read too slowly. CAW_KILLS and CAW_CUTS say how often (make soak: more)."""
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import chatting
from chatting import Chatd, Listener, Talker, chat, fresh, grpc, harness

KILLS = int(os.environ.get("CAW_KILLS", "100"))
CUTS = int(os.environ.get("CAW_CUTS", "200"))
SEED = int(os.environ.get("CAW_SEED", "0")) or random.randrange(1 << 30)
MANY = 20 if harness.SANITIZED else 1  # what is repeated is divided by this


def kind(item):
    return item.WhichOneof("what")


class Case(chatting.Case):
    def setUp(self):
        self.random = random.Random(SEED)
        print(f"CAW_SEED={SEED}", file=sys.stderr)

    def stays(self, *args):
        """A server that can be started again on the same port and folder."""
        self.args = args
        self.address = f"127.0.0.1:{harness.lasting_port()}"
        return self.again(self.folder())

    def again(self, folder):
        server = Chatd(folder, "--no-log", *self.args, address=self.address)
        self.addCleanup(lambda: None if server.checked else server.stop())
        return server


    def health(self, server):
        """What the health service says: 1 serving, 2 not."""
        call = self.connect(server.address).unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=lambda b: b,
            response_deserializer=lambda b: b)
        return call(b"\x0a\x13chat.v1.ChatService", timeout=harness.TIMEOUT)[1]


class Writer:
    """Sends on Chat streams without a pause; what has no ack is sent again, until it has."""

    def __init__(self, address, token, room_id, name):
        # Without gRPC's transparent retry: that of its C core 1.51 lost the second message of a
        # stream whose first connection had just been killed (1 in some 20,000 streams; seen on
        # the wire). This client repeats what has no ack by itself.
        self.talker = Talker(harness.channel_to(address, ("grpc.enable_retries", 0)), token)
        self.room_id, self.name = room_id, name
        self.acked = {}  # id: number
        self.waiting = []
        self.next = 0
        self.ending = False
        self.wrong = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def message(self, id):
        return chat.ChatRequest(send=chat.SendRequest(
            room_id=self.room_id, client_message_id=id, text=f"{id} says {self.name}"))

    def run(self):
        while not self.ending or self.waiting:
            feed = harness.Feed(*[self.message(id) for id in self.waiting])
            try:
                call = self.talker.Chat(feed, wait_for_ready=True)
                self.acks = 0
                self.fill(feed)
                for response in call:
                    self.take(response.ack)
                    self.fill(feed)
                    if self.ending and not self.waiting:
                        break
                feed.end()
                call.cancel()
            except grpc.RpcError as error:
                feed.end()
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    self.wrong.append(error)
                    return
        self.talker.channel.close()

    def fill(self, feed):
        while len(self.waiting) < 16 and not self.ending:
            id = f"{self.name}-{self.next}"
            self.next += 1
            self.waiting.append(id)
            feed.put(self.message(id))

    def take(self, ack):
        if ack.client_message_id != self.waiting[0] or ack.WhichOneof("result") != "sent":
            # The disk in trouble: not acknowledged, so it is sent again.
            if ack.error.code == grpc.StatusCode.UNAVAILABLE.value[0]:
                raise OnceMore()
            self.wrong.append((ack, "awaited:", self.waiting[:3], "acks of this stream:", self.acks))
        self.acks += 1
        self.acked[self.waiting.pop(0)] = ack.sent.number

    def stop(self):
        self.ending = True


class OnceMore(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE


class Killed(Case):
    def test_nothing_that_was_acknowledged_is_lost(self):
        """Ack means durable, sent once, one order: eight writers, and SIGKILL again and again."""
        server = self.stays()
        folder = server.folder
        owner = self.owner(server)
        hall = owner.make_room("hall")
        writers = [Writer(self.address, owner.token, hall.id, f"w{i}") for i in range(8)]
        for _ in range(max(5, KILLS // MANY)):
            time.sleep(self.random.uniform(0.02, 0.2))
            server.kill()
            server = self.again(folder)
        deadline = time.monotonic() + harness.TIMEOUT
        while any(not w.acked for w in writers) and time.monotonic() < deadline:
            time.sleep(0.05)
        for writer in writers:
            writer.stop()
        for writer in writers:
            writer.thread.join(harness.TIMEOUT)
            self.assertFalse(writer.thread.is_alive())
            self.assertEqual(writer.wrong[:3], [])
        self.check(server, owner.token, hall.id, writers)

    def check(self, server, token, room_id, writers):
        reader = Talker(self.connect(server.address), token)
        kept = [i.message for i in reader.ReadAll(chat.ReadAllRequest(room_id=room_id))]
        self.assertEqual([m.number for m in kept], list(range(1, len(kept) + 1)))
        where = {}
        for message in kept:
            self.assertNotIn(message.client_message_id, where)
            where[message.client_message_id] = message.number
            self.assertEqual(message.text, f"{message.client_message_id} says "
                                           f"{message.client_message_id.split('-')[0]}")
        for writer in writers:
            self.assertGreater(len(writer.acked), 0)
            for id, number in writer.acked.items():
                self.assertEqual(where.get(id), number, id)
            # In the order in which they were sent.
            numbers = list(writer.acked.values())
            self.assertEqual(numbers, sorted(numbers))
        print(f"{len(kept)} messages", file=sys.stderr)


class Proxy:
    """Between clients and a server; cuts all connections when told to."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target = host, int(port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            with self.lock:
                self.pairs.append((near, far))
            threading.Thread(target=self.both, args=(near, far), daemon=True).start()

    def both(self, near, far):
        back = threading.Thread(target=self.pump, args=(far, near), daemon=True)
        back.start()
        self.pump(near, far)
        back.join()
        with self.lock:
            self.pairs = [pair for pair in self.pairs if pair[0] is not near]
        near.close()
        far.close()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(4096):
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
            for pair in pairs:
                for s in pair:
                    try:
                        s.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
        return len(pairs)

    def close(self):
        self.listener.close()
        self.cut()


class Follower:
    """Listens to a room through a proxy, resuming where it was."""

    def __init__(self, address, token, room_id):
        self.talker = Talker(harness.channel_to(address), token)
        self.room_id = room_id
        self.numbers = []
        self.follows = False  # something has come since it began or resumed
        self.resumed = 0
        self.ending = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ending:
            after = self.numbers[-1] if self.numbers else 0
            call = self.talker.Subscribe(chat.SubscribeRequest(
                rooms=[chat.Position(room_id=self.room_id, after_number=after)]),
                wait_for_ready=True)
            self.call = call
            try:
                for event in call:
                    if kind(event) == "message":
                        self.numbers.append(event.message.number)
                    self.follows = True
            except grpc.RpcError:
                self.resumed += self.follows
                self.follows = False

    def stop(self):
        self.ending = True
        self.call.cancel()
        self.thread.join(harness.TIMEOUT)
        self.talker.channel.close()


class Cut(Case):
    def test_subscribers_resume_without_loss_or_repeat(self):
        server = self.stays()
        owner = self.owner(server)
        hall = owner.make_room("hall")
        proxies = [Proxy(server.address) for _ in range(10)]
        for proxy in proxies:
            self.addCleanup(proxy.close)
        followers = [Follower(p.address, owner.token, hall.id) for p in proxies]
        writers = [Writer(server.address, owner.token, hall.id, f"w{i}") for i in range(2)]
        # Some cut connections had no stream yet: what counts is who had one.
        cuts, wanted = 0, max(10, CUTS // MANY)
        deadline = time.monotonic() + 4 * harness.TIMEOUT
        while sum(f.resumed for f in followers) < wanted and time.monotonic() < deadline:
            time.sleep(self.random.uniform(0, 0.02))
            cuts += self.random.choice(proxies).cut()
        for writer in writers:
            writer.stop()
            writer.thread.join(harness.TIMEOUT)
        self.assertGreaterEqual(sum(f.resumed for f in followers), wanted)
        last = owner.CountMessages(chat.CountMessagesRequest(room_id=hall.id)).count
        deadline = time.monotonic() + harness.TIMEOUT
        while any(len(f.numbers) < last for f in followers) and time.monotonic() < deadline:
            time.sleep(0.02)
        for follower in followers:
            follower.stop()
            self.assertEqual(follower.numbers, list(range(1, last + 1)))
        print(f"{last} messages, {cuts} cuts", file=sys.stderr)


class Slow(Case):
    def resident(self, server):
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) * 1024

    def test_the_stalled_cost_little_and_are_told_where_to_resume(self):
        server = self.start("--no-log", "--stall", "2")
        owner = self.owner(server)
        hall = owner.make_room("hall")
        stalled_count, live_count = 1000 // MANY, 100 // MANY
        rooms = [chat.Position(room_id=hall.id, after_number=-1)]

        def subscribe(channel):
            # A small window, and nothing read ahead of whoever iterates.
            return Talker(channel, owner.token).Subscribe(chat.SubscribeRequest(rooms=rooms))
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096)]
        channels = [self.connect(server.address, ("number", i), *options) for i in range(10)]
        stalled = [subscribe(channels[i % 10]) for i in range(stalled_count)]
        for call in stalled:
            self.assertEqual(kind(next(call)), "caught_up")
        live = [Listener(subscribe(self.connect(server.address, ("live", i // 10))))
                for i in range(live_count)]
        for stream in live:
            stream.wait_for(len)
        before = self.resident(server)
        messages, text = 300, "x" * 2000

        def burst(upto):
            """Until every live one has it; the server's CPU seconds. None is behind for so long
            that it is taken for one of those that stall."""
            begun = server.cpu()
            for i in range(upto - 150, upto):
                owner.say(hall.id, f"{i} {text}")
                for stream in live if i % 10 == 9 else ():
                    stream.wait_for(lambda _: i + 1 in stream.numbers())
            return server.cpu() - begun
        filling, beside = burst(150), burst(300)
        # The live ones have all of it, with the others standing beside them, which cost no more.
        for stream in live:
            self.assertEqual(stream.numbers(), list(range(1, messages + 1)))
        self.assertLess(beside, 2 * filling)
        print(f"CPU of a burst: {filling:.3f} s while they are filled, then {beside:.3f} s",
              file=sys.stderr)
        for stream in live:
            stream.cancel()
        grown = self.resident(server) - before
        print(f"{grown / stalled_count / 1024:.1f} KiB for each that is stalled", file=sys.stderr)
        if not harness.SANITIZED:
            # 600 KB were not taken by each: kept apart they were 600 MB.
            self.assertLess(grown, 48 * harness.MIB)
        self.two_seconds(server, owner, hall)
        for call in stalled:
            self.told(call, messages)

    def two_seconds(self, server, owner, hall):
        """Until the server has looked at all streams after two seconds by its own clock: its one
        loop does so before it sends the heartbeat of each second."""
        witness = Listener(Talker(self.connect(server.address), owner.token).Subscribe(
            chat.SubscribeRequest(rooms=[chat.Position(room_id=hall.id, after_number=-1)],
                                  heartbeat={"seconds": 1})))
        witness.wait_for(lambda items: [kind(i) for i in items].count("heartbeat") >= 2)
        witness.cancel()

    def told(self, call, messages):
        numbers, gap, error = [], None, None
        try:
            for event in call:
                if kind(event) == "message":
                    self.assertIsNone(gap)
                    numbers.append(event.message.number)
                elif kind(event) == "gap":
                    gap = event.gap
        except grpc.RpcError as caught:
            error = caught
        self.assertEqual((error.code(), chatting.reason_of(error)),
                         (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_SLOW"))
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertLess(len(numbers), messages)
        # Up to what there was when it ended, which may be before the last was sent.
        self.assertEqual((gap.from_number, gap.reason), (len(numbers) + 1, chat.Gap.TOO_SLOW))
        self.assertTrue(gap.from_number <= gap.to_number <= messages, gap)

    def test_who_is_slow_for_a_while_misses_nothing(self):
        server = self.start("--no-log", "--stall", "600")
        owner = self.owner(server)
        hall = owner.make_room("hall")
        call = owner.Subscribe(chat.SubscribeRequest(rooms=[chat.Position(room_id=hall.id)],
                                                     heartbeat={"seconds": 300}))
        self.assertEqual(kind(next(call)), "caught_up")
        messages = 400
        for i in range(messages):  # more than a ring holds, and than a queue
            owner.say(hall.id, "x" * 4000)
        numbers = []
        while len(numbers) < messages:
            event = next(call)
            self.assertIn(kind(event), ("message", "caught_up"))
            if kind(event) == "message":
                numbers.append(event.message.number)
        self.assertEqual(numbers, list(range(1, messages + 1)))
        owner.say(hall.id, "live again")
        while kind(event := next(call)) != "message":
            pass
        self.assertEqual(event.message.text, "live again")
        call.cancel()


class Disk(Case):
    """A file system of a few MiB, which a namespace of its own has."""

    def namespace(self):
        """The command that gives a program mounts of its own: as anybody, or as root."""
        for command in (["unshare", "--user", "--map-root-user", "--mount"], ["unshare", "--mount"]):
            if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
                return command
        return self.skipTest("this machine lets nobody have a file system of their own")

    def on_a_small_disk(self, mib):
        folder = self.folder()
        script = (f"mount -t tmpfs -o size={mib}m,mode=700 none '{folder}' && "
                  f"head -c 1m /dev/zero > '{folder}/filler' && exec \"$0\" \"$@\"")
        server = Chatd(f"{folder}/data", "--no-log",
                       prefix=(*self.namespace(), "sh", "-c", script))
        self.addCleanup(lambda: None if server.checked else server.stop())
        server.disk = f"/proc/{server.process.pid}/root{folder}"
        return server

    def test_full_then_room_again(self):
        server = self.on_a_small_disk(8)
        owner = self.owner(server)
        hall = owner.make_room("hall")
        self.assertEqual(self.health(server), 1)
        acked, error = [], None
        while not error:
            try:
                acked.append(owner.say(hall.id, "x" * 16000).number)
            except grpc.RpcError as caught:
                error = caught
            self.assertLess(len(acked), 2000)
        self.assertEqual((error.code(), chatting.reason_of(error)),
                         (grpc.StatusCode.UNAVAILABLE, "DISK_FULL"))
        self.assertEqual(self.health(server), 2)
        # What is there can be read meanwhile.
        self.assertEqual([i.message.number for i in owner.ReadAll(
            chat.ReadAllRequest(room_id=hall.id))], acked)
        os.unlink(f"{server.disk}/filler")
        acked.append(owner.say(hall.id, "room again").number)
        self.assertEqual(acked, list(range(1, len(acked) + 1)))
        self.assertEqual(self.health(server), 1)
        self.assertIn("the disk takes messages again", server.stop())

    def test_a_failed_write_ends_all_acks_until_a_restart(self):
        """Writes beyond a file's limit fail with EFBIG, which is no lack of room."""
        server = self.stays()
        owner = self.owner(server)
        hall = owner.make_room("hall")
        owner.say(hall.id, "before")
        import resource
        size = os.stat(f"{server.folder}/chat.db-wal").st_size
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 100000, size + 100000))
        acked, error = [1], None
        while not error:
            try:
                acked.append(owner.say(hall.id, "x" * 16000).number)
            except grpc.RpcError as caught:
                error = caught
            self.assertLess(len(acked), 100)
        self.assertEqual((error.code(), chatting.reason_of(error)),
                         (grpc.StatusCode.UNAVAILABLE, "DISK_FAILED"))
        for _ in range(3):
            self.refused("UNAVAILABLE", "DISK_FAILED", owner.Send, chat.SendRequest(
                room_id=hall.id, client_message_id=fresh(), text="small"))
        self.assertEqual(self.health(server), 2)
        self.assertEqual(owner.CountMessages(chat.CountMessagesRequest()).count, len(acked))
        self.assertIn("the disk failed", server.stop())
        server = self.again(server.folder)
        owner = Talker(self.connect(server.address), owner.token)
        self.assertEqual([i.message.number for i in owner.ReadAll(
            chat.ReadAllRequest(room_id=hall.id))], acked)
        self.assertEqual(owner.say(hall.id, "after").number, len(acked) + 1)
        self.assertEqual(self.health(server), 1)


class Damaged(Case):
    def test_one_bit_is_one_message(self):
        server = self.stays()
        owner = self.owner(server)
        hall = owner.make_room("hall")
        for i in range(1, 101):
            owner.say(hall.id, f"this is message {i:03}")
        server.stop()
        path = f"{server.folder}/chat.db"
        sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        with open(path, "r+b") as file:
            data = file.read()
            at = data.index(b"this is message 042")
            self.assertEqual(data.count(b"this is message 042"), 1)
            file.seek(at + 3)
            file.write(bytes([data[at + 3] ^ 1]))
        server = self.again(server.folder)
        owner = Talker(self.connect(server.address), owner.token)
        others = [n for n in range(1, 101) if n != 42]
        page = owner.GetMessages(chat.GetMessagesRequest(room_id=hall.id))
        self.assertEqual([m.number for m in page.messages], others)
        lost = chat.Gap(room_id=hall.id, from_number=42, to_number=42, reason=chat.Gap.DATA_LOSS)
        self.assertEqual(list(page.gaps), [lost])
        everything = list(owner.ReadAll(chat.ReadAllRequest(room_id=hall.id)))
        self.assertEqual([i.message.number or i.gap.from_number for i in everything],
                         list(range(1, 101)))
        self.assertEqual(everything[41].gap, lost)
        stream = Listener(owner.Subscribe(chat.SubscribeRequest(
            rooms=[chat.Position(room_id=hall.id)])))
        stream.wait_for(lambda items: len(items) == 101)
        self.assertEqual(stream.items[41].gap, lost)
        self.assertEqual(stream.numbers(), others)
        stream.cancel()


class Alone(Case):
    def test_two_on_one_folder(self):
        server = self.start()
        _, errors = harness.run("chatd", "--listen", "127.0.0.1:0", "--data", server.folder, code=1)
        self.assertIn("another chatd uses the folder", errors)

    def test_nobody_listens_in(self):
        _, errors = harness.run("chatd", "--listen", "0.0.0.0:0", "--data", self.folder(), code=1)
        self.assertIn("without TLS everybody on the way reads the passwords", errors)


if __name__ == "__main__":
    chatting.main()
