"""RoomService, from outside."""
import chatting
from chatting import chat, fresh, grpc, room, user


class Rooms(chatting.Case):
    def setUp(self):
        self.server = self.start()
        self.ann, self.bob, self.eve = [self.member(self.server, n) for n in ("ann", "bob", "eve")]

    def join(self, talker, room_id):
        return talker.JoinRoom(room.JoinRoomRequest(room_id=room_id)).view

    def view(self, talker, room_id):
        return talker.GetRoom(room.GetRoomRequest(room_id=room_id)).view

    def update(self, talker, *paths, **fields):
        return talker.UpdateRoom(room.UpdateRoomRequest(
            room=room.Room(**fields), update_mask={"paths": paths})).room

    def roles(self, talker, room_id):
        members = talker.ListMembers(room.ListMembersRequest(room_id=room_id)).members
        return {m.user.handle: m.role for m in members}

    def test_making_and_finding(self):
        request = room.CreateRoomRequest(room=room.Room(
            name="The Kitchen", topic="lunch", slow_mode={"seconds": 5},
            retention={"max_age": {"seconds": 86400}, "max_messages": 10}), request_id=fresh())
        made = self.ann.CreateRoom(request).room
        self.assertEqual((made.name, made.topic, made.visibility, made.kind, made.creator_id,
                          made.slow_mode.seconds, made.retention.max_age.seconds,
                          made.retention.max_messages, made.member_count),
                         ("The Kitchen", "lunch", room.VISIBILITY_PUBLIC, room.ROOM_KIND_GROUP,
                          self.ann.user.id, 5, 86400, 10, 1))
        self.assertEqual(self.ann.CreateRoom(request).room.id, made.id)
        request.room.topic = "dinner"
        self.refused("ALREADY_EXISTS", "REQUEST_ID_USED", self.ann.CreateRoom, request)
        request.request_id = fresh()
        self.refused("ALREADY_EXISTS", "ROOM_NAME_TAKEN", self.bob.CreateRoom, request)
        request.room.name = "THE kitchen"
        self.refused("ALREADY_EXISTS", "ROOM_NAME_TAKEN", self.bob.CreateRoom, request)
        request.room.visibility = room.VISIBILITY_PRIVATE
        secret = self.bob.CreateRoom(request).room
        self.assertNotEqual(secret.id, made.id)

        for which in (dict(room_id=made.id), dict(name="the KITCHEN")):
            view = self.eve.GetRoom(room.GetRoomRequest(**which)).view
            self.assertEqual((view.room.id, view.role), (made.id, 0))
        self.refused("NOT_FOUND", "NO_ROOM", self.eve.GetRoom,
                     room.GetRoomRequest(room_id=secret.id))
        self.refused("NOT_FOUND", "NO_ROOM", self.eve.GetRoom, room.GetRoomRequest(name="cellar"))
        self.wrong(["which"], self.eve.GetRoom, room.GetRoomRequest())

    def test_what_is_wrong_is_named(self):
        cases = [
            (dict(name=""), ["room.name"]),
            (dict(name="a\nb"), ["room.name"]),
            (dict(name="x" * 81), ["room.name"]),
            (dict(topic="x" * 501), ["room.topic"]),
            (dict(visibility=7), ["room.visibility"]),
            (dict(slow_mode={"seconds": 3601}), ["room.slow_mode"]),
            (dict(slow_mode={"seconds": -1}), ["room.slow_mode"]),
            (dict(retention={"max_messages": -1}), ["room.retention.max_messages"]),
            (dict(retention={"max_age": {"seconds": 59}}), ["room.retention.max_age"]),
        ]
        for change, fields in cases:
            values = dict(name="hall")
            values.update(change)
            self.wrong(fields, self.ann.CreateRoom, room.CreateRoomRequest(
                room=room.Room(**values), request_id=fresh()))
        self.wrong(["request_id"], self.ann.CreateRoom, room.CreateRoomRequest(
            room=room.Room(name="hall")))
        self.wrong(["room"], self.ann.CreateRoom, room.CreateRoomRequest(request_id=fresh()))

    def test_browsing(self):
        names = ["Attic", "bath", "Cellar", "den"]
        for name in reversed(names):
            self.ann.make_room(name)
        self.ann.make_room("hidden", visibility=room.VISIBILITY_PRIVATE)
        found, request = [], room.BrowseRoomsRequest(page_size=3)
        while True:
            page = self.bob.BrowseRooms(request)
            found += [r.name for r in page.rooms]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        self.assertEqual(found, names)

    def test_changing(self):
        hall = self.ann.make_room("hall")
        self.join(self.bob, hall.id)
        changed = self.update(self.ann, "name", "topic", "slow_mode", "retention", id=hall.id,
                              name="Hall", topic="hi", slow_mode={"seconds": 1},
                              retention={"max_messages": 5})
        self.assertEqual((changed.name, changed.topic, changed.slow_mode.seconds,
                          changed.retention.max_messages), ("Hall", "hi", 1, 5))
        self.assertEqual(self.view(self.bob, hall.id).room.name, "Hall")

        def request(*paths, **fields):
            return room.UpdateRoomRequest(room=room.Room(id=hall.id, **fields),
                                          update_mask={"paths": paths})
        self.refused("PERMISSION_DENIED", "ROOM_ROLE", self.bob.UpdateRoom,
                     request("topic", topic="x"))
        self.ann.SetMemberRole(room.SetMemberRoleRequest(
            room_id=hall.id, user_id=self.bob.user.id, role=room.ROOM_ROLE_MODERATOR))
        self.bob.UpdateRoom(request("topic", "slow_mode", topic="bob's"))
        for path in ("name", "visibility", "retention"):
            self.refused("PERMISSION_DENIED", "ROOM_ROLE", self.bob.UpdateRoom,
                         request(path, name="x", visibility=room.VISIBILITY_PRIVATE))
        self.wrong(["update_mask"], self.ann.UpdateRoom, request("id"))
        self.wrong(["update_mask"], self.ann.UpdateRoom, request())
        other = self.eve.make_room("other")
        self.refused("ALREADY_EXISTS", "ROOM_NAME_TAKEN", self.ann.UpdateRoom,
                     request("name", name="OTHER"))
        self.refused("PERMISSION_DENIED", "NOT_MEMBER", self.ann.UpdateRoom,
                     room.UpdateRoomRequest(room=room.Room(id=other.id, topic="x"),
                                            update_mask={"paths": ["topic"]}))
        self.update(self.ann, "visibility", id=hall.id, visibility=room.VISIBILITY_PRIVATE)
        self.refused("NOT_FOUND", "NO_ROOM", self.eve.GetRoom, room.GetRoomRequest(room_id=hall.id))

    def test_coming_and_going(self):
        hall = self.ann.make_room("hall")
        self.assertEqual(self.join(self.bob, hall.id).role, room.ROOM_ROLE_MEMBER)
        self.assertEqual(self.join(self.bob, hall.id).room.member_count, 2)
        leave = room.LeaveRoomRequest(room_id=hall.id)
        self.refused("FAILED_PRECONDITION", "LAST_OWNER", self.ann.LeaveRoom, leave)
        self.bob.LeaveRoom(leave)
        self.bob.LeaveRoom(leave)
        self.refused("PERMISSION_DENIED", "NOT_MEMBER", self.bob.Send, chat.SendRequest(
            room_id=hall.id, text="x", client_message_id=fresh()))
        self.ann.LeaveRoom(leave)  # the last one may
        self.assertEqual(self.view(self.ann, hall.id).room.member_count, 0)

        secret = self.ann.make_room("secret", visibility=room.VISIBILITY_PRIVATE)
        self.refused("NOT_FOUND", "NO_ROOM", self.bob.JoinRoom,
                     room.JoinRoomRequest(room_id=secret.id))
        added = self.ann.AddMember(room.AddMemberRequest(
            room_id=secret.id, user_id=self.bob.user.id, role=room.ROOM_ROLE_READER)).member
        self.assertEqual((added.user.handle, added.role), ("bob", room.ROOM_ROLE_READER))
        # Once more, with another role: it stays.
        again = self.ann.AddMember(room.AddMemberRequest(
            room_id=secret.id, user_id=self.bob.user.id)).member
        self.assertEqual(again.role, room.ROOM_ROLE_READER)
        self.wrong(["role"], self.ann.AddMember, room.AddMemberRequest(
            room_id=secret.id, user_id=self.eve.user.id, role=room.ROOM_ROLE_OWNER))
        self.refused("NOT_FOUND", "NO_USER", self.ann.AddMember,
                     room.AddMemberRequest(room_id=secret.id, user_id=99))

    def test_keeping_order(self):
        hall = self.ann.make_room("hall")
        self.join(self.bob, hall.id)
        self.join(self.eve, hall.id)

        def set_role(talker, who, role):
            return talker.SetMemberRole(room.SetMemberRoleRequest(
                room_id=hall.id, user_id=who.user.id, role=role))

        def target(kind, who):
            return kind(room_id=hall.id, user_id=who.user.id)
        self.refused("PERMISSION_DENIED", "ROOM_ROLE", self.bob.RemoveMember,
                     target(room.RemoveMemberRequest, self.eve))
        set_role(self.ann, self.bob, room.ROOM_ROLE_MODERATOR)
        set_role(self.ann, self.eve, room.ROOM_ROLE_MODERATOR)
        self.refused("PERMISSION_DENIED", "ROOM_ROLE", self.bob.RemoveMember,
                     target(room.RemoveMemberRequest, self.eve))
        self.refused("PERMISSION_DENIED", "ROOM_ROLE", self.bob.BanMember,
                     target(room.BanMemberRequest, self.ann))
        self.refused("PERMISSION_DENIED", "ROOM_ROLE", self.bob.SetMemberRole,
                     room.SetMemberRoleRequest(room_id=hall.id, user_id=self.eve.user.id,
                                               role=room.ROOM_ROLE_READER))
        set_role(self.ann, self.eve, room.ROOM_ROLE_READER)
        self.refused("PERMISSION_DENIED", "ROOM_ROLE", self.eve.Send, chat.SendRequest(
            room_id=hall.id, text="x", client_message_id=fresh()))

        ban = room.BanMemberRequest(room_id=hall.id, user_id=self.eve.user.id, reason="noise")
        self.bob.BanMember(ban)
        self.bob.BanMember(ban)
        self.assertEqual(self.roles(self.ann, hall.id),
                         {"ann": room.ROOM_ROLE_OWNER, "bob": room.ROOM_ROLE_MODERATOR})
        self.refused("PERMISSION_DENIED", "BANNED", self.eve.JoinRoom,
                     room.JoinRoomRequest(room_id=hall.id))
        self.refused("FAILED_PRECONDITION", "BANNED", self.bob.AddMember,
                     target(room.AddMemberRequest, self.eve))
        self.bob.UnbanMember(target(room.UnbanMemberRequest, self.eve))
        self.bob.UnbanMember(target(room.UnbanMemberRequest, self.eve))
        self.join(self.eve, hall.id)
        self.bob.RemoveMember(target(room.RemoveMemberRequest, self.eve))
        self.bob.RemoveMember(target(room.RemoveMemberRequest, self.eve))
        self.join(self.eve, hall.id)

        self.refused("FAILED_PRECONDITION", "LAST_OWNER", self.ann.SetMemberRole,
                     room.SetMemberRoleRequest(room_id=hall.id, user_id=self.ann.user.id,
                                               role=room.ROOM_ROLE_MEMBER))
        set_role(self.ann, self.bob, room.ROOM_ROLE_OWNER)
        set_role(self.bob, self.ann, room.ROOM_ROLE_MEMBER)
        self.assertEqual(self.roles(self.eve, hall.id),
                         {"ann": room.ROOM_ROLE_MEMBER, "bob": room.ROOM_ROLE_OWNER,
                          "eve": room.ROOM_ROLE_MEMBER})
        self.refused("NOT_FOUND", "NOT_MEMBER", self.bob.SetMemberRole, room.SetMemberRoleRequest(
            room_id=hall.id, user_id=self.owner(self.server).user.id, role=room.ROOM_ROLE_READER))

    def test_a_room_whose_owner_is_deleted_has_an_heir(self):
        hall = self.ann.make_room("hall", visibility=room.VISIBILITY_PRIVATE)
        for who, role in ((self.eve, room.ROOM_ROLE_MEMBER), (self.bob, room.ROOM_ROLE_MODERATOR)):
            self.ann.AddMember(room.AddMemberRequest(room_id=hall.id, user_id=who.user.id))
            self.ann.SetMemberRole(room.SetMemberRoleRequest(
                room_id=hall.id, user_id=who.user.id, role=role))
        stream = chatting.Listener(self.eve.Subscribe(chat.SubscribeRequest(
            rooms=[chat.Position(room_id=hall.id)])))
        stream.wait_for(len)
        self.ann.DeleteUser(user.DeleteUserRequest(user_id=self.ann.user.id))
        self.assertEqual(self.roles(self.eve, hall.id), {"bob": room.ROOM_ROLE_OWNER,
                                                         "eve": room.ROOM_ROLE_MEMBER})
        stream.wait_for(lambda items: [i.member for i in items if i.HasField("member")] == [
            chat.MemberChanged(room_id=hall.id, user_id=self.ann.user.id),
            chat.MemberChanged(room_id=hall.id, user_id=self.bob.user.id,
                               role=room.ROOM_ROLE_OWNER)])
        stream.cancel()
        self.bob.DeleteUser(user.DeleteUserRequest(user_id=self.bob.user.id))
        self.eve.DeleteUser(user.DeleteUserRequest(user_id=self.eve.user.id))  # the last of all

    def test_pages_of_members(self):
        hall = self.ann.make_room("hall")
        self.join(self.bob, hall.id)
        self.join(self.eve, hall.id)
        page = self.ann.ListMembers(room.ListMembersRequest(room_id=hall.id, page_size=2))
        self.assertEqual([m.user.handle for m in page.members], ["ann", "bob"])
        page = self.ann.ListMembers(room.ListMembersRequest(
            room_id=hall.id, page_size=2, page_token=page.next_page_token))
        self.assertEqual([m.user.handle for m in page.members], ["eve"])
        self.assertEqual(page.next_page_token, "")

    def test_rooms_of_two(self):
        def open_with(talker, who):
            return talker.OpenDirect(room.OpenDirectRequest(user_id=who.user.id)).view
        mine = open_with(self.ann, self.bob)
        yours = open_with(self.bob, self.ann)
        self.assertEqual(mine.room.id, yours.room.id)
        self.assertEqual((mine.other.handle, yours.other.handle), ("bob", "ann"))
        self.assertEqual((mine.room.kind, mine.room.visibility),
                         (room.ROOM_KIND_DIRECT, room.VISIBILITY_PRIVATE))
        self.assertNotEqual(open_with(self.eve, self.bob).room.id, mine.room.id)
        self.refused("NOT_FOUND", "NO_ROOM", self.eve.GetRoom,
                     room.GetRoomRequest(room_id=mine.room.id))
        self.wrong(["user_id"], self.ann.OpenDirect,
                   room.OpenDirectRequest(user_id=self.ann.user.id))
        self.refused("FAILED_PRECONDITION", "DIRECT_ROOM", self.ann.LeaveRoom,
                     room.LeaveRoomRequest(room_id=mine.room.id))
        self.ann.say(mine.room.id, "psst")
        listed, = self.bob.ListRooms(room.ListRoomsRequest(page_size=1)).rooms
        self.assertEqual((listed.other.handle, listed.unread_count), ("ann", 1)) \
            if listed.room.id == mine.room.id else self.fail(listed)

    def test_a_room_of_two_of_whom_one_is_no_more(self):
        id = self.ann.OpenDirect(room.OpenDirectRequest(user_id=self.bob.user.id)).view.room.id
        self.bob.DeleteUser(user.DeleteUserRequest(user_id=self.bob.user.id))
        view = self.ann.GetRoom(room.GetRoomRequest(room_id=id)).view
        self.assertFalse(view.HasField("other"), view)

    def test_who_is_alone_stays_the_owner(self):
        attic = self.ann.make_room("attic").id
        self.refused("FAILED_PRECONDITION", "LAST_OWNER", self.ann.SetMemberRole,
                     room.SetMemberRoleRequest(room_id=attic, user_id=self.ann.user.id,
                                               role=room.ROOM_ROLE_READER))
        self.ann.LeaveRoom(room.LeaveRoomRequest(room_id=attic))  # but may go

    def test_mine_with_what_is_unread(self):
        attic, bath = self.ann.make_room("attic"), self.ann.make_room("bath")
        for where in (attic, bath):
            self.join(self.bob, where.id)
        for text in ("one", "for @bob", "not for @bobby", "@bob."):
            self.ann.say(attic.id, text)
        self.bob.MarkRead(chat.MarkReadRequest(room_id=attic.id, number=1))
        rooms = self.bob.ListRooms(room.ListRoomsRequest()).rooms
        self.assertEqual([(r.room.name, r.room.last_number, r.read_number, r.unread_count,
                           r.mention_count) for r in rooms],
                         [("attic", 4, 1, 3, 2), ("bath", 0, 0, 0, 0)])
        self.ann.say(bath.id, "newer")
        request, names = room.ListRoomsRequest(page_size=1), []
        while True:
            page = self.bob.ListRooms(request)
            names += [r.room.name for r in page.rooms]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        self.assertEqual(names, ["bath", "attic"])
        self.assertEqual(list(self.eve.ListRooms(room.ListRoomsRequest()).rooms), [])


if __name__ == "__main__":
    chatting.main()
