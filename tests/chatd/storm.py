"""Everything at once: people write, listen, come, go, are sent away, log out and read slowly, on
several loops. Whatever a stream got must be the room's messages in order, each once; nobody hears
of a room after they were told to be out of it; and when the storm is over, everybody has all."""
import os
import random
import threading
import time

import chatting
from chatting import PASSWORD, Talker, auth, chat, fresh, grpc, harness, room

SEED = int(os.environ.get("CAW_STORM_SEED", "1"))
SECONDS = float(os.environ.get("CAW_STORM_SECONDS", "6"))
PEOPLE, ROOMS = 8, 6
EXPECTED = {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.FAILED_PRECONDITION}


class Follower:
    """A stream, and what is known of each room on it: the number that must come next."""

    def __init__(self, me, rng, world):
        self.me, self.rng, self.world = me, rng, world
        self.next = {}     # room: number, None when any may come first
        self.loose = set()  # rooms of which only the order is known
        self.feed = None
        self.call = None
        self.lock = threading.Lock()
        self.thread = None
        self.ended = False
        self.slow = rng.random() < 0.3

    def start(self, positions, all_rooms, by_chat):
        self.all_rooms = all_rooms
        self.next = {r: n + 1 if n >= 0 else None for r, n in positions}
        request = chat.SubscribeRequest(
            rooms=[chat.Position(room_id=r, after_number=n) for r, n in positions],
            all_rooms=all_rooms)
        if by_chat:
            self.feed = harness.Feed(chat.ChatRequest(subscribe=request))
            self.call = self.me.Chat(self.feed, timeout=600)
        else:
            self.call = self.me.Subscribe(request, timeout=600)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for item in self.call:
                if self.feed:
                    if item.WhichOneof("what") != "event":
                        continue
                    item = item.event
                with self.lock:
                    self.take(item)
                if self.slow and not self.world.calm.is_set():
                    time.sleep(0.002)
        except grpc.RpcError as error:
            if error.code() not in EXPECTED:
                reason = chatting.reason_of(error)
                if reason != "TOO_SLOW":
                    self.world.blame(f"a stream ended with {error.code()} {error.details()}")
        except AssertionError as error:
            self.world.blame(str(error))
        self.ended = True

    def take(self, item):
        what = item.WhichOneof("what")
        if what == "message":
            m = item.message
            if m.number >= self.world.outside.get((m.room_id, self.me.user.id), 1 << 60):
                raise AssertionError(f"{m.number} of room {m.room_id} came to somebody outside")
            expected = self.next.get(m.room_id)
            if m.room_id not in self.next and not self.all_rooms and not self.feed:
                raise AssertionError(f"room {m.room_id} was not asked for")
            if expected is not None and (m.number < expected if m.room_id in self.loose
                                         else m.number != expected):
                raise AssertionError(f"room {m.room_id}: {m.number} came, not {expected}; "
                                     f"loose {m.room_id in self.loose}, all {self.all_rooms}")
            self.next[m.room_id] = m.number + 1
            self.world.heard(m)
        elif what == "member" and item.member.user_id == self.me.user.id:
            if not item.member.role:  # when it comes back, it may be at any number
                self.next[item.member.room_id] = None
        elif what == "caught_up":
            c = item.caught_up
            if self.next.get(c.room_id) is None or c.room_id in self.loose:
                self.next[c.room_id] = max(c.number + 1, self.next.get(c.room_id) or 0)
            elif c.number + 1 != self.next[c.room_id]:
                raise AssertionError(f"room {c.room_id}: caught up to {c.number}, "
                                     f"but {self.next[c.room_id]} is to come")
        elif what == "gap" and item.gap.reason != chat.Gap.TOO_SLOW:
            raise AssertionError(f"a gap: {item}")

    def stop(self):
        self.call.cancel()
        if self.feed:
            self.feed.end()
        self.thread.join(harness.TIMEOUT)


class Storm(chatting.Case):
    def blame(self, text):
        self.faults.append(text)

    def heard(self, m):
        known = self.texts.setdefault((m.room_id, m.number), m.text)
        if known != m.text:
            self.blame(f"room {m.room_id}: two messages have number {m.number}")

    def setUp(self):
        self.faults, self.texts, self.calm = [], {}, threading.Event()
        self.over = False
        self.server = self.start("--loops", "3", "--no-log", "--stall", "3")
        self.host = self.member(self.server, "host")
        self.outside = {}  # (room, person): from this number on they may hear nothing
        self.rooms = [self.host.make_room(f"room {i}",
                                          visibility=1 + i % 2).id for i in range(ROOMS)]
        self.people = [self.member(self.server, f"person{i}") for i in range(PEOPLE)]
        for person in self.people:
            for r in self.rooms:
                self.add(r, person)

    def add(self, r, person):
        self.host.AddMember(room.AddMemberRequest(room_id=r, user_id=person.user.id))

    def begin(self, me, rng):
        follower = Follower(me, rng, self)
        positions = [(r, rng.choice([-1, 0, 1, 5])) for r in rng.sample(self.rooms, rng.randint(0, 3))]
        follower.start(positions, not positions or rng.random() < 0.5, rng.random() < 0.5)
        return follower

    def relogin(self, me):
        """The session ends, with all its streams."""
        me.Logout(auth.LogoutRequest())
        reply = Talker(me.channel).Login(auth.LoginRequest(handle=me.user.handle,
                                                           password=PASSWORD))
        me.token = reply.token
        me.metadata = [("authorization", f"Bearer {reply.token}")]

    def act(self, me, rng, mine):
        """One thing that somebody does."""
        r = rng.choice(self.rooms[1:])
        what = rng.choice(["send"] * 8 + ["begin", "begin", "stop", "leave", "kick", "burst",
                                          "unsubscribe", "again", "relogin", "mark", "typing"] +
                          ["first"] * 3 + ["exile"] * (rng.random() < 0.05))
        if what == "first":
            self.host.say(self.rooms[0], fresh())
        elif what == "send":
            me.say(r, fresh())
        elif what == "burst":
            for _ in range(40):
                me.say(r, "x" * 2000 + fresh())
        elif what == "begin" and len(mine) < 4:
            mine.append(self.begin(me, rng))
        elif what == "stop" and mine:
            mine.pop(rng.randrange(len(mine))).stop()
        elif what == "leave":
            me.LeaveRoom(room.LeaveRoomRequest(room_id=r))
            self.add(r, me)
        elif what == "kick":
            victim = rng.choice(self.people)
            self.host.RemoveMember(room.RemoveMemberRequest(room_id=r, user_id=victim.user.id))
            self.add(r, victim)
        elif what == "exile" and (self.rooms[0], me.user.id) not in self.outside:
            # The first room: who is sent away there stays out until the end.
            self.host.RemoveMember(room.RemoveMemberRequest(room_id=self.rooms[0],
                                                            user_id=me.user.id))
            self.outside[self.rooms[0], me.user.id] = self.host.say(self.rooms[0], fresh()).number
        elif what in ("unsubscribe", "again"):
            for follower in [f for f in mine if f.feed and not f.ended]:
                with follower.lock:
                    follower.loose.add(r)
                    if what == "unsubscribe":
                        follower.feed.put(chat.ChatRequest(unsubscribe=chat.Unsubscribe(room_id=r)))
                    follower.feed.put(chat.ChatRequest(subscribe=chat.SubscribeRequest(
                        rooms=[chat.Position(room_id=r, after_number=-1)])))
        elif what == "relogin" and rng.random() < 0.2:
            self.relogin(me)
        elif what == "mark":
            me.MarkRead(chat.MarkReadRequest(room_id=r, number=0))
        elif what == "typing":
            me.SendTyping(chat.SendTypingRequest(room_id=r))

    def live(self, me, seed):
        rng = random.Random(seed)
        mine = [self.begin(me, rng)]
        while not self.over:
            try:
                self.act(me, rng, mine)
            except grpc.RpcError as error:
                if error.code() not in EXPECTED:
                    self.blame(f"{error.code()} {error.details()}")
        self.open += [f for f in mine if not f.ended]

    def test_storm(self):
        print("seed", SEED)
        self.open = []
        threads = [threading.Thread(target=self.live, args=(p, SEED * 100 + i))
                   for i, p in enumerate(self.people)]
        for t in threads:
            t.start()
        time.sleep(SECONDS)
        self.over = True
        for t in threads:
            t.join(harness.TIMEOUT * 3)
            self.assertFalse(t.is_alive(), "somebody hangs")
        self.calm.set()
        # Everybody is in every room now. What listens to all rooms has to hear all.
        self.outside = {}
        for person in self.people:
            for r in self.rooms:
                self.add(r, person)
        last = {r: self.host.say(r, "the end").number for r in self.rooms}
        deadline = time.time() + harness.TIMEOUT
        for follower in self.open:
            if follower.ended:
                continue
            wanted = {r for r in self.rooms if follower.all_rooms}
            while not follower.ended and not self.faults and any(
                    (follower.next.get(r) or 0) != last[r] + 1 for r in wanted):
                if time.time() > deadline:
                    missing = {r: (follower.next.get(r), last[r] + 1) for r in wanted
                               if follower.next.get(r) != last[r] + 1}
                    self.fail(f"a stream that waits for nothing has not all: {missing}")
                time.sleep(0.01)
        self.assertEqual(self.faults, [])
        for r in self.rooms:
            kept = [item.message for item in self.host.ReadAll(chat.ReadAllRequest(room_id=r))]
            self.assertEqual([m.number for m in kept], list(range(1, last[r] + 1)))
            for m in kept:
                self.assertEqual(self.texts.get((r, m.number), m.text), m.text)
        print(f"{sum(last.values())} messages, {len(self.texts)} heard, "
              f"{len([f for f in self.open if not f.ended])} streams to the end")
        self.server.stop()  # with streams in flight


if __name__ == "__main__":
    chatting.main()
