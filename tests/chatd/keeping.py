"""What rooms keep and forget, and how much the server takes."""
import time

import chatting
from chatting import Chatd, Listener, Talker, chat, grpc, room


class Keeping(chatting.Case):
    def again(self, server):
        """The server once more: as it starts it looks what is to be forgotten."""
        server.stop()
        server = Chatd(server.folder)
        self.addCleanup(lambda: None if server.checked else server.stop())
        return server

    def until_left(self, talker, count, **what):
        """The server forgets by itself, which nobody is told of: asks until so many are left."""
        end = time.monotonic() + chatting.harness.TIMEOUT
        request = chat.CountMessagesRequest(**what)
        while talker.CountMessages(request).count != count and time.monotonic() < end:
            time.sleep(0.02)

    def numbers(self, talker, room_id):
        """First number, and the gap before it, as everybody sees it who reads."""
        page = talker.GetMessages(chat.GetMessagesRequest(room_id=room_id))
        everything = list(talker.ReadAll(chat.ReadAllRequest(room_id=room_id)))
        gaps = [i.gap for i in everything if i.WhichOneof("what") == "gap"]
        self.assertEqual(list(page.gaps), gaps)
        self.assertEqual([m.number for m in page.messages],
                         [i.message.number for i in everything if i.HasField("message")])
        return [m.number for m in page.messages], gaps

    def test_a_room_keeps_so_many(self):
        server = self.start()
        ann = self.member(server, "ann")
        few = ann.make_room("few", retention={"max_messages": 5})
        many = ann.make_room("many")
        for i in range(20):
            ann.say(few.id, f"message {i}")
            ann.say(many.id, f"message {i}")
        server = self.again(server)
        ann = Talker(self.connect(server.address), ann.token)
        gone = chat.Gap(room_id=few.id, from_number=1, to_number=15, reason=chat.Gap.FORGOTTEN)
        self.until_left(ann, 5, room_id=few.id)
        self.assertEqual(self.numbers(ann, few.id), (list(range(16, 21)), [gone]))
        self.assertEqual(self.numbers(ann, many.id)[0], list(range(1, 21)))
        # Who subscribes from before is told, and then has all that is left.
        stream = Listener(ann.Subscribe(chat.SubscribeRequest(
            rooms=[chat.Position(room_id=few.id, after_number=3)])))
        stream.wait_for(lambda items: any(i.HasField("caught_up") for i in items))
        self.assertEqual(stream.items[0].gap, chat.Gap(room_id=few.id, from_number=4, to_number=15,
                                                       reason=chat.Gap.FORGOTTEN))
        self.assertEqual(stream.numbers(), list(range(16, 21)))
        stream.cancel()
        # Numbers go on, and counts are of what is kept.
        self.assertEqual(ann.say(few.id, "next").number, 21)
        self.assertEqual(ann.CountMessages(chat.CountMessagesRequest(room_id=few.id)).count, 6)
        view = ann.GetRoom(room.GetRoomRequest(room_id=few.id)).view
        self.assertEqual((view.room.last_number, view.unread_count), (21, 0))

    def test_what_is_forgotten_frees_its_id(self):
        server = self.start()
        ann = self.member(server, "ann")
        few = ann.make_room("few", retention={"max_messages": 1})
        ann.say(few.id, "first", id="one")
        ann.say(few.id, "second")
        server = self.again(server)
        ann = Talker(self.connect(server.address), ann.token)
        self.until_left(ann, 1, room_id=few.id)
        self.assertEqual(ann.say(few.id, "something else", id="one").number, 3)

    def test_a_quota(self):
        server = self.start("--quota", "2")
        ann = self.member(server, "ann")
        hall = ann.make_room("hall")
        sent, error = 0, None
        while not error:
            try:
                sent = ann.say(hall.id, "x" * 16000).number
            except grpc.RpcError as caught:
                error = caught
            self.assertLess(sent, 400)
        self.assertEqual((error.code(), chatting.reason_of(error)),
                         (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_QUOTA"))
        self.assertGreater(sent, 50)
        # All but messages goes on, above all what makes room.
        self.member(server, "bob")
        ann.UpdateRoom(room.UpdateRoomRequest(
            room=room.Room(id=hall.id, retention={"max_messages": 1}),
            update_mask={"paths": ["retention"]}))
        self.assertEqual(ann.CountMessages(chat.CountMessagesRequest()).count, sent)
        server.stop()
        server = self.start("--quota", "2", folder=server.folder)
        ann = Talker(self.connect(server.address), ann.token)
        self.until_left(ann, 1)
        self.assertEqual(ann.say(hall.id, "there is room").number, sent + 1)

    def test_ones_own_are_not_unread(self):
        server = self.start()
        ann, bob = self.member(server, "ann"), self.member(server, "bob")
        hall = ann.make_room("hall")
        bob.JoinRoom(room.JoinRoomRequest(room_id=hall.id))

        def unread(talker):
            view, = talker.ListRooms(room.ListRoomsRequest()).rooms
            return view.unread_count
        ann.say(hall.id, "one")
        ann.say(hall.id, "two")
        self.assertEqual((unread(ann), unread(bob)), (0, 2))
        bob.say(hall.id, "three, without having read")
        self.assertEqual((unread(ann), unread(bob)), (1, 2))


if __name__ == "__main__":
    chatting.main()
