"""Requests that are sent once more: after an answer, before it, with other content, and after the
server was killed in the middle."""
import os
import random
import threading
import time

import chatting
from chatting import PASSWORD, Chatd, Talker, auth, chat, fresh, grpc, harness, room, user

KILLS = int(os.environ.get("CAW_KILLS_OF_SETUP", "6"))


class Repeats(chatting.Case):
    def setUp(self):
        self.server = self.start("--no-log")

    def counts(self, talker):
        """What there is: people, rooms of the caller, messages."""
        return (len(talker.ListUsers(user.ListUsersRequest(page_size=1000)).users),
                len(talker.ListRooms(room.ListRoomsRequest(page_size=1000)).rooms),
                talker.CountMessages(chat.CountMessagesRequest()).count)

    def test_each_request_once_more(self):
        boss = self.owner(self.server)
        bob, eve = self.member(self.server, "bob"), self.member(self.server, "eve")
        hall = boss.make_room("hall").id
        secret = boss.make_room("secret", visibility=room.VISIBILITY_PRIVATE).id
        boss.say(hall, "one")
        to_make = user.CreateUserRequest(user=user.User(handle="made"), password=PASSWORD,
                                         request_id=fresh())
        # The request; the same id with other content; the reason of the refusal.
        requests = [
            (boss.CreateRoom, room.CreateRoomRequest(room=room.Room(name="r"), request_id="r"),
             room.CreateRoomRequest(room=room.Room(name="q"), request_id="r")),
            (boss.CreateUser, to_make, user.CreateUserRequest(
                user=user.User(handle="other"), request_id=to_make.request_id)),
            (boss.Send, chat.SendRequest(room_id=hall, text="x", client_message_id="m"),
             chat.SendRequest(room_id=hall, text="y", client_message_id="m")),
            (bob.JoinRoom, room.JoinRoomRequest(room_id=hall), None),
            (bob.MarkRead, chat.MarkReadRequest(room_id=hall, number=1), None),
            (boss.AddMember, room.AddMemberRequest(room_id=secret, user_id=bob.user.id), None),
            (boss.SetMemberRole, room.SetMemberRoleRequest(
                room_id=secret, user_id=bob.user.id, role=room.ROOM_ROLE_MODERATOR), None),
            (boss.BanMember, room.BanMemberRequest(room_id=hall, user_id=eve.user.id), None),
            (boss.UnbanMember, room.UnbanMemberRequest(room_id=hall, user_id=eve.user.id), None),
            (boss.RemoveMember, room.RemoveMemberRequest(room_id=secret, user_id=bob.user.id), None),
            (bob.LeaveRoom, room.LeaveRoomRequest(room_id=hall), None),
            (boss.OpenDirect, room.OpenDirectRequest(user_id=bob.user.id), None),
            (boss.DeleteUser, user.DeleteUserRequest(user_id=eve.user.id), None)]
        for call, request, other in requests:
            name = type(request).__name__
            first = call(request)
            before = self.counts(boss)
            again = call(request)
            if hasattr(again, "duplicate"):
                again.duplicate = False
            if not isinstance(request, room.JoinRoomRequest):
                self.assertEqual(again, first, name)
            if other:
                self.fails(grpc.StatusCode.ALREADY_EXISTS, call, other)
            self.assertEqual(self.counts(boss), before, name)

    def test_what_failed_may_be_tried_again_with_its_id(self):
        ann = self.member(self.server, "ann")
        ann.make_room("taken")
        for bad in (room.Room(name="taken"), room.Room(name="")):
            self.assertTrue(self.fails(
                grpc.StatusCode.ALREADY_EXISTS if bad.name else grpc.StatusCode.INVALID_ARGUMENT,
                ann.CreateRoom, room.CreateRoomRequest(room=bad, request_id="again")))
        self.assertTrue(ann.CreateRoom(room.CreateRoomRequest(room=room.Room(name="free"),
                                                              request_id="again")).room.id)

    def test_ids_are_each_users_own(self):
        ann, bob = self.member(self.server, "ann"), self.member(self.server, "bob")
        secret = ann.CreateRoom(room.CreateRoomRequest(
            room=room.Room(name="a", visibility=room.VISIBILITY_PRIVATE), request_id="one")).room
        mine = bob.CreateRoom(room.CreateRoomRequest(
            room=room.Room(name="a", visibility=room.VISIBILITY_PRIVATE), request_id="one")).room
        self.assertNotEqual(secret.id, mine.id)

    def test_a_room_that_was_left_is_shown_no_more(self):
        ann, bob = self.member(self.server, "ann"), self.member(self.server, "bob")
        request = room.CreateRoomRequest(room=room.Room(
            name="a", visibility=room.VISIBILITY_PRIVATE), request_id="one")
        made = ann.CreateRoom(request).room
        ann.AddMember(room.AddMemberRequest(room_id=made.id, user_id=bob.user.id))
        ann.SetMemberRole(room.SetMemberRoleRequest(room_id=made.id, user_id=bob.user.id,
                                                    role=room.ROOM_ROLE_OWNER))
        ann.LeaveRoom(room.LeaveRoomRequest(room_id=made.id))
        bob.UpdateRoom(room.UpdateRoomRequest(room=room.Room(id=made.id, topic="about ann"),
                                              update_mask={"paths": ["topic"]}))
        self.refused("NOT_FOUND", "NO_ROOM", ann.CreateRoom, request)

    def test_registering_at_once(self):
        """Copies of one request, all on their way together, make one account; another's request
        for the same handle gets none."""
        for i, fields in enumerate(({"owner_token": self.server.owner_token()}, {}, {})):
            talkers = [self.guest(self.server) for _ in range(5)]
            request = auth.RegisterRequest(handle=f"ann{i}", password=PASSWORD,
                                           request_id=fresh(), **fields)
            out = [None] * len(talkers)

            def run(k):
                try:
                    out[k] = talkers[k].Register(request)
                except grpc.RpcError as error:
                    out[k] = error
            threads = [threading.Thread(target=run, args=(k,)) for k in range(len(out))]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual([str(o) for o in out if isinstance(o, grpc.RpcError)], [])
            self.assertEqual(len({o.user.id for o in out}), 1)
            other = auth.RegisterRequest(handle=f"ann{i}", password=PASSWORD, request_id=fresh())
            self.refused("ALREADY_EXISTS", "HANDLE_TAKEN", talkers[0].Register, other)

    def test_one_token_makes_one_owner(self):
        token = self.server.owner_token()
        out = []

        def run(k):
            try:
                out.append(self.guest(self.server).Register(auth.RegisterRequest(
                    handle=f"person{k}", password=PASSWORD, request_id=fresh(),
                    owner_token=token)).user.role)
            except grpc.RpcError as error:
                out.append(chatting.reason_of(error))
        threads = [threading.Thread(target=run, args=(k,)) for k in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(map(str, out)), [str(user.ROLE_OWNER)] + ["OWNER_TOKEN"] * 5)

    def test_registering_again_is_no_way_around_a_suspension(self):
        boss = self.owner(self.server)
        request = auth.RegisterRequest(handle="bob", password=PASSWORD, request_id=fresh())
        stranger = self.guest(self.server)
        bob = stranger.Register(request).user
        for state, code in ((user.USER_STATE_SUSPENDED, "PERMISSION_DENIED"),):
            boss.UpdateUser(user.UpdateUserRequest(user=user.User(id=bob.id, state=state),
                                                   update_mask={"paths": ["state"]}))
            self.refused(code, "SUSPENDED", stranger.Register, request)


class Killed(chatting.Case):
    """Accounts and rooms are made while the server is killed, again and again; each request is
    repeated until it is answered, and all is there once."""

    def until_answered(self, call, request):
        """Waits for the server when it is not there: gRPC looks every five seconds alone whether
        a connection has been made when no call waits for one."""
        while True:
            try:
                return call(request, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED,
                                        grpc.StatusCode.UNKNOWN):
                    raise
                self.again += 1

    def live(self, i):
        try:
            channel = self.connect(self.address)
            for k in range(1000):
                if self.over:
                    break
                handle = f"p{i}-{k}"
                register = auth.RegisterRequest(handle=handle, password=PASSWORD,
                                                request_id=fresh())
                reply = self.until_answered(Talker(channel).Register, register)
                me = Talker(channel, reply.token)
                create = room.CreateRoomRequest(room=room.Room(
                    name=handle, visibility=room.VISIBILITY_PRIVATE), request_id=fresh())
                made = self.until_answered(me.CreateRoom, create).room
                self.until_answered(me.JoinRoom, room.JoinRoomRequest(room_id=self.hall))
                number = self.until_answered(me.Send, chat.SendRequest(
                    room_id=self.hall, text=handle, client_message_id=fresh())).number
                self.until_answered(me.MarkRead, chat.MarkReadRequest(room_id=self.hall,
                                                                      number=number))
                self.made.append((handle, reply.user.id, reply.token, made.id, number))
        except Exception as error:  # told by the test
            self.faults.append(repr(error))

    def test_all_is_there_once(self):
        server = self.start("--no-log", address=f"127.0.0.1:{harness.lasting_port()}")
        self.address, folder = server.address, server.folder
        self.hall = self.member(server, "host").make_room("hall").id
        self.made, self.faults, self.over, self.again = [], [], False, 0
        threads = [threading.Thread(target=self.live, args=(i,)) for i in range(3)]
        for t in threads:
            t.start()
        rng = random.Random(7)
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.2, 0.8))
            server.kill()
            server = Chatd(folder, "--no-log", address=self.address)
        self.over = True
        for t in threads:
            t.join(harness.TIMEOUT)
            self.assertFalse(t.is_alive(), "somebody hangs")
        self.addCleanup(lambda: None if server.checked else server.stop())
        self.assertEqual(self.faults, [])
        self.assertTrue(self.made)
        print(f"{len(self.made)} of all, {self.again} requests once more")
        for handle, id, token, made, number in self.made:
            me = Talker(self.connect(server.address), token)
            self.assertEqual(me.GetMe(user.GetMeRequest()).user.handle, handle)
            views = me.ListRooms(room.ListRoomsRequest()).rooms
            self.assertEqual(sorted(v.room.id for v in views), sorted([self.hall, made]))
            self.assertEqual([v.read_number for v in views if v.room.id == self.hall], [number])
        texts = [m.message.text for m in me.ReadAll(chat.ReadAllRequest(room_id=self.hall))]
        self.assertEqual(len(texts), len(set(texts)))
        self.assertLessEqual({m[0] for m in self.made}, set(texts))
        people = me.ListUsers(user.ListUsersRequest(page_size=1000)).users
        self.assertEqual(len(people), len({p.handle for p in people}))


if __name__ == "__main__":
    chatting.main()
