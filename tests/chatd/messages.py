"""ChatService, from outside: what is sent, heard, read and counted."""
import threading
import time

import chatting
from chatting import Listener, chat, details, fresh, grpc, harness, room, user

FORGOTTEN, TOO_SLOW = chat.Gap.FORGOTTEN, chat.Gap.TOO_SLOW


def kinds(items):
    return [i.WhichOneof("what") for i in items]


class Case(chatting.Case):
    args = ()

    def setUp(self):
        self.server = self.start(*self.args)
        self.ann, self.bob, self.eve = [self.member(self.server, n) for n in ("ann", "bob", "eve")]
        self.hall = self.ann.make_room("hall")
        self.bob.JoinRoom(room.JoinRoomRequest(room_id=self.hall.id))

    def send(self, talker=None, **fields):
        values = dict(room_id=self.hall.id, client_message_id=fresh(), text="hello")
        values.update(fields)
        return (talker or self.ann).Send(chat.SendRequest(**values))

    def subscribe(self, talker, *positions, **fields):
        rooms = [chat.Position(room_id=r, after_number=n) for r, n in positions]
        return Listener(talker.Subscribe(chat.SubscribeRequest(rooms=rooms, **fields)))

    def caught_up(self, talker, *positions, **fields):
        """A subscription that has said so of each room."""
        stream = self.subscribe(talker, *positions, **fields)
        stream.wait_for(lambda items: kinds(items).count("caught_up") >= max(1, len(positions)))
        return stream


class Sending(Case):
    def test_numbers_times_and_repeats(self):
        request = chat.SendRequest(room_id=self.hall.id, client_message_id="one", text="hello",
                                   kind=chat.MESSAGE_KIND_ACTION)
        first = self.ann.Send(request)
        self.assertEqual((first.number, first.duplicate), (1, False))
        again = self.ann.Send(request)
        self.assertEqual((again.number, again.sent_at, again.duplicate), (1, first.sent_at, True))
        self.assertEqual(self.send(self.bob, client_message_id="one").number, 2)
        for change in (dict(text="other"), dict(kind=0), dict(reply_to=1)):
            values = dict(room_id=self.hall.id, client_message_id="one", text="hello",
                          kind=chat.MESSAGE_KIND_ACTION)
            values.update(change)
            self.refused("ALREADY_EXISTS", "CLIENT_MESSAGE_ID_USED", self.ann.Send,
                         chat.SendRequest(**values))
        other = self.ann.make_room("other")
        self.refused("ALREADY_EXISTS", "CLIENT_MESSAGE_ID_USED", self.ann.Send, chat.SendRequest(
            room_id=other.id, client_message_id="one", text="hello",
            kind=chat.MESSAGE_KIND_ACTION))
        self.assertEqual(self.send(reply_to=1).number, 3)
        kept = self.bob.GetMessages(chat.GetMessagesRequest(room_id=self.hall.id)).messages
        self.assertEqual([(m.number, m.author_id, m.kind, m.text, m.reply_to,
                           m.client_message_id == "one") for m in kept],
                         [(1, self.ann.user.id, chat.MESSAGE_KIND_ACTION, "hello", 0, True),
                          (2, self.bob.user.id, chat.MESSAGE_KIND_MESSAGE, "hello", 0, True),
                          (3, self.ann.user.id, chat.MESSAGE_KIND_MESSAGE, "hello", 1, False)])

    def test_what_is_wrong_is_named(self):
        for change, fields in [
                (dict(text=""), ["text"]), (dict(text="x" * 16385), ["text"]),
                (dict(text="bell\x07"), ["text"]), (dict(client_message_id=""),
                                                    ["client_message_id"]),
                (dict(client_message_id="x" * 65), ["client_message_id"]),
                (dict(kind=9), ["kind"]), (dict(reply_to=1), ["reply_to"]),
                (dict(reply_to=-1), ["reply_to"])]:
            values = dict(room_id=self.hall.id, client_message_id=fresh(), text="hello")
            values.update(change)
            self.wrong(fields, self.ann.Send, chat.SendRequest(**values))
        self.send(text="tab\tand\nline \u00e4\U0001f600")
        self.send(text="x" * 16384)
        self.refused("NOT_FOUND", "NO_ROOM", self.ann.Send, chat.SendRequest(
            room_id=99, client_message_id="x", text="x"))

    def test_slow_mode(self):
        self.ann.UpdateRoom(room.UpdateRoomRequest(
            room=room.Room(id=self.hall.id, slow_mode={"seconds": 60}),
            update_mask={"paths": ["slow_mode"]}))
        request = chat.SendRequest(room_id=self.hall.id, client_message_id="b", text="x")
        began = time.monotonic()
        self.bob.Send(request)
        self.assertTrue(self.bob.Send(request).duplicate)
        request.client_message_id = "c"
        error = self.refused("RESOURCE_EXHAUSTED", "SLOW_MODE", self.bob.Send, request)
        delay, = chatting.details_of(error, details.RetryInfo)
        passed = time.monotonic() - began
        left = delay.retry_delay.seconds + delay.retry_delay.nanos / 1e9
        self.assertTrue(60 - passed <= left <= 60, (left, passed))
        self.send()
        self.send()  # an owner need not wait


class Reading(Case):
    def page(self, **fields):
        reply = self.bob.GetMessages(chat.GetMessagesRequest(room_id=self.hall.id, **fields))
        return [m.number for m in reply.messages], reply.more_before, reply.more_after

    def test_pages(self):
        self.assertEqual(self.page(), ([], False, False))
        for _ in range(10):
            self.send()
        for fields, expected in [
                (dict(), (list(range(1, 11)), False, False)),
                (dict(page_size=3), ([8, 9, 10], True, False)),
                (dict(page_size=3, before_number=8), ([5, 6, 7], True, True)),
                (dict(page_size=3, before_number=2), ([1], False, True)),
                (dict(page_size=3, before_number=1), ([], False, True)),
                (dict(page_size=3, before_number=99), ([8, 9, 10], True, False)),
                (dict(page_size=3, after_number=0), ([1, 2, 3], False, True)),
                (dict(page_size=3, after_number=7), ([8, 9, 10], True, False)),
                (dict(page_size=3, after_number=10), ([], True, False)),
                (dict(page_size=4, around_number=5), ([3, 4, 5, 6], True, True)),
                (dict(page_size=4, around_number=1), ([1, 2, 3, 4], False, True)),
                (dict(page_size=4, around_number=10), ([8, 9, 10], True, False)),
                (dict(page_size=1, around_number=5), ([5], True, True))]:
            self.assertEqual(self.page(**fields), expected, fields)
        self.wrong(["page_size"], self.bob.GetMessages,
                   chat.GetMessagesRequest(room_id=self.hall.id, page_size=-1))

    def test_large_messages_come_in_pages_that_peers_take(self):
        for _ in range(80):
            self.send(text="x" * 16384)
        numbers, after = [], 0
        while True:
            page, _, more = self.page(page_size=1000, after_number=after)
            numbers += page
            if not more:
                break
            after = page[-1]
        self.assertEqual(numbers, list(range(1, 81)))

    def test_read_all(self):
        request = chat.ReadAllRequest(room_id=self.hall.id)
        self.assertEqual(list(self.bob.ReadAll(request)), [])
        texts = [f"message {i}" for i in range(1000)]
        feed = harness.Feed(*[chat.ChatRequest(send=chat.SendRequest(
            room_id=self.hall.id, client_message_id=fresh(), text=t)) for t in texts])
        feed.end()
        self.assertEqual([r.ack.sent.number for r in self.ann.Chat(feed)], list(range(1, 1001)))
        read = [i.message for i in self.bob.ReadAll(request)]
        self.assertEqual([(m.number, m.text) for m in read], list(enumerate(texts, 1)))
        self.refused("PERMISSION_DENIED", "NOT_MEMBER", self.eve.ReadAll, request)
        self.refused("NOT_FOUND", "NO_ROOM", self.eve.ReadAll, chat.ReadAllRequest(room_id=99))

    def test_counting(self):
        for _ in range(3):
            self.send()
        self.send(self.bob)

        def count(talker, **fields):
            return talker.CountMessages(chat.CountMessagesRequest(**fields)).count
        self.assertEqual(count(self.eve), 4)
        self.assertEqual(count(self.bob, room_id=self.hall.id), 4)
        self.assertEqual(count(self.ann, user_id=0), 3)
        self.assertEqual(count(self.bob, user_id=self.bob.user.id), 1)
        self.refused("PERMISSION_DENIED", "ROLE", self.bob.CountMessages,
                     chat.CountMessagesRequest(user_id=self.ann.user.id))
        owner = self.owner(self.server)
        self.assertEqual(count(owner, user_id=self.ann.user.id), 3)
        self.refused("NOT_FOUND", "NO_USER", owner.CountMessages,
                     chat.CountMessagesRequest(user_id=99))

    def test_read_marks(self):
        for _ in range(3):
            self.send()

        def mark(number):
            return self.bob.MarkRead(chat.MarkReadRequest(
                room_id=self.hall.id, number=number)).read_number
        self.assertEqual([mark(n) for n in (2, 1, 2, 3)], [2, 2, 2, 3])
        for number in (4, -1):
            self.wrong(["number"], self.bob.MarkRead,
                       chat.MarkReadRequest(room_id=self.hall.id, number=number))


class Listening(Case):
    def test_what_was_missed_then_live(self):
        for i in range(300):
            self.send(text=f"old {i}")
        stream = self.caught_up(self.bob, (self.hall.id, 0))
        self.assertEqual(kinds(stream.items), ["message"] * 300 + ["caught_up"])
        self.assertEqual(stream.items[-1].caught_up.number, 300)
        self.send(text="live")
        stream.wait_for(lambda items: len(items) == 302)
        self.assertEqual(stream.numbers(), list(range(1, 302)))
        self.assertEqual(stream.items[-1].message.text, "live")
        later = self.caught_up(self.bob, (self.hall.id, 299))
        self.assertEqual(later.numbers(), [300, 301])
        now = self.caught_up(self.bob, (self.hall.id, -1))
        self.assertEqual(now.numbers(), [])
        self.send()
        for s in (stream, later, now):
            s.wait_for(lambda items: 302 in [i.message.number for i in items])
            s.cancel()

    def test_what_cannot_be_listened_to(self):
        secret = self.ann.make_room("secret", visibility=room.VISIBILITY_PRIVATE)

        def request(*positions, **fields):
            return chat.SubscribeRequest(
                rooms=[chat.Position(room_id=r, after_number=n) for r, n in positions], **fields)
        hall = self.hall.id
        self.refused("NOT_FOUND", "NO_ROOM", self.bob.Subscribe, request((hall, 0), (secret.id, 0)))
        self.refused("NOT_FOUND", "NO_ROOM", self.bob.Subscribe, request((99, 0)))
        self.refused("PERMISSION_DENIED", "NOT_MEMBER", self.eve.Subscribe, request((hall, 0)))
        self.fails(grpc.StatusCode.OUT_OF_RANGE, self.bob.Subscribe, request((hall, 1)))
        self.wrong(["rooms.after_number"], self.bob.Subscribe, request((hall, -2)))
        self.wrong(["rooms"], self.bob.Subscribe, request())
        for seconds in (-1, 301):
            self.wrong(["heartbeat"], self.bob.Subscribe,
                       request((hall, 0), heartbeat={"seconds": seconds}))

    def test_heartbeats_in_silence(self):
        stream = self.caught_up(self.bob, (self.hall.id, 0), heartbeat={"seconds": 1})
        stream.wait_for(lambda items: kinds(items).count("heartbeat") >= 2)
        beat = stream.items[-1].heartbeat.now.ToMicroseconds() / 1e6
        self.assertLess(abs(beat - time.time()), 30)
        stream.cancel()

    def test_all_rooms_now_and_later(self):
        stream = self.caught_up(self.bob, all_rooms=True)
        self.send(text="in the hall")
        attic = self.ann.make_room("attic")
        self.ann.say(attic.id, "before")
        self.bob.JoinRoom(room.JoinRoomRequest(room_id=attic.id))
        self.ann.say(attic.id, "after")
        direct = self.eve.OpenDirect(room.OpenDirectRequest(user_id=self.bob.user.id)).view.room
        self.eve.say(direct.id, "psst")

        def texts(items):
            return [i.message.text for i in items if i.WhichOneof("what") == "message"]
        stream.wait_for(lambda items: len(texts(items)) == 3)
        self.assertEqual(texts(stream.items), ["in the hall", "after", "psst"])
        # And a room that is left is heard no more.
        self.bob.LeaveRoom(room.LeaveRoomRequest(room_id=attic.id))
        self.ann.say(attic.id, "without bob")
        self.send(text="the last")
        stream.wait_for(lambda items: "the last" in texts(items))
        self.assertNotIn("without bob", texts(stream.items))
        stream.cancel()

    def test_the_headers_say_since_when(self):
        """Of whoever is in no room yet, too: all that comes behind them is told."""
        stream = self.subscribe(self.eve, all_rooms=True, heartbeat={"seconds": 300}).wait_begun()
        self.eve.JoinRoom(room.JoinRoomRequest(room_id=self.hall.id))
        number = self.send(text="welcome").number
        stream.wait_for(lambda _: number in stream.numbers())
        stream.cancel()

    def test_what_comes_while_rooms_are_read_is_told(self):
        """A stream reads its rooms one after the other, long after its headers."""
        n = harness.scaled(100 if harness.SANITIZED else 500)
        rooms = [self.ann.make_room(f"room {i}").id for i in range(n)]
        for _ in range(5):
            stream = self.subscribe(self.ann, *((id, -1) for id in rooms)).wait_begun()
            number = self.ann.say(rooms[-1], "at once").number
            stream.wait_for(lambda _: number in stream.numbers())
            stream.cancel()

    def test_changes_of_rooms_members_and_people(self):
        stream = self.caught_up(self.bob, (self.hall.id, 0))

        def next_event(kind):
            found = stream.wait_for(lambda items: [i for i in items if i.WhichOneof("what") == kind])
            stream.items.clear()
            return getattr(found[-1], kind)
        self.ann.UpdateRoom(room.UpdateRoomRequest(room=room.Room(id=self.hall.id, topic="new"),
                                                   update_mask={"paths": ["topic"]}))
        self.assertEqual(next_event("room").room.topic, "new")
        self.eve.JoinRoom(room.JoinRoomRequest(room_id=self.hall.id))
        self.assertEqual(next_event("member"), chat.MemberChanged(
            room_id=self.hall.id, user_id=self.eve.user.id, role=room.ROOM_ROLE_MEMBER))
        self.ann.SetMemberRole(room.SetMemberRoleRequest(
            room_id=self.hall.id, user_id=self.eve.user.id, role=room.ROOM_ROLE_READER))
        self.assertEqual(next_event("member").role, room.ROOM_ROLE_READER)
        self.eve.UpdateUser(user.UpdateUserRequest(user=user.User(status_text="busy"),
                                                   update_mask={"paths": ["status_text"]}))
        self.assertEqual(next_event("user").status_text, "busy")
        self.eve.DeleteUser(user.DeleteUserRequest(user_id=self.eve.user.id))
        self.assertEqual(next_event("member"), chat.MemberChanged(
            room_id=self.hall.id, user_id=self.eve.user.id))
        # Oneself sent away: told, and nothing of the room after that.
        self.ann.RemoveMember(room.RemoveMemberRequest(room_id=self.hall.id,
                                                       user_id=self.bob.user.id))
        self.assertEqual(next_event("member"), chat.MemberChanged(
            room_id=self.hall.id, user_id=self.bob.user.id))
        self.send()
        attic = self.bob.make_room("attic")
        self.assertEqual(stream.items, [])
        del attic
        stream.cancel()

    def test_typing_and_read_marks(self):
        mine = self.caught_up(self.bob, (self.hall.id, 0))
        other = self.caught_up(self.bob, (self.hall.id, 0))
        theirs = self.caught_up(self.ann, (self.hall.id, 0))
        self.send()
        typing = chat.SendTypingRequest(room_id=self.hall.id)
        began = time.monotonic()
        self.ann.SendTyping(typing)
        self.ann.SendTyping(typing)  # told again only when two seconds have passed
        most = 1 if time.monotonic() - began < 2 else 2
        self.bob.MarkRead(chat.MarkReadRequest(room_id=self.hall.id, number=1))
        self.send(text="the end")
        for stream in (mine, other, theirs):
            stream.wait_for(lambda items: 2 in [i.message.number for i in items])
        for stream in (mine, other):
            stream.wait_for(lambda items: "read" in kinds(items))
            told = [i.typing for i in stream.items if i.WhichOneof("what") == "typing"]
            self.assertIn(len(told), range(1, most + 1))
            self.assertEqual(told, len(told) * [
                chat.Typing(room_id=self.hall.id, user_id=self.ann.user.id)])
            self.assertEqual([i.read for i in stream.items if i.WhichOneof("what") == "read"],
                             [chat.ReadMark(room_id=self.hall.id, number=1)])
        self.assertEqual(set(kinds(theirs.items)), {"caught_up", "message"})
        for stream in (mine, other, theirs):
            stream.cancel()

    def test_the_end_of_the_server(self):
        stream = self.caught_up(self.bob, (self.hall.id, 0))
        feed = harness.Feed(chat.ChatRequest(send=chat.SendRequest(
            room_id=self.hall.id, client_message_id="x", text="x")))
        both = Listener(self.ann.Chat(feed))
        both.wait_for(len)
        self.server.stop()
        for s in (stream, both):
            error = s.wait_end()
            self.assertEqual((error.code(), chatting.reason_of(error)),
                             (grpc.StatusCode.UNAVAILABLE, "GOING_AWAY"))
        feed.end()

    def test_many_writers_and_readers_on_two_loops(self):
        server = self.start("--loops", "2", "--no-log")
        people = [self.member(server, f"p{i}") for i in range(8)]
        hall = people[0].make_room("hall")
        for person in people[1:]:
            person.JoinRoom(room.JoinRoomRequest(room_id=hall.id))
        streams = [self.caught_up(p, (hall.id, 0)) for p in people for _ in range(2)]
        each = harness.scaled(100)

        def write(person):
            for i in range(each):
                person.say(hall.id, f"{person.user.handle} {i}")
        threads = [threading.Thread(target=write, args=(p,)) for p in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total = each * len(people)
        for stream in streams:
            stream.wait_for(lambda items: kinds(items).count("message") == total)
            self.assertEqual(stream.numbers(), list(range(1, total + 1)))
            self.assertEqual([i.message.text for i in stream.items if i.HasField("message")],
                             [i.message.text for i in streams[0].items if i.HasField("message")])
            stream.cancel()


class Chatting(Case):
    def request(self, id, text="hello", **fields):
        values = dict(room_id=self.hall.id, client_message_id=id, text=text)
        values.update(fields)
        return chat.ChatRequest(send=chat.SendRequest(**values))

    def test_acks_in_order_also_of_what_is_wrong(self):
        feed = harness.Feed(self.request("1"), self.request("2", text=""),
                            self.request("3", room_id=99), self.request("4"), self.request("1"),
                            self.request("1", text="other"), self.request("5"))
        feed.end()
        acks = [r.ack for r in self.ann.Chat(feed)]
        self.assertEqual([(a.client_message_id, a.WhichOneof("result"), a.sent.number,
                           a.sent.duplicate, a.error.code) for a in acks],
                         [("1", "sent", 1, False, 0), ("2", "error", 0, False, 3),
                          ("3", "error", 0, False, 5), ("4", "sent", 2, False, 0),
                          ("1", "sent", 1, True, 0), ("1", "error", 0, False, 6),
                          ("5", "sent", 3, False, 0)])
        self.assertEqual(acks[1].error.details[0].type_url,
                         "type.googleapis.com/google.rpc.BadRequest")
        self.assertIn("text", acks[1].error.message)

    def test_everything_on_one_stream(self):
        feed = harness.Feed(chat.ChatRequest(subscribe=chat.SubscribeRequest(
            rooms=[chat.Position(room_id=self.hall.id)])))
        stream = Listener(self.bob.Chat(feed))

        def events(items):
            return [i.event for i in items if i.WhichOneof("what") == "event"]
        stream.wait_for(lambda items: "caught_up" in kinds(events(items)))
        self.ann.SendTyping(chat.SendTypingRequest(room_id=self.hall.id))
        self.send(text="from ann")
        feed.put(self.request("b", text="from bob"))
        stream.wait_for(lambda items: kinds(events(items)).count("message") == 2)
        stream.wait_for(lambda items: "ack" in kinds(items))
        feed.put(chat.ChatRequest(mark_read=chat.MarkReadRequest(room_id=self.hall.id, number=2)))
        stream.wait_for(lambda items: "read" in kinds(events(items)))
        feed.put(chat.ChatRequest(typing=chat.SendTypingRequest(room_id=self.hall.id)))
        self.assertEqual(kinds(events(stream.items)),
                         ["caught_up", "typing", "message", "message", "read"])
        # What cannot be done is told, and the stream goes on.
        for wrong, code in [
                (chat.ChatRequest(), 3),
                (chat.ChatRequest(mark_read=chat.MarkReadRequest(room_id=self.hall.id, number=9)), 3),
                (chat.ChatRequest(typing=chat.SendTypingRequest(room_id=99)), 5),
                (chat.ChatRequest(subscribe=chat.SubscribeRequest(
                    rooms=[chat.Position(room_id=99)])), 5)]:
            before = len(stream.items)
            feed.put(wrong)
            stream.wait_for(lambda items: len(items) > before)
            self.assertEqual(stream.items[-1].error.code, code, stream.items[-1])
        feed.put(chat.ChatRequest(unsubscribe=chat.Unsubscribe(room_id=self.hall.id)))
        feed.put(self.request("c", text="not heard"))
        stream.wait_for(lambda items: kinds(items).count("ack") == 2)
        feed.end()
        self.assertIsNone(stream.wait_end())
        self.assertNotIn("not heard", [e.message.text for e in events(stream.items)])

    def test_ten_thousand_while_nine_others_talk(self):
        server = self.start("--no-log")
        talkers = [self.member(server, f"t{i}") for i in range(10)]
        hall = talkers[0].make_room("hall")
        for talker in talkers[1:]:
            talker.JoinRoom(room.JoinRoomRequest(room_id=hall.id))
        many = harness.scaled(10000)
        ending = threading.Event()
        sent = [0] * 10

        def talk(i):
            while not ending.is_set():
                talkers[i].say(hall.id, f"{i} says {sent[i]}")
                sent[i] += 1
        others = [threading.Thread(target=talk, args=(i,)) for i in range(1, 10)]
        heard = self.caught_up(talkers[1], (hall.id, 0))
        for thread in others:
            thread.start()

        def requests():
            for i in range(many):
                yield chat.ChatRequest(send=chat.SendRequest(
                    room_id=hall.id, client_message_id=f"m{i}", text=f"message {i}"))
        numbers = []
        for i, response in enumerate(talkers[0].Chat(requests())):
            self.assertEqual(response.ack.client_message_id, f"m{i}")
            numbers.append(response.ack.sent.number)
        ending.set()
        for thread in others:
            thread.join()
        self.assertEqual(len(numbers), many)
        self.assertEqual(numbers, sorted(set(numbers)))
        total = many + sum(sent)
        self.assertGreater(sum(sent), 9)
        # The last ones alone are looked at: some thirty thousand come.
        heard.wait_for(lambda items: any(i.HasField("message") and i.message.number == total
                                         for i in items[-10:]))
        self.assertEqual(heard.numbers(), list(range(1, total + 1)))
        mine = [i.message.number for i in heard.items
                if i.HasField("message") and i.message.author_id == talkers[0].user.id]
        self.assertEqual(mine, numbers)
        heard.cancel()

    def test_who_takes_no_acks_is_held_back(self):
        """A client that sends and does not read: the server stops to read, and keeps little."""
        feed = harness.Feed()
        call = self.ann.Chat(feed)
        # Python reads ahead of whoever iterates, so the window is what holds it back.
        text = "x" * 1000
        for i in range(harness.scaled(5000)):
            feed.put(self.request(f"m{i}", text=text))
        feed.end()
        acks = [r.ack.sent.number for r in call]
        self.assertEqual(acks, list(range(1, harness.scaled(5000) + 1)))


class Lobby(Case):
    args = ("--lobby",)

    def test_guests_are_marked(self):
        import chat_service_pb2 as plain
        import chat_service_pb2_grpc as plain_stubs
        stub = plain_stubs.ChatServiceStub(self.connect(self.server.address))
        lobby = self.ann.GetRoom(room.GetRoomRequest(name="lobby")).view.room
        self.ann.JoinRoom(room.JoinRoomRequest(room_id=lobby.id))
        stream = self.caught_up(self.ann, (lobby.id, 0))
        heard = Listener(stub.ReceiveMessage(plain.Empty(), timeout=harness.TIMEOUT))
        said = plain.Message(user_name="ann", text="I am not Ann")
        self.assertEqual(stub.SendMessage(said), said)
        self.ann.say(lobby.id, "but I am")
        heard.wait_for(lambda items: len(items) == 2)
        self.assertEqual([(m.user_name, m.text) for m in heard.items],
                         [("ann (guest)", "I am not Ann"), ("ann", "but I am")])
        stream.wait_for(lambda items: kinds(items).count("message") == 2)
        guest, member = [i.message for i in stream.items if i.HasField("message")]
        self.assertEqual((guest.author_id, guest.guest_name), (0, "ann"))
        self.assertEqual((member.author_id, member.guest_name), (self.ann.user.id, ""))
        self.wrong(["user_name", "text"], stub.SendMessage, plain.Message())
        heard.cancel()
        stream.cancel()

    def test_it_is_off_unless_asked_for_and_local_only(self):
        import chat_service_pb2 as plain
        import chat_service_pb2_grpc as plain_stubs
        stub = plain_stubs.ChatServiceStub(self.connect(self.start().address))
        self.fails(grpc.StatusCode.UNIMPLEMENTED, stub.SendMessage, plain.Message())
        _, errors = harness.run("chatd", "--listen", "[::]:0", "--data", self.folder(), "--lobby",
                                "--insecure-plaintext-for-everybody", code=1)
        self.assertIn("--lobby is for this machine only", errors)


class Greeting(Case):
    def test_the_greeter_is_there_without_a_token(self):
        import greeter_pb2
        import greeter_pb2_grpc
        stub = greeter_pb2_grpc.GreeterStub(self.connect(self.server.address))
        self.assertEqual(stub.SayHello(greeter_pb2.HelloRequest(name="you")).message, "Hello, you!")
        self.fails(grpc.StatusCode.UNAUTHENTICATED, self.guest(self.server).GetMe,
                   user.GetMeRequest())


if __name__ == "__main__":
    chatting.main()
