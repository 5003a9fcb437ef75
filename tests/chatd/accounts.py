"""AuthService and UserService, from outside."""
import math
import threading
import time

import chatting
from chatting import PASSWORD, Listener, Talker, auth, chat, details, fresh, grpc, user


class Registering(chatting.Case):
    def test_the_first_token_makes_the_owner_once(self):
        server = self.start()
        owner = self.owner(server)
        self.assertEqual(owner.user.role, user.ROLE_OWNER)
        self.assertEqual(owner.GetMe(user.GetMeRequest()).user, owner.user)
        again = auth.RegisterRequest(handle="second", password=PASSWORD, request_id=fresh(),
                                     owner_token=server.token)
        self.refused("PERMISSION_DENIED", "OWNER_TOKEN", self.guest(server).Register, again)

    def test_a_restart_before_there_is_an_owner_gives_another_token(self):
        folder = self.folder()
        first = self.start(folder=folder)
        old = first.owner_token()
        first.stop()
        second = self.start(folder=folder)
        self.assertNotEqual(second.owner_token(), old)
        self.refused("PERMISSION_DENIED", "OWNER_TOKEN", self.guest(second).Register,
                     auth.RegisterRequest(handle="a1", password=PASSWORD, request_id=fresh(),
                                          owner_token=old))
        self.owner(second)
        second.stop()
        third = self.start(folder=folder)
        self.guest(third).Login(auth.LoginRequest(handle="owner", password=PASSWORD))
        third.stop()
        self.assertFalse([line for line in third.lines if "one-time" in line])

    def test_what_is_wrong_is_named(self):
        guest = self.guest(self.start())
        cases = [
            (dict(handle="A"), ["handle"]),
            (dict(handle="ann lee"), ["handle"]),
            (dict(handle="-ann"), ["handle"]),
            (dict(handle="x" * 33), ["handle"]),
            (dict(password="short"), ["password"]),
            (dict(password="x" * 257), ["password"]),
            (dict(display_name="a\nb"), ["display_name"]),
            (dict(display_name="x" * 101), ["display_name"]),
            (dict(client_name="x" * 101), ["client_name"]),
            (dict(request_id=""), ["request_id"]),
            (dict(request_id="x" * 65), ["request_id"]),
            (dict(handle="", password=""), ["handle", "password"]),
        ]
        for change, fields in cases:
            fields_of = dict(handle="ann", password=PASSWORD, request_id=fresh())
            fields_of.update(change)
            self.wrong(fields, guest.Register, auth.RegisterRequest(**fields_of))

    def test_a_handle_is_given_once(self):
        server = self.start()
        self.member(server, "ann")
        self.refused("ALREADY_EXISTS", "HANDLE_TAKEN", self.guest(server).Register,
                     auth.RegisterRequest(handle="ann", password="something else",
                                          request_id=fresh()))
        # Not to who knows the password either, unless it is the same request.
        self.refused("ALREADY_EXISTS", "HANDLE_TAKEN", self.guest(server).Register,
                     auth.RegisterRequest(handle="ann", password=PASSWORD, request_id=fresh()))

    def test_a_repeated_request_is_the_same_account_and_a_new_session(self):
        guest = self.guest(self.start())
        request = auth.RegisterRequest(handle="ann", password=PASSWORD, request_id=fresh())
        first = guest.Register(request)
        second = guest.Register(request)
        self.assertEqual(first.user, second.user)
        self.assertNotEqual(first.token, second.token)
        old, new = Talker(guest.channel, first.token), Talker(guest.channel, second.token)
        self.fails(grpc.StatusCode.UNAUTHENTICATED, old.GetMe, user.GetMeRequest())
        sessions = new.ListSessions(auth.ListSessionsRequest()).sessions
        self.assertEqual([s.id for s in sessions], [second.session.id])

    def test_display_names_are_in_normal_form(self):
        member = self.member(self.start(), "ann", display_name="Rene\u0301")
        self.assertEqual(member.user.display_name, "Ren\u00e9")
        self.assertEqual(self.member_name(member, ""), "ann")

    def member_name(self, member, name):
        return member.UpdateUser(user.UpdateUserRequest(
            user=user.User(display_name=name), update_mask={"paths": ["display_name"]}
        )).user.display_name

    def test_closed(self):
        server = self.start("--registration", "closed")
        self.refused("FAILED_PRECONDITION", "REGISTRATION_CLOSED", self.guest(server).Register,
                     auth.RegisterRequest(handle="ann", password=PASSWORD, request_id=fresh()))
        owner = self.owner(server)
        made = owner.CreateUser(user.CreateUserRequest(
            user=user.User(handle="ann"), password=PASSWORD, request_id=fresh())).user
        self.assertEqual(made.role, user.ROLE_MEMBER)
        self.guest(server).Login(auth.LoginRequest(handle="ann", password=PASSWORD))


class Running:
    """Seconds in which this machine ran: of a time in which it stood still little is counted."""
    STEP = 0.005
    MOST = 0.05

    def __init__(self):
        self.seconds = 0
        self.ending = False
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        last = time.monotonic()
        while not self.ending:
            time.sleep(self.STEP)
            now = time.monotonic()
            self.seconds += min(now - last, self.MOST)
            last = now

    def stop(self):
        self.ending = True
        return self.seconds


def let_in_late(seconds):
    """How many guesses more than the free ones may be let in within this time: before the first
    one is a second, and twice as much before each that follows."""
    return int(math.log2(seconds + 1))


class LoggingIn(chatting.Case):
    def test_in_and_out(self):
        server = self.start()
        self.member(server, "ann")
        guest = self.guest(server)
        reply = guest.Login(auth.LoginRequest(handle="ann", password=PASSWORD,
                                              client_name="a phone"))
        ann = Talker(guest.channel, reply.token)
        self.assertEqual(reply.session.client_name, "a phone")
        self.assertTrue(reply.session.peer.startswith("ipv4:127.0.0.1:"))
        self.assertEqual(ann.GetMe(user.GetMeRequest()).user, reply.user)
        ann.Logout(auth.LogoutRequest())
        self.fails(grpc.StatusCode.UNAUTHENTICATED, ann.GetMe, user.GetMeRequest())
        self.fails(grpc.StatusCode.UNAUTHENTICATED, ann.Logout, auth.LogoutRequest())

    def test_tokens_outlive_a_restart(self):
        folder = self.folder()
        server = self.start(folder=folder)
        token = self.member(server, "ann").token
        server.stop()
        again = Talker(self.connect(self.start(folder=folder).address), token)
        self.assertEqual(again.GetMe(user.GetMeRequest()).user.handle, "ann")

    def test_wrong_password_and_nobody_are_the_same(self):
        server = self.start()
        self.member(server, "ann")
        guest = self.guest(server)
        took = {"ann": [], "nobody": []}
        texts = set()
        for handle in ("ann", "nobody") * 4:
            began = server.cpu()
            error = self.refused("UNAUTHENTICATED", "WRONG_CREDENTIALS", guest.Login,
                                 auth.LoginRequest(handle=handle, password="wrong password"))
            took[handle].append(server.cpu() - began)
            texts.add(error.details())
        self.assertEqual(len(texts), 1)
        # Both compare a hash of some 30 ms; an answer without would take less than one.
        best = [min(times) for times in took.values()]
        self.assertLess(max(best), 4 * min(best), took)

    def guess(self, guest, free, names):
        """Guesses until one has to wait; its error, when it was sent, and how long it may have to
        wait at most. That is the one after the free ones, unless it came when its time was over:
        the next has twice that much."""
        sent, most = [], 0
        for name in names:
            sent.append(time.monotonic())
            error = self.fails_somehow(guest, name)
            reason = chatting.reason_of(error)
            most = 2 ** (len(sent) - free - 1)
            if reason == "TOO_MANY_TRIES":
                break
            self.assertEqual(reason, "WRONG_CREDENTIALS")
            if len(sent) > free:
                self.assertGreaterEqual(time.monotonic() - sent[-2], most)
        self.assertGreater(len(sent), free)
        return error, sent[-1], most

    def test_guessing_is_slowed_down(self):
        server = self.start()
        self.member(server, "ann")
        guest = self.guest(server)
        right = auth.LoginRequest(handle="ann", password=PASSWORD)
        waited = False
        while not waited:
            error, asked, most = self.guess(guest, 5, ["ann"] * 100)
            delay, = details_of_retry(error)
            self.assertTrue(0 < delay <= most, delay)
            # The right one has to wait, too; afterwards it is let in, and all is forgiven.
            try:
                guest.Login(right)
                self.assertGreaterEqual(time.monotonic() - asked, delay)  # it came too late
            except grpc.RpcError as refused:
                self.assertEqual(chatting.reason_of(refused), "TOO_MANY_TRIES")
                time.sleep(delay + 0.05)
                guest.Login(right)
                waited = True
        self.refused("UNAUTHENTICATED", "WRONG_CREDENTIALS", guest.Login,
                     auth.LoginRequest(handle="ann", password="wrong password"))

    def test_guessing_many_names_from_one_address(self):
        guest = self.guest(self.start())
        self.guess(guest, 20, [f"name{i}" for i in range(100)])

    def fails_somehow(self, guest, handle):
        with self.assertRaises(grpc.RpcError) as caught:
            guest.Login(auth.LoginRequest(handle=handle, password="wrong password"))
        return caught.exception

    def test_many_at_once_gain_nothing(self):
        guest = self.guest(self.start())
        reasons = []

        def guess():
            reasons.append(chatting.reason_of(self.fails_somehow(guest, "ann")))
        threads = [threading.Thread(target=guess) for _ in range(16)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        compared = reasons.count("WRONG_CREDENTIALS")
        self.assertEqual(reasons.count("TOO_MANY_TRIES"), 16 - compared, reasons)
        self.assertTrue(5 <= compared <= 5 + let_in_late(time.monotonic() - began), reasons)

    def test_a_repeated_login_replaces_its_session(self):
        server = self.start()
        ann = self.member(server, "ann")
        request = auth.LoginRequest(handle="ann", password=PASSWORD, request_id=fresh())
        first = self.guest(server).Login(request)
        second = self.guest(server).Login(request)
        self.fails(grpc.StatusCode.UNAUTHENTICATED, Talker(ann.channel, first.token).GetMe,
                   user.GetMeRequest())
        ids = {s.id for s in ann.ListSessions(auth.ListSessionsRequest()).sessions}
        self.assertEqual(ids, {ann.session.id, second.session.id})

    def test_log_ins_do_not_slow_the_chat(self):
        """With the threads for passwords full, and the queue too, others are told so at once,
        and a message is as fast as ever: it waits for none of them."""
        server = self.start("--password-threads", "1")
        ann = self.member(server, "ann")
        hall = ann.make_room("hall")

        def account(i):
            return ann.stubs[0].Register.future(auth.RegisterRequest(
                handle=f"new{i}", password=PASSWORD, request_id=fresh()), timeout=chatting.TIMEOUT)
        # More than may wait, so that the thread is at work for seconds. Of both kinds some are
        # far behind.
        guesses, accounts = [], []
        for i in range(20):
            accounts += [account(3 * i + n) for n in range(3)]
            guesses.append(auth_future(ann, f"name{i}"))
        ann.say(hall.id, "meanwhile")
        for futures in (guesses, accounts):  # the ends of the last ones may still be on their way
            self.assertFalse(all(f.done() for f in futures[:-4]))
        for future in guesses:
            self.assertIsNotNone(future.exception())
        for future in accounts:
            self.assertIn(future.code(), (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE))


def auth_future(talker, handle):
    return talker.stubs[0].Login.future(
        auth.LoginRequest(handle=handle, password="wrong password"), timeout=chatting.TIMEOUT)


def details_of_retry(error):
    return [d.retry_delay.seconds + d.retry_delay.nanos / 1e9
            for d in chatting.details_of(error, details.RetryInfo)]


class Sessions(chatting.Case):
    def login(self, server, handle="ann"):
        guest = self.guest(server)
        reply = guest.Login(auth.LoginRequest(handle=handle, password=PASSWORD))
        talker = Talker(guest.channel, reply.token)
        talker.session = reply.session
        return talker

    def test_list_and_revoke(self):
        server = self.start()
        first = self.member(server, "ann")
        second, third = self.login(server), self.login(server)
        listed = first.ListSessions(auth.ListSessionsRequest()).sessions
        self.assertEqual([s.id for s in listed],
                         [third.session.id, second.session.id, first.session.id])
        self.assertEqual([s.current for s in listed], [False, False, True])
        page = first.ListSessions(auth.ListSessionsRequest(page_size=2))
        self.assertEqual([s.id for s in page.sessions], [third.session.id, second.session.id])
        page = first.ListSessions(auth.ListSessionsRequest(page_size=2,
                                                           page_token=page.next_page_token))
        self.assertEqual([s.id for s in page.sessions], [first.session.id])
        self.assertEqual(page.next_page_token, "")

        revoke = auth.RevokeSessionRequest(session_id=second.session.id)
        self.assertEqual(first.RevokeSession(revoke).revoked, 1)
        self.assertEqual(first.RevokeSession(revoke).revoked, 0)
        self.fails(grpc.StatusCode.UNAUTHENTICATED, second.GetMe, user.GetMeRequest())
        third.GetMe(user.GetMeRequest())
        self.assertEqual(first.RevokeSession(auth.RevokeSessionRequest(all_others=True)).revoked, 1)
        self.fails(grpc.StatusCode.UNAUTHENTICATED, third.GetMe, user.GetMeRequest())
        self.wrong(["which"], first.RevokeSession, auth.RevokeSessionRequest())

    def test_nobody_revokes_others_sessions(self):
        server = self.start()
        ann, bob = self.member(server, "ann"), self.member(server, "bob")
        reply = bob.RevokeSession(auth.RevokeSessionRequest(session_id=ann.session.id))
        self.assertEqual(reply.revoked, 0)
        ann.GetMe(user.GetMeRequest())

    def test_streams_of_a_revoked_session_end_within_a_second(self):
        server = self.start("--loops", "2")
        ann = self.member(server, "ann")
        hall = ann.make_room("hall")
        others = [self.login(server) for _ in range(4)]
        streams = []
        for other in others:
            streams.append(Listener(other.Subscribe(chat.SubscribeRequest(all_rooms=True))))
            feed = chatting.harness.Feed(chat.ChatRequest(subscribe=chat.SubscribeRequest(
                rooms=[chat.Position(room_id=hall.id)])))
            streams.append(Listener(other.Chat(feed)))
        own = Listener(ann.Subscribe(chat.SubscribeRequest(all_rooms=True)))
        for stream in [*streams, own]:
            stream.wait_for(len)
        running = Running()
        ann.RevokeSession(auth.RevokeSessionRequest(all_others=True))
        for stream in streams:
            self.assertEqual(stream.wait_end().code(), grpc.StatusCode.UNAUTHENTICATED)
            self.assertEqual(chatting.reason_of(stream.error), "SESSION_ENDED")
        self.assertLess(running.stop(), 1)
        ann.say(hall.id, "still here")
        own.wait_for(lambda items: any(i.WhichOneof("what") == "message" for i in items))
        own.cancel()

    def test_at_most_a_hundred(self):
        server = self.start("--password-threads", "2")
        first = self.member(server, "ann")
        last = None
        for _ in range(5):  # 20 fit into the tries of an address, and into the pool's queue
            futures = [first.stubs[0].Login.future(
                auth.LoginRequest(handle="ann", password=PASSWORD), timeout=chatting.TIMEOUT)
                for _ in range(4)]
            for future in futures:
                last = future.result().token
        for _ in range(80):
            last = first.Login(auth.LoginRequest(handle="ann", password=PASSWORD)).token
        # The one that was used least lately has made room.
        self.fails(grpc.StatusCode.UNAUTHENTICATED, first.GetMe, user.GetMeRequest())
        last = Talker(first.channel, last)
        self.assertEqual(len(last.ListSessions(auth.ListSessionsRequest()).sessions), 100)


class Passwords(chatting.Case):
    def test_change(self):
        server = self.start()
        ann = self.member(server, "ann")
        other = self.guest(server).Login(auth.LoginRequest(handle="ann", password=PASSWORD))
        self.refused("PERMISSION_DENIED", "WRONG_CREDENTIALS", ann.ChangePassword,
                     auth.ChangePasswordRequest(old_password="wrong", new_password="new password"))
        self.wrong(["new_password"], ann.ChangePassword,
                   auth.ChangePasswordRequest(old_password=PASSWORD, new_password="short"))
        ann.ChangePassword(auth.ChangePasswordRequest(old_password=PASSWORD,
                                                      new_password="new password"))
        ann.GetMe(user.GetMeRequest())
        self.fails(grpc.StatusCode.UNAUTHENTICATED, Talker(ann.channel, other.token).GetMe,
                   user.GetMeRequest())
        guest = self.guest(server)
        self.refused("UNAUTHENTICATED", "WRONG_CREDENTIALS", guest.Login,
                     auth.LoginRequest(handle="ann", password=PASSWORD))
        guest.Login(auth.LoginRequest(handle="ann", password="new password"))

    def test_reset_by_a_code(self):
        server = self.start()
        owner, ann = self.owner(server), self.member(server, "ann")
        guest = self.guest(server)
        code = owner.CreateResetCode(auth.CreateResetCodeRequest(user_id=ann.user.id)).code
        newer = owner.CreateResetCode(auth.CreateResetCodeRequest(user_id=ann.user.id)).code

        def reset(code, handle="ann"):
            return auth.ResetPasswordRequest(handle=handle, code=code, new_password="new password")
        self.refused("UNAUTHENTICATED", "WRONG_CREDENTIALS", guest.ResetPassword, reset(code))
        self.refused("UNAUTHENTICATED", "WRONG_CREDENTIALS", guest.ResetPassword,
                     reset(newer, "owner"))
        guest.ResetPassword(reset(newer.upper().replace("-", " ")))
        self.refused("UNAUTHENTICATED", "WRONG_CREDENTIALS", guest.ResetPassword, reset(newer))
        self.fails(grpc.StatusCode.UNAUTHENTICATED, ann.GetMe, user.GetMeRequest())
        guest.Login(auth.LoginRequest(handle="ann", password="new password"))

    def test_who_may_make_codes(self):
        server = self.start()
        owner, ann = self.owner(server), self.member(server, "ann")
        admin = self.member(server, "admin")
        owner.UpdateUser(user.UpdateUserRequest(
            user=user.User(id=admin.user.id, role=user.ROLE_ADMIN),
            update_mask={"paths": ["role"]}))

        def code(who):
            return auth.CreateResetCodeRequest(user_id=who.user.id)
        admin.CreateResetCode(code(ann))
        admin.CreateResetCode(code(admin))
        owner.CreateResetCode(code(admin))
        owner.CreateResetCode(code(owner))
        self.refused("PERMISSION_DENIED", "ROLE", admin.CreateResetCode, code(owner))
        self.fails(grpc.StatusCode.PERMISSION_DENIED, ann.CreateResetCode, code(ann))
        self.refused("NOT_FOUND", "NO_USER", owner.CreateResetCode,
                     auth.CreateResetCodeRequest(user_id=99))


class Secrets(chatting.Case):
    def test_none_is_in_the_logs_or_the_files(self):
        """Neither passwords nor tokens nor codes, whatever happens to those who have them."""
        server = self.start("--lobby", "--reflection")
        owner, ann = self.owner(server), self.member(server, "ann")
        secrets = [PASSWORD, "wrong password", "new password", owner.token, ann.token]
        code = owner.CreateResetCode(auth.CreateResetCodeRequest(user_id=ann.user.id)).code
        guest = self.guest(server)
        for handle in ("ann", "nobody"):
            self.fails(grpc.StatusCode.UNAUTHENTICATED, guest.Login,
                       auth.LoginRequest(handle=handle, password="wrong password"))
        self.fails(grpc.StatusCode.UNAUTHENTICATED, Talker(guest.channel, "x" * 43).GetMe,
                   user.GetMeRequest())
        guest.ResetPassword(auth.ResetPasswordRequest(handle="ann", code=code,
                                                      new_password="new password"))
        token = guest.Login(auth.LoginRequest(handle="ann", password="new password")).token
        secrets += [code, code.replace("-", ""), token]
        errors = server.stop()
        log = "\n".join(server.lines) + errors
        self.assertIn("/chat.v1.AuthService/Login UNAUTHENTICATED", log)
        for secret in secrets:
            self.assertNotIn(secret, log)
        self.assertEqual(log.count(server.token), 2)  # the one that is meant to be read
        for secret in [*secrets, server.token]:
            self.assert_not_in_files(server.folder, secret.encode())

    def assert_not_in_files(self, folder, secret):
        import os
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            self.assertEqual(os.stat(path).st_mode & 0o077, 0, name)
            with open(path, "rb") as file:
                self.assertNotIn(secret, file.read(), name)


class People(chatting.Case):
    def update(self, talker, *paths, **fields):
        return talker.UpdateUser(user.UpdateUserRequest(
            user=user.User(**fields), update_mask={"paths": paths})).user

    def test_profiles(self):
        server = self.start()
        ann = self.member(server, "ann")
        changed = self.update(ann, "display_name", "status_text", "bio", "avatar_url",
                              display_name="Ann Lee", status_text="at lunch", bio="one\ntwo",
                              avatar_url="https://example.org/a.png")
        self.assertEqual((changed.display_name, changed.status_text, changed.bio,
                          changed.avatar_url),
                         ("Ann Lee", "at lunch", "one\ntwo", "https://example.org/a.png"))
        # Fields that the mask does not name stay; those that it names and are empty go.
        changed = self.update(ann, "status_text", display_name="not this")
        self.assertEqual((changed.display_name, changed.status_text), ("Ann Lee", ""))
        self.assertGreater(changed.updated_at.ToMicroseconds(), changed.created_at.ToMicroseconds())
        bob = self.member(server, "bob")
        for who in (dict(user_id=ann.user.id), dict(handle="ann")):
            self.assertEqual(bob.GetUser(user.GetUserRequest(**who)).user, changed)
        self.refused("NOT_FOUND", "NO_USER", bob.GetUser, user.GetUserRequest(user_id=99))
        self.refused("NOT_FOUND", "NO_USER", bob.GetUser, user.GetUserRequest(handle="nobody"))
        self.wrong(["who"], bob.GetUser, user.GetUserRequest())

        def request(*paths, **fields):
            return user.UpdateUserRequest(user=user.User(**fields), update_mask={"paths": paths})
        self.wrong(["update_mask"], ann.UpdateUser, request())
        self.wrong(["update_mask"], ann.UpdateUser, request("handle", handle="new"))
        self.wrong(["update_mask"], ann.UpdateUser, request("nonsense"))
        self.wrong(["user.avatar_url"], ann.UpdateUser,
                   request("avatar_url", avatar_url="javascript:alert(1)"))
        self.wrong(["user.bio", "user.status_text"], ann.UpdateUser,
                   request("bio", "status_text", bio="\x07", status_text="x" * 101))
        self.refused("PERMISSION_DENIED", "ROLE", bob.UpdateUser,
                     request("bio", id=ann.user.id, bio="x"))

    def test_lists_and_search(self):
        server = self.start()
        names = ["ann", "anton", "berta", "carla.anna"]
        ann, *_ = [self.member(server, n, display_name=d) for n, d in
                   zip(names, ["Ann Lee", "\u00c4nton Gr\u00f6\u00dfe", "Berta Anders", "Carla"])]

        def walk(method, request):
            found = []
            while True:
                page = method(request)
                self.assertLessEqual(len(page.users), 2)
                found += [u.handle for u in page.users]
                if not page.next_page_token:
                    return found
                request.page_token = page.next_page_token
        self.assertEqual(walk(ann.ListUsers, user.ListUsersRequest(page_size=2)), names)
        search = {"an": ["ann", "anton", "berta"], "AND": ["berta"], "lee": ["ann"],
                  "GRÖSSE": ["anton"], "änt": ["anton"], "carla": ["carla.anna"], "x": [],
                  "b": ["berta"]}
        for prefix, found in search.items():
            self.assertEqual(walk(ann.SearchUsers, user.SearchUsersRequest(
                prefix=prefix, page_size=2)), found, prefix)
        self.wrong(["prefix"], ann.SearchUsers, user.SearchUsersRequest())
        self.wrong(["page_token"], ann.ListUsers, user.ListUsersRequest(page_token="!"))
        self.wrong(["page_token"], ann.ListUsers, user.ListUsersRequest(page_token="YWJj"))
        self.wrong(["page_size"], ann.ListUsers, user.ListUsersRequest(page_size=-1))

    def test_making_users(self):
        server = self.start()
        owner = self.owner(server)
        request = user.CreateUserRequest(user=user.User(handle="ann", bio="hello",
                                                        role=user.ROLE_GUEST), request_id=fresh())
        made = owner.CreateUser(request).user
        self.assertEqual((made.handle, made.bio, made.role), ("ann", "hello", user.ROLE_GUEST))
        self.assertEqual(owner.CreateUser(request).user, made)
        request.user.bio = "other"
        self.refused("ALREADY_EXISTS", "REQUEST_ID_USED", owner.CreateUser, request)
        request.request_id = fresh()
        self.refused("ALREADY_EXISTS", "HANDLE_TAKEN", owner.CreateUser, request)
        # Nobody can log in without a password, whatever is tried.
        self.refused("UNAUTHENTICATED", "WRONG_CREDENTIALS", self.guest(server).Login,
                     auth.LoginRequest(handle="ann", password=""))
        # What failed may be tried again with the same id.
        request.user.handle = "ann2"
        request.request_id = fresh()
        owner.CreateUser(request)
        request.user.role = user.ROLE_OWNER
        self.wrong(["user.role"], owner.CreateUser, request)

    def test_roles_and_states(self):
        server = self.start()
        owner = self.owner(server)
        admin, ann, bob = [self.member(server, n) for n in ("admin", "ann", "bob")]
        self.update(owner, "role", id=admin.user.id, role=user.ROLE_ADMIN)
        self.assertEqual(admin.GetMe(user.GetMeRequest()).user.role, user.ROLE_ADMIN)
        self.assertEqual(self.update(admin, "role", id=ann.user.id, role=user.ROLE_GUEST).role,
                         user.ROLE_GUEST)
        self.fails(grpc.StatusCode.PERMISSION_DENIED, ann.ListUsers, user.ListUsersRequest())

        def request(path, who, **fields):
            return user.UpdateUserRequest(user=user.User(id=who.user.id, **fields),
                                          update_mask={"paths": [path]})
        for talker, update in [
                (admin, request("role", ann, role=user.ROLE_ADMIN)),
                (admin, request("role", admin, role=user.ROLE_OWNER)),
                (admin, request("role", owner, role=user.ROLE_MEMBER)),
                (admin, request("state", owner, state=user.USER_STATE_SUSPENDED)),
                (bob, request("role", bob, role=user.ROLE_ADMIN)),
                (bob, request("state", ann, state=user.USER_STATE_SUSPENDED))]:
            self.refused("PERMISSION_DENIED", "ROLE", talker.UpdateUser, update)
        for update in (request("role", owner, role=user.ROLE_MEMBER),
                       request("state", owner, state=user.USER_STATE_SUSPENDED)):
            self.refused("FAILED_PRECONDITION", "LAST_OWNER", owner.UpdateUser, update)
        self.refused("FAILED_PRECONDITION", "LAST_OWNER", owner.DeleteUser,
                     user.DeleteUserRequest(user_id=owner.user.id))
        self.wrong(["user.state"], owner.UpdateUser,
                   request("state", bob, state=user.USER_STATE_DELETED))
        self.wrong(["user.role"], owner.UpdateUser, request("role", bob, role=0))

        # A suspended account loses its sessions at once, and cannot log in.
        stream = Listener(bob.Subscribe(chat.SubscribeRequest(all_rooms=True)))
        bob.make_room("hall")
        stream.wait_for(len)
        self.update(admin, "state", id=bob.user.id, state=user.USER_STATE_SUSPENDED)
        self.assertEqual(stream.wait_end().code(), grpc.StatusCode.UNAUTHENTICATED)
        self.fails(grpc.StatusCode.UNAUTHENTICATED, bob.GetMe, user.GetMeRequest())
        login = auth.LoginRequest(handle="bob", password=PASSWORD)
        self.refused("PERMISSION_DENIED", "SUSPENDED", self.guest(server).Login, login)
        self.update(admin, "state", id=bob.user.id, state=user.USER_STATE_ACTIVE)
        self.guest(server).Login(login)

    def test_an_owner_may_make_another_and_go(self):
        server = self.start()
        owner, ann = self.owner(server), self.member(server, "ann")
        self.update(owner, "role", id=ann.user.id, role=user.ROLE_OWNER)
        self.update(owner, "role", role=user.ROLE_MEMBER)
        self.fails(grpc.StatusCode.PERMISSION_DENIED, owner.CreateUser, user.CreateUserRequest())

    def test_deleting(self):
        server = self.start()
        owner, ann, bob = (self.owner(server), self.member(server, "ann"),
                           self.member(server, "bob"))
        hall = ann.make_room("hall")
        bob.JoinRoom(chatting.room.JoinRoomRequest(room_id=hall.id))
        bob.say(hall.id, "I was here")
        self.refused("PERMISSION_DENIED", "ROLE", ann.DeleteUser,
                     user.DeleteUserRequest(user_id=bob.user.id))
        bob.DeleteUser(user.DeleteUserRequest(user_id=bob.user.id))
        self.fails(grpc.StatusCode.UNAUTHENTICATED, bob.GetMe, user.GetMeRequest())
        gone = ann.GetUser(user.GetUserRequest(user_id=bob.user.id)).user
        self.assertEqual(gone, user.User(id=bob.user.id, state=user.USER_STATE_DELETED))
        message, = ann.GetMessages(chat.GetMessagesRequest(room_id=hall.id)).messages
        self.assertEqual((message.author_id, message.text), (bob.user.id, "I was here"))
        self.assertEqual(ann.GetRoom(chatting.room.GetRoomRequest(
            room_id=hall.id)).view.room.member_count, 1)
        self.assertEqual([u.handle for u in ann.ListUsers(user.ListUsersRequest()).users],
                         ["owner", "ann"])
        owner.DeleteUser(user.DeleteUserRequest(user_id=bob.user.id))  # deleted already
        owner.DeleteUser(user.DeleteUserRequest(user_id=ann.user.id))
        self.refused("ALREADY_EXISTS", "HANDLE_TAKEN", self.guest(server).Register,
                     auth.RegisterRequest(handle="bob", password=PASSWORD, request_id=fresh()))
        self.refused("NOT_FOUND", "NO_USER", owner.DeleteUser, user.DeleteUserRequest(user_id=99))
        self.refused("NOT_FOUND", "NO_USER", owner.UpdateUser, user.UpdateUserRequest(
            user=user.User(id=bob.user.id, bio="x"), update_mask={"paths": ["bio"]}))


if __name__ == "__main__":
    chatting.main()
