"""Requests of every method that are valid protobuf and otherwise garbage, from everybody: nothing
may crash, hang or fail in a way that no client expects, and what was stored can be read back."""
import os
import random
import threading
import time

import chatting
from chatting import Talker, auth, chat, details, fresh, grpc, harness, room, user
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as F

SEED = int(os.environ.get("CAW_GARBAGE_SEED", "1"))
SECONDS = float(os.environ.get("CAW_GARBAGE_SECONDS", "6"))
NUMBERS = [0, 1, 2, 3, 5, -1, 10 ** 9, -10 ** 9]
WIDE = NUMBERS + [2 ** 63 - 1, -2 ** 63, 2 ** 62, 315576000000, 315576000001, 10 ** 15]
NARROW = NUMBERS + [2 ** 31 - 1, -2 ** 31, 999999999]
WORDS = ["", "a", "ann", "Ann", "hall", "display_name", "name", "topic", "retention", "role", "x" * 64,
         "x" * 65, "y" * 500, "\u3164", "\u00ad", "\u202eevil", "\x00", "a\x00b", "\n", "\t x", " ",
         "e\u0301", "\u0958", "\ufdfa" * 20, "\U0001f600" * 10, "correct horse", "https://a/b",
         "MSAy", "LTEgLTE", "OTk5OTk5OTk5OTk5OTk5OTk5", "%s%n", "'; DROP TABLE users", "\ud7ff\ue000"]
FINE = {getattr(grpc.StatusCode, c) for c in
        "INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED UNAUTHENTICATED "
        "FAILED_PRECONDITION OUT_OF_RANGE RESOURCE_EXHAUSTED CANCELLED DEADLINE_EXCEEDED".split()}


class Maker:
    def __init__(self, rng):
        self.rng = rng

    def value(self, field, depth):
        rng = self.rng
        kind = field.type
        if kind == F.TYPE_MESSAGE:
            return self.message(field.message_type._concrete_class, depth + 1)
        if kind == F.TYPE_STRING:
            if rng.random() < 0.02:
                return rng.choice(WORDS) * rng.choice([100, 1000, 20000])
            return rng.choice(WORDS) if rng.random() < 0.8 else fresh()
        if kind == F.TYPE_BYTES:
            return rng.randbytes(rng.choice([0, 1, 50]))
        if kind == F.TYPE_BOOL:
            return rng.random() < 0.5
        if kind == F.TYPE_ENUM:
            return rng.choice([0, 1, 2, 3, 4, 5, 99, -1, 2 ** 31 - 1])
        return rng.choice(WIDE if kind in (F.TYPE_INT64, F.TYPE_SINT64) else NARROW)

    def message(self, kind, depth=0):
        out = kind()
        for field in kind.DESCRIPTOR.fields:
            if self.rng.random() < 0.25 or depth > 6:
                continue
            if field.label == F.LABEL_REPEATED:
                for _ in range(self.rng.choice([0, 1, 3, 50])):
                    v = self.value(field, depth)
                    if field.type == F.TYPE_MESSAGE:
                        getattr(out, field.name).add().CopyFrom(v)
                    else:
                        getattr(out, field.name).append(v)
            elif field.type == F.TYPE_MESSAGE:
                getattr(out, field.name).CopyFrom(self.value(field, depth))
            else:
                setattr(out, field.name, self.value(field, depth))
        return out


class Garbage(chatting.Case):
    def setUp(self):
        self.server = self.start("--no-log", "--loops", "2")
        self.owner_ = self.owner(self.server)
        self.ann = self.member(self.server, "ann")
        made = self.owner_.CreateUser(user.CreateUserRequest(
            user=user.User(handle="guest", role=user.ROLE_GUEST), password=chatting.PASSWORD,
            request_id=fresh())).user
        stranger = self.guest(self.server)
        token = stranger.Login(auth.LoginRequest(handle="guest",
                                                 password=chatting.PASSWORD)).token
        self.visitor = Talker(stranger.channel, token)
        self.stranger = stranger
        self.hall = self.ann.make_room("hall").id
        self.owner_.JoinRoom(room.JoinRoomRequest(room_id=self.hall))
        self.ann.AddMember(room.AddMemberRequest(room_id=self.hall, user_id=made.id))

    def methods(self):
        for module in (auth, user, room, chat):
            for service in module.DESCRIPTOR.services_by_name.values():
                yield from service.methods

    def call(self, talker, method, maker):
        # Whoever logs out or deletes themselves is no help.
        if talker.token and method.name in ("Logout", "DeleteUser", "ChangePassword",
                                            "RevokeSession", "ResetPassword"):
            return
        kind = method.input_type._concrete_class
        fn = getattr(talker, method.name)
        try:
            if method.name == "Chat":
                for i, _ in enumerate(fn(iter([maker.message(kind) for _ in range(30)]),
                                         timeout=30)):
                    if i == 100:
                        break
            elif method.name in ("Subscribe", "ReadAll"):
                stream = fn(maker.message(kind), timeout=0.3)
                for i, _ in enumerate(stream):
                    if i == 20:
                        break
                stream.cancel()
            else:
                request = maker.message(kind)
                if method.name == "UpdateUser" and talker is self.owner_:
                    request.update_mask.ClearField("paths")
                fn(request)
        except grpc.RpcError as error:
            code = error.code()
            if code not in FINE:
                self.faults.append(f"{method.name}: {code} {error.details()}")

    def test_garbage(self):
        self.faults, self.calls = [], 0
        methods = list(self.methods())
        end = time.time() + SECONDS

        def run(talker, seed):
            rng = random.Random(seed)
            maker = Maker(rng)
            while time.time() < end and len(self.faults) < 20:
                self.call(talker, rng.choice(methods), maker)
                self.calls += 1
        threads = [threading.Thread(target=run, args=(t, SEED * 10 + i)) for i, t in enumerate(
            (self.owner_, self.ann, self.visitor, self.stranger))]
        for t in threads:
            t.start()
        for t in threads:
            t.join(harness.TIMEOUT)
            self.assertFalse(t.is_alive(), "a call hangs")
        self.assertEqual(self.faults, [])
        print(f"seed {SEED}: {self.calls} calls")
        self.read_back()
        self.server.stop()
        # A new process can read it, too.
        self.server = self.start("--no-log", folder=self.server.folder)
        self.ann = Talker(self.connect(self.server.address), self.ann.token)
        self.read_back()

    def read_back(self):
        def pages(fn, request, field):
            out, seen = [], set()
            while True:
                reply = fn(request)
                out += getattr(reply, field)
                if not reply.next_page_token:
                    return out
                self.assertNotIn(reply.next_page_token, seen)
                seen.add(reply.next_page_token)
                request.page_token = reply.next_page_token
        all_at_once = pages(self.ann.BrowseRooms, room.BrowseRoomsRequest(page_size=1000), "rooms")
        one_by_one = pages(self.ann.BrowseRooms, room.BrowseRoomsRequest(page_size=1), "rooms")
        self.assertEqual([r.id for r in one_by_one], [r.id for r in all_at_once])
        mine = pages(self.ann.ListRooms, room.ListRoomsRequest(page_size=2), "rooms")
        people = pages(self.ann.ListUsers, user.ListUsersRequest(page_size=2), "users")
        for thing in one_by_one + mine + people:
            json_format.MessageToJson(thing)
        for view in mine:
            for item in self.ann.ReadAll(chat.ReadAllRequest(room_id=view.room.id)):
                json_format.MessageToJson(item)


class Limits(chatting.Case):
    def setUp(self):
        self.server = self.start("--no-log")
        self.ann = self.member(self.server, "ann")
        self.hall = self.ann.make_room("hall")

    def test_masks(self):
        for paths in (["nonsense"] * 33, ["bio"] * 33, ["x"] * 500000):
            self.wrong(["update_mask"], self.ann.UpdateUser, user.UpdateUserRequest(
                user=user.User(bio="x" * 2000), update_mask={"paths": paths}))
            self.wrong(["update_mask"], self.ann.UpdateRoom, room.UpdateRoomRequest(
                room=room.Room(id=self.hall.id), update_mask={"paths": paths}))
        self.wrong(["update_mask"] * 16, self.ann.UpdateUser, user.UpdateUserRequest(
            user=user.User(), update_mask={"paths": ["nonsense"] * 32}))

    def test_durations(self):
        most = 315576000000
        for seconds, nanos, fine in [(most, 0, True), (most, 999999999, True), (most + 1, 0, False),
                                     (2 ** 63 - 1, 0, False), (-2 ** 63, 0, False),
                                     (9223372036853, 2 ** 31 - 1, False), (60, -1, False),
                                     (60, 10 ** 9, False), (59, 999999999, False), (-1, 0, False),
                                     (0, -1, False), (60, 0, True), (0, 0, True)]:
            request = room.UpdateRoomRequest(
                room=room.Room(id=self.hall.id, retention=room.Retention(
                    max_age={"seconds": seconds, "nanos": nanos})),
                update_mask={"paths": ["retention"]})
            if fine:
                kept = self.ann.UpdateRoom(request).room
                json_format.MessageToJson(kept)
                self.assertEqual(kept.retention.max_age.seconds, seconds)
            else:
                self.wrong(["room.retention.max_age"], self.ann.UpdateRoom, request)

    def test_names_that_nobody_sees(self):
        for name in ("\u3164", "\u3164\u1160", "\u00ad"):
            self.wrong(["room.name"], self.ann.CreateRoom, room.CreateRoomRequest(
                room=room.Room(name=name), request_id=fresh()))
        self.refused("NOT_FOUND", "NO_ROOM", self.ann.GetRoom,
                     room.GetRoomRequest(name="\ufdfa" * 1000000))

    def test_many_rooms_in_one_subscription(self):
        positions = [chat.Position(room_id=self.hall.id)] * 10001
        self.wrong(["rooms"], lambda r, timeout: list(self.ann.Subscribe(r)),
                   chat.SubscribeRequest(rooms=positions))
        stream = self.ann.Subscribe(chat.SubscribeRequest(rooms=positions[:10000]))
        self.assertEqual(next(stream).caught_up.room_id, self.hall.id)
        stream.cancel()

    def test_a_request_of_4_MiB(self):
        for size in (4 * harness.MIB - 100, 4 * harness.MIB + 100):
            self.assertIn(self.fails(grpc.StatusCode.INVALID_ARGUMENT if size < 4 * harness.MIB
                                     else grpc.StatusCode.RESOURCE_EXHAUSTED, self.ann.Send,
                                     chat.SendRequest(room_id=self.hall.id, text="x" * size,
                                                      client_message_id="x")).code(), FINE)

    def test_ids_with_any_bytes(self):
        sent = [self.ann.say(self.hall.id, "x", id=i).number for i in ("a\0b", "a\0c", "a", "\n")]
        self.assertEqual(sent, [1, 2, 3, 4])
        stranger = self.guest(self.server)
        tokens = [stranger.Login(auth.LoginRequest(handle="ann", password=chatting.PASSWORD,
                                                   request_id=i)).token for i in ("a\0b", "a\0c")]
        for token in tokens:
            Talker(stranger.channel, token).GetMe(user.GetMeRequest())


if __name__ == "__main__":
    chatting.main()
