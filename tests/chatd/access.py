"""Who may call what: every method, for every role on the server and in a room. The tables
here were written from the comments of the .proto files, not from the program's."""
import chatting
from chatting import PASSWORD, Talker, auth, chat, fresh, grpc, harness, room, user

SERVER_ROLES = {"guest": user.ROLE_GUEST, "member": user.ROLE_MEMBER, "admin": user.ROLE_ADMIN,
                "owner": user.ROLE_OWNER}
ROOM_ROLES = {"none": 0, "reader": room.ROOM_ROLE_READER, "member": room.ROOM_ROLE_MEMBER,
              "moderator": room.ROOM_ROLE_MODERATOR, "owner": room.ROOM_ROLE_OWNER}

# y: may; d: PERMISSION_DENIED; u: UNAUTHENTICATED; h: NOT_FOUND, as if there were no room.
#                       nobody guest member admin owner
OF_THE_SERVER = {
    "Register":         "y y y y y",
    "Login":            "y y y y y",
    "ResetPassword":    "y y y y y",
    "Logout":           "u y y y y",
    "ChangePassword":   "u y y y y",
    "ListSessions":     "u y y y y",
    "RevokeSession":    "u y y y y",
    "CreateResetCode":  "u d d y y",  # for a member
    "CreateUser":       "u d d y y",  # a member
    "GetUser":          "u y y y y",
    "GetMe":            "u y y y y",
    "ListUsers":        "u d y y y",
    "SearchUsers":      "u d y y y",
    "UpdateUser":       "u d d y y",  # a member's
    "DeleteUser":       "u d d y y",  # a member
    "CreateRoom":       "u d y y y",
    "ListRooms":        "u y y y y",
    "BrowseRooms":      "u d y y y",
    "OpenDirect":       "u d y y y",
    "CountMessages":    "u d y y y",  # the server's
    "Chat":             "u y y y y",
}
# In a room: (public, private), each: none reader member moderator owner. Admins and owners of
# the server are the same here.
OF_A_ROOM = {
    #               guest                       member                      admin, owner
    "GetRoom":       ("h y y y y", "h y y y y", "y y y y y", "h y y y y", "y y y y y", "h y y y y"),
    "UpdateRoom":    ("h d d y y", "h d d y y", "d d d y y", "h d d y y", "y y y y y", "h d d y y"),
    "JoinRoom":      ("d d d d d", "d d d d d", "y y y y y", "h y y y y", "y y y y y", "h y y y y"),
    "AddMember":     ("h d d y y", "h d d y y", "d d d y y", "h d d y y", "y y y y y", "h d d y y"),
    "RemoveMember":  ("h d d y y", "h d d y y", "d d d y y", "h d d y y", "y y y y y", "h d d y y"),
    "BanMember":     ("h d d y y", "h d d y y", "d d d y y", "h d d y y", "y y y y y", "h d d y y"),
    "UnbanMember":   ("h d d y y", "h d d y y", "d d d y y", "h d d y y", "y y y y y", "h d d y y"),
    "SetMemberRole": ("h d d d y", "h d d d y", "d d d d y", "h d d d y", "y y y y y", "h d d d y"),
    "ListMembers":   ("h y y y y", "h y y y y", "d y y y y", "h y y y y", "y y y y y", "h y y y y"),
    "GetMessages":   ("h y y y y", "h y y y y", "d y y y y", "h y y y y", "y y y y y", "h y y y y"),
    "ReadAll":       ("h y y y y", "h y y y y", "d y y y y", "h y y y y", "y y y y y", "h y y y y"),
    "Send":          ("h d y y y", "h d y y y", "d d y y y", "h d y y y", "d d y y y", "h d y y y"),
    "SendTyping":    ("h d y y y", "h d y y y", "d d y y y", "h d y y y", "d d y y y", "h d y y y"),
    "MarkRead":      ("h y y y y", "h y y y y", "d y y y y", "h y y y y", "d y y y y", "h y y y y"),
    "Subscribe":     ("h y y y y", "h y y y y", "d y y y y", "h y y y y", "d y y y y", "h y y y y"),
    "LeaveRoom":     ("h y y y y", "h y y y y", "y y y y y", "h y y y y", "y y y y y", "h y y y y"),
}
SERVICES = [auth.DESCRIPTOR, user.DESCRIPTOR, room.DESCRIPTOR, chat.DESCRIPTOR]


def outcome(call):
    """y, d, u or h."""
    try:
        result = call()
        if hasattr(result, "__iter__"):
            for _ in result:
                break
            result.cancel()
        return "y"
    except grpc.RpcError as error:
        reason = chatting.reason_of(error)
        if error.code() == grpc.StatusCode.UNAUTHENTICATED and reason is None:
            return "u"
        if error.code() == grpc.StatusCode.PERMISSION_DENIED and reason != "WRONG_CREDENTIALS":
            return "d"
        if error.code() == grpc.StatusCode.NOT_FOUND and reason == "NO_ROOM":
            return "h"
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL,
                            grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED,
                            grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
        return "y"  # it was let in, and something else is wrong


class Access(chatting.Case):
    def setUp(self):
        self.server = self.start("--no-log", "--password-threads", "2")
        self.top = self.owner(self.server)
        self.made = 0

    def make(self, role=user.ROLE_MEMBER):
        """An account of this role, without anybody who is logged in."""
        self.made += 1
        created = self.top.CreateUser(user.CreateUserRequest(
            user=user.User(handle=f"user{self.made}", role=min(role, user.ROLE_ADMIN)),
            password=PASSWORD, request_id=fresh())).user
        if role == user.ROLE_OWNER:
            self.top.UpdateUser(user.UpdateUserRequest(
                user=user.User(id=created.id, role=role), update_mask={"paths": ["role"]}))
        return created

    def login(self, account):
        guest = self.guest(self.server)
        reply = guest.Login(auth.LoginRequest(handle=account.handle, password=PASSWORD))
        talker = Talker(guest.channel, reply.token)
        talker.user, talker.session = account, reply.session
        return talker

    def test_every_method_is_in_one_table(self):
        methods = {m.name for file in SERVICES for service in file.services_by_name.values()
                   for m in service.methods}
        self.assertEqual(methods, set(OF_THE_SERVER) | set(OF_A_ROOM))
        self.assertFalse(set(OF_THE_SERVER) & set(OF_A_ROOM))

    def calls_of_the_server(self, talker, me):
        someone = self.make()
        return {
            "Register": lambda: talker.Register(auth.RegisterRequest()),
            "Login": lambda: talker.Login(auth.LoginRequest(client_name="\n")),
            "ResetPassword": lambda: talker.ResetPassword(auth.ResetPasswordRequest()),
            "ChangePassword": lambda: talker.ChangePassword(auth.ChangePasswordRequest()),
            "ListSessions": lambda: talker.ListSessions(auth.ListSessionsRequest()),
            "RevokeSession": lambda: talker.RevokeSession(
                auth.RevokeSessionRequest(session_id=999)),
            "CreateResetCode": lambda: talker.CreateResetCode(
                auth.CreateResetCodeRequest(user_id=someone.id)),
            "CreateUser": lambda: talker.CreateUser(user.CreateUserRequest(
                user=user.User(handle=f"made-by-{me}"), request_id=fresh())),
            "GetUser": lambda: talker.GetUser(user.GetUserRequest(user_id=someone.id)),
            "GetMe": lambda: talker.GetMe(user.GetMeRequest()),
            "ListUsers": lambda: talker.ListUsers(user.ListUsersRequest()),
            "SearchUsers": lambda: talker.SearchUsers(user.SearchUsersRequest(prefix="u")),
            "UpdateUser": lambda: talker.UpdateUser(user.UpdateUserRequest(
                user=user.User(id=someone.id, bio="x"), update_mask={"paths": ["bio"]})),
            "CreateRoom": lambda: talker.make_room(f"room of {me}"),
            "ListRooms": lambda: talker.ListRooms(room.ListRoomsRequest()),
            "BrowseRooms": lambda: talker.BrowseRooms(room.BrowseRoomsRequest()),
            "OpenDirect": lambda: talker.OpenDirect(room.OpenDirectRequest(user_id=someone.id)),
            "CountMessages": lambda: talker.CountMessages(chat.CountMessagesRequest()),
            "Chat": lambda: talker.Chat(iter([chat.ChatRequest()])),
            "DeleteUser": lambda: talker.DeleteUser(user.DeleteUserRequest(user_id=someone.id)),
            "Logout": lambda: talker.Logout(auth.LogoutRequest()),
        }

    def test_methods_of_the_server(self):
        got = {method: [] for method in OF_THE_SERVER}
        talkers = [("nobody", self.guest(self.server))]
        talkers += [(name, self.login(self.make(role))) for name, role in SERVER_ROLES.items()]
        for name, talker in talkers:
            for method, call in self.calls_of_the_server(talker, name).items():
                got[method].append(outcome(call))
        self.assertEqual({m: " ".join(o) for m, o in got.items()}, OF_THE_SERVER)

    def calls_of_a_room(self, talker, id):
        nobody = self.outsider.id
        return {
            "GetRoom": lambda: talker.GetRoom(room.GetRoomRequest(room_id=id)),
            "UpdateRoom": lambda: talker.UpdateRoom(room.UpdateRoomRequest(
                room=room.Room(id=id, topic="x"), update_mask={"paths": ["topic"]})),
            "JoinRoom": None,  # see below
            "AddMember": lambda: talker.AddMember(room.AddMemberRequest(room_id=id, user_id=9999)),
            "RemoveMember": lambda: talker.RemoveMember(
                room.RemoveMemberRequest(room_id=id, user_id=nobody)),
            "BanMember": lambda: talker.BanMember(room.BanMemberRequest(room_id=id, user_id=9999)),
            "UnbanMember": lambda: talker.UnbanMember(
                room.UnbanMemberRequest(room_id=id, user_id=nobody)),
            "SetMemberRole": lambda: talker.SetMemberRole(room.SetMemberRoleRequest(
                room_id=id, user_id=nobody, role=room.ROOM_ROLE_READER)),
            "ListMembers": lambda: talker.ListMembers(room.ListMembersRequest(room_id=id)),
            "GetMessages": lambda: talker.GetMessages(chat.GetMessagesRequest(room_id=id)),
            "ReadAll": lambda: talker.ReadAll(chat.ReadAllRequest(room_id=id)),
            "Send": lambda: talker.say(id, "hello"),
            "SendTyping": lambda: talker.SendTyping(chat.SendTypingRequest(room_id=id)),
            "MarkRead": lambda: talker.MarkRead(chat.MarkReadRequest(room_id=id, number=1)),
            "Subscribe": lambda: talker.Subscribe(chat.SubscribeRequest(
                rooms=[chat.Position(room_id=id)])),
            "LeaveRoom": None,
        }

    def put(self, talker, room_id, role):
        """Makes somebody what they are to be in a room; 0: not in it."""
        id = talker.user.id
        self.top.RemoveMember(room.RemoveMemberRequest(room_id=room_id, user_id=id))
        if role:
            self.top.AddMember(room.AddMemberRequest(room_id=room_id, user_id=id))
            self.top.SetMemberRole(room.SetMemberRoleRequest(room_id=room_id, user_id=id,
                                                             role=role))

    def test_methods_of_rooms(self):
        self.outsider = self.make()
        public = self.top.make_room("public")
        private = self.top.make_room("private", visibility=room.VISIBILITY_PRIVATE)
        for where in (public, private):
            self.top.say(where.id, "first")
        got = {method: [] for method in OF_A_ROOM}
        for server_role in ("guest", "member", "admin"):
            talker = self.login(self.make(SERVER_ROLES[server_role]))
            for where in (public, private):
                row = {method: [] for method in OF_A_ROOM}
                for role in ROOM_ROLES.values():
                    self.put(talker, where.id, role)
                    for method, call in self.calls_of_a_room(talker, where.id).items():
                        if call:
                            row[method].append(outcome(call))
                    row["JoinRoom"].append(outcome(lambda: talker.JoinRoom(
                        room.JoinRoomRequest(room_id=where.id))))
                    self.put_back(talker, where.id, role)
                    row["LeaveRoom"].append(outcome(lambda: talker.LeaveRoom(
                        room.LeaveRoomRequest(room_id=where.id))))
                for method, outcomes in row.items():
                    got[method].append(" ".join(outcomes))
        self.assertEqual({m: tuple(o) for m, o in got.items()}, OF_A_ROOM)

    def put_back(self, talker, room_id, role):
        """Joining may have made a member of somebody who was to be none."""
        if not role:
            self.top.RemoveMember(room.RemoveMemberRequest(room_id=room_id,
                                                           user_id=talker.user.id))

    def test_a_chat_asks_for_each_message(self):
        """What Send would refuse is refused on a stream that was begun before, too."""
        hall = self.top.make_room("hall")
        talker = self.login(self.make())
        feed = harness.Feed()
        stream = chatting.Listener(talker.Chat(feed))

        def send():
            n = len(stream.items)
            feed.put(chat.ChatRequest(send=chat.SendRequest(
                room_id=hall.id, client_message_id=fresh(), text="x")))
            stream.wait_for(lambda items: len(items) > n)
            return stream.items[-1].ack.error.code
        self.assertEqual(send(), grpc.StatusCode.PERMISSION_DENIED.value[0])
        self.put(talker, hall.id, room.ROOM_ROLE_MEMBER)
        self.assertEqual(send(), 0)
        self.put(talker, hall.id, room.ROOM_ROLE_READER)
        self.assertEqual(send(), grpc.StatusCode.PERMISSION_DENIED.value[0])
        feed.end()
        self.assertIsNone(stream.wait_end())

    def test_guests_know_who_is_in_a_room_with_them(self):
        guest, ann, bob = (self.login(self.make(role)) for role in (
            user.ROLE_GUEST, user.ROLE_MEMBER, user.ROLE_MEMBER))
        hall = ann.make_room("hall").id
        ann.make_room("other")

        def sees(who):
            try:
                return guest.GetUser(user.GetUserRequest(user_id=who.user.id)).user == who.user
            except grpc.RpcError as error:
                self.assertEqual(chatting.reason_of(error), "NO_USER")
                return False
        self.assertEqual([sees(w) for w in (guest, ann, bob)], [True, False, False])
        ann.AddMember(room.AddMemberRequest(room_id=hall, user_id=guest.user.id))
        self.assertEqual([sees(w) for w in (guest, ann, bob)], [True, True, False])
        bob.JoinRoom(room.JoinRoomRequest(room_id=hall))
        self.assertEqual([sees(w) for w in (guest, ann, bob)], [True, True, True])
        bob.LeaveRoom(room.LeaveRoomRequest(room_id=hall))
        self.assertFalse(sees(bob))
        self.refused("NOT_FOUND", "NO_USER", guest.GetUser,
                     user.GetUserRequest(handle=ann.user.handle))

    def test_who_is_no_admin_any_more_reads_no_further(self):
        admin, ann = self.login(self.make(user.ROLE_ADMIN)), self.login(self.make())
        hall = ann.make_room("hall").id
        for _ in range(300):
            ann.say(hall, "x" * 4000)
        # A small window, and no more than one message read for now: the server waits.
        slow = self.connect(self.server.address, ("grpc.http2.bdp_probe", 0),
                            ("grpc.http2.lookahead_bytes", 4096))
        stream = Talker(slow, admin.token).ReadAll(chat.ReadAllRequest(room_id=hall))
        next(stream)
        self.top.UpdateUser(user.UpdateUserRequest(
            user=user.User(id=admin.user.id, role=user.ROLE_GUEST),
            update_mask={"paths": ["role"]}))
        with self.assertRaises(grpc.RpcError) as raised:
            for _ in stream:
                pass
        self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_tokens_of_every_shape(self):
        channel = self.connect(self.server.address)
        stub = chatting.user_stubs.UserServiceStub(channel)
        good = self.top.token
        for value, code in [
                (f"Bearer {good}", None), (f"bearer {good}", None), (f"BEARER {good}", None),
                ("", "UNAUTHENTICATED"), ("Bearer", "UNAUTHENTICATED"),
                ("Bearer ", "UNAUTHENTICATED"), (good, "UNAUTHENTICATED"),
                (f"Basic {good}", "UNAUTHENTICATED"), (f"Bearer  {good}", "UNAUTHENTICATED"),
                (f"Bearer {good}x", "UNAUTHENTICATED"), (f"Bearer {good[:-1]}", "UNAUTHENTICATED"),
                ("Bearer " + "x" * 5000, "UNAUTHENTICATED")]:
            try:
                stub.GetMe(user.GetMeRequest(), metadata=[("authorization", value)],
                           timeout=harness.TIMEOUT)
                got = None
            except grpc.RpcError as error:
                got = error.code().name
            self.assertEqual(got, code, value)


if __name__ == "__main__":
    chatting.main()
