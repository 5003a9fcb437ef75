"""Streams in the hands of somebody who means harm: what must not crash, grow, leak or be heard."""
import threading
import time

import chatting
from chatting import Listener, chat, fresh, grpc, harness, room

Position = chat.Position


def subscribe(room_id, after=-1):
    return chat.ChatRequest(subscribe=chat.SubscribeRequest(
        rooms=[Position(room_id=room_id, after_number=after)]))


def unsubscribe(room_id):
    return chat.ChatRequest(unsubscribe=chat.Unsubscribe(room_id=room_id))


class Case(chatting.Case):
    def setUp(self):
        self.server = self.start("--no-log")
        self.ann = self.member(self.server, "ann")
        self.hall = self.ann.make_room("hall").id
        self.yard = self.ann.make_room("yard").id

    def memory(self):
        """Bytes of the server, as the system counts them."""
        with open(f"/proc/{self.server.process.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096


class Chatting(Case):
    def test_what_is_asked_for_counts_in_its_order(self):
        feed = harness.Feed()
        for _ in range(100):
            feed.put(subscribe(self.hall))
            feed.put(unsubscribe(self.hall))
        feed.put(subscribe(self.yard))
        stream = Listener(self.ann.Chat(feed))
        stream.wait_for(lambda items: any(i.event.caught_up.room_id == self.yard for i in items))
        self.ann.say(self.hall, "nobody listens")
        self.ann.say(self.yard, "to be heard")
        stream.wait_for(lambda items: any(i.event.message.text for i in items))
        self.assertEqual([i.event.message.text for i in stream.items if i.event.message.text],
                         ["to be heard"])
        feed.end()
        self.assertIsNone(stream.wait_end())

    def test_the_end_of_the_requests_waits_for_their_answers(self):
        feed = harness.Feed(subscribe(99))
        feed.end()
        stream = Listener(self.ann.Chat(feed))
        self.assertIsNone(stream.wait_end())
        self.assertEqual([i.error.code for i in stream.items], [5])

    def test_many_come_and_go_while_pages_are_read(self):
        for _ in range(300):
            self.ann.say(self.hall, "x" * 2000)
        feeds = [harness.Feed() for _ in range(60)]
        streams = [Listener(self.ann.Chat(feed)) for feed in feeds]
        for feed in feeds:
            for _ in range(20):
                feed.put(subscribe(self.hall, 0))
                feed.put(unsubscribe(self.hall))
            feed.put(subscribe(self.yard))
        for stream in streams:
            stream.wait_for(lambda items: any(i.event.caught_up.room_id == self.yard
                                              for i in items))
        for feed, stream in zip(feeds, streams):
            feed.end()
            self.assertIsNone(stream.wait_end())

    def flood(self, request, most):
        """Sends without reading what comes, until the server takes no more; how much it took."""
        taken, stop = [0], threading.Event()

        def requests():
            while not stop.is_set() and taken[0] < most:
                taken[0] += 1
                yield request()
        before = self.memory()
        call = self.ann.Chat(requests(), timeout=None)
        last, since = -1, time.time()
        while taken[0] < most and time.time() - since < 2:
            if taken[0] != last:
                last, since = taken[0], time.time()
            time.sleep(0.05)
        grown = self.memory() - before
        stop.set()
        call.cancel()
        self.ann.say(self.hall, "it lives")
        return taken[0], grown

    def test_who_reads_no_answers_is_stopped(self):
        for name, request in [
                ("nothing", chat.ChatRequest),
                ("subscriptions", lambda: subscribe(99)),
                ("messages", lambda: chat.ChatRequest(send=chat.SendRequest(
                    room_id=self.hall, text="x" * 500, client_message_id=fresh()))),
                ("marks", lambda: chat.ChatRequest(mark_read=chat.MarkReadRequest(room_id=99)))]:
            taken, grown = self.flood(request, 200000)
            self.assertLess(taken, 200000, name)
            if not harness.SANITIZED:  # which keep what was freed for a while
                self.assertLess(grown, 16 * harness.MIB, name)

    def test_a_session_that_ends_takes_its_streams_along(self):
        """Whenever it ends: while they open, or are open."""
        from chatting import PASSWORD, Talker, auth
        for i in range(30):
            token = self.ann.Login(auth.LoginRequest(handle="ann", password=PASSWORD)).token
            other = Talker(self.ann.channel, token)
            feed = harness.Feed()
            streams = [Listener(other.Chat(feed)),
                       Listener(other.Subscribe(chat.SubscribeRequest(all_rooms=True)))]
            if i % 3 == 0:
                streams[1].wait_for(len)
            other.Logout(auth.LogoutRequest())
            for stream in streams:
                self.assertEqual(stream.wait_end().code(), grpc.StatusCode.UNAUTHENTICATED)
            feed.end()


class Many(Case):
    def test_rooms_on_one_stream(self):
        """Ten thousand: followed, left one by one, and dropped with their stream at once."""
        n = harness.scaled(1000 if harness.SANITIZED else 10000)
        rooms = self.ann.stubs[2]
        made = []
        for first in range(0, n, 500):  # a desk takes so many at a time
            calls = [rooms.CreateRoom.future(room.CreateRoomRequest(
                room=room.Room(name=f"room {i}"), request_id=fresh()),
                metadata=self.ann.metadata) for i in range(first, min(n, first + 500))]
            made += [c.result().room.id for c in calls]
        begin = time.time()
        stream = Listener(self.ann.Subscribe(chat.SubscribeRequest(all_rooms=True)))
        stream.wait_for(lambda items: len(items) >= n + 2)
        self.assertEqual({i.caught_up.room_id for i in stream.items},
                         set(made) | {self.hall, self.yard})
        followed = time.time()
        self.ann.say(made[0], "the first")
        self.ann.say(made[-1], "the last")
        stream.wait_for(lambda items: len(items) == n + 4)
        stream.cancel()
        feed = harness.Feed(chat.ChatRequest(subscribe=chat.SubscribeRequest(
            rooms=[Position(room_id=id) for id in made])))
        stream = Listener(self.ann.Chat(feed))
        stream.wait_for(lambda items: len(items) >= n)
        left = time.time()
        for id in made:
            feed.put(unsubscribe(id))
        feed.put(subscribe(self.hall, 0))
        stream.wait_for(lambda items: items[-1].event.caught_up.room_id == self.hall)
        print(f"{n} rooms: followed in {followed - begin:.2f} s, left in "
              f"{time.time() - left:.2f} s")
        stream.cancel()


class End(chatting.Case):
    def test_with_everything_on_its_way(self):
        """No leak and no use of what is gone, however the server ends."""
        for grace in ("5", "0.001"):
            server = self.start("--no-log", "--loops", "2", "--grace", grace)
            ann = self.member(server, "ann")
            hall = ann.make_room("hall").id
            stop = threading.Event()

            def write():
                def lines():
                    while not stop.is_set():
                        yield chat.ChatRequest(send=chat.SendRequest(
                            room_id=hall, text="x" * 1000, client_message_id=fresh()))
                while not stop.is_set():
                    try:
                        for _ in ann.Chat(lines()):
                            pass
                    except grpc.RpcError:
                        pass

            def work():
                from chatting import PASSWORD, auth
                while not stop.is_set():
                    for call, request in (
                            (ann.Login, auth.LoginRequest(handle="ann", password=PASSWORD)),
                            (ann.Register, auth.RegisterRequest(
                                handle="p" + fresh()[:20], password=PASSWORD, request_id=fresh()))):
                        try:
                            call(request)
                        except grpc.RpcError:
                            pass
            threads = [threading.Thread(target=f, daemon=True) for f in [write] * 3 + [work] * 6]
            for t in threads:
                t.start()
            streams = [Listener(ann.Subscribe(chat.SubscribeRequest(rooms=[
                Position(room_id=hall)]))) for _ in range(10)]
            slow = [ann.Subscribe(chat.SubscribeRequest(rooms=[Position(room_id=hall)]))
                    for _ in range(10)]
            streams[0].wait_for(lambda items: len(items) > 300)
            server.signal(15)
            for call in slow if grace == "5" else ():
                call.cancel()
            stop.set()
            server.wait()
            for t in threads:
                t.join(harness.TIMEOUT)
            for stream in streams:
                stream.wait_end()


class SentAway(Case):
    def test_at_any_moment(self):
        """Somebody is sent away while their stream catches up: they hear it, and then nothing."""
        bob = self.member(self.server, "bob")
        add = room.AddMemberRequest(room_id=self.hall, user_id=bob.user.id)
        remove = room.RemoveMemberRequest(room_id=self.hall, user_id=bob.user.id)
        refused = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED}

        def is_told(items):
            return any(i.member.user_id == bob.user.id and not i.member.role for i in items)
        for i in range(150):
            self.ann.AddMember(add)
            stream = Listener(bob.Subscribe(chat.SubscribeRequest(
                rooms=[Position(room_id=self.hall, after_number=(0, -1)[i % 2])])))
            if i % 3 == 0:
                stream.wait_for(len)
            self.ann.RemoveMember(remove)
            secret = self.ann.say(self.hall, "secret").number
            with stream.arrived:
                while not is_told(stream.items) and not stream.ended:
                    self.assertTrue(stream.arrived.wait(harness.TIMEOUT), "nothing is told")
            if stream.ended:
                self.assertIn(stream.error.code(), refused)
            stream.cancel()
            self.assertNotIn(secret, stream.numbers())

    def test_and_back_at_once_with_all_rooms(self):
        bob = self.member(self.server, "bob")
        add = room.AddMemberRequest(room_id=self.hall, user_id=bob.user.id)
        remove = room.RemoveMemberRequest(room_id=self.hall, user_id=bob.user.id)
        stream = Listener(bob.Subscribe(chat.SubscribeRequest(all_rooms=True))).wait_begun()
        for _ in range(100):
            self.ann.AddMember(add)
            number = self.ann.say(self.hall, "welcome").number
            stream.wait_for(lambda _: number in stream.numbers())
            self.ann.RemoveMember(remove)
        self.assertEqual(stream.numbers(), list(range(1, 101)))
        stream.cancel()

    def test_who_enters_while_they_begin_to_listen_hears_the_room(self):
        bob = self.member(self.server, "bob")
        for i in range(60):
            stream = Listener(bob.Subscribe(chat.SubscribeRequest(all_rooms=True)))
            bob.JoinRoom(room.JoinRoomRequest(room_id=self.hall))
            number = self.ann.say(self.hall, "welcome").number
            stream.wait_for(lambda _: number in stream.numbers() or any(
                item.caught_up.number >= number for item in stream.items))
            number = self.ann.say(self.hall, "once more").number
            stream.wait_for(lambda _: number in stream.numbers())
            stream.cancel()
            bob.LeaveRoom(room.LeaveRoomRequest(room_id=self.hall))


if __name__ == "__main__":
    chatting.main()
