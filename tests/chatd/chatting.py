"""What the tests of chatd from outside share: the server with a folder of its own, and people
who talk to it with Python's gRPC."""
import os
import re
import sys
import threading
import time
import uuid

import harness
from harness import TIMEOUT, grpc

import chat.v1.auth_pb2 as auth
import chat.v1.auth_pb2_grpc as auth_stubs
import chat.v1.chat_pb2 as chat
import chat.v1.chat_pb2_grpc as chat_stubs
import chat.v1.room_pb2 as room
import chat.v1.room_pb2_grpc as room_stubs
import chat.v1.user_pb2 as user
import chat.v1.user_pb2_grpc as user_stubs
import caw.details_pb2 as details

PASSWORD = "correct horse"
DETAILS = "grpc-status-details-bin"
STREAM_TIMEOUT = 5 * TIMEOUT


def fresh():
    """An id for something that may be sent again."""
    return uuid.uuid4().hex


class Chatd(harness.Server):
    """A chatd on a folder; `token` makes an owner, when there is none."""

    def __init__(self, folder, *args, address="127.0.0.1:0", prefix=()):
        self.folder = folder
        # Server would look for the program by its name alone.
        harness.Child.__init__(self, *prefix, *harness.command(
            "chatd", "--listen", address, "--data", folder, *args))
        self.address = self.wait_line(r"^listening on (.+)$").group(1)
        self.token = None

    def cpu(self):
        """Seconds of the processor that it has had."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def owner_token(self):
        self.token = self.token or self.wait_line(r"^ {6}([\w-]{43})$").group(1)
        return self.token


class Talker:
    """The stubs of all services on one channel, without a token, or with one."""

    def __init__(self, channel, token=None):
        self.channel = channel
        self.token = token
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.stubs = [auth_stubs.AuthServiceStub(channel), user_stubs.UserServiceStub(channel),
                      room_stubs.RoomServiceStub(channel), chat_stubs.ChatServiceStub(channel)]

    def __getattr__(self, name):
        for stub in self.stubs:
            if hasattr(stub, name):
                method = getattr(stub, name)
                # Streams last as long as their tests, which have waits of their own.
                timeout = STREAM_TIMEOUT if name in ("Subscribe", "Chat", "ReadAll") else TIMEOUT
                return lambda *args, **kwargs: method(
                    *args, metadata=self.metadata,
                    timeout=kwargs.pop("timeout", timeout), **kwargs)
        raise AttributeError(name)

    def say(self, room_id, text, id=None):
        return self.Send(chat.SendRequest(room_id=room_id, text=text,
                                          client_message_id=id or fresh()))

    def make_room(self, name, **fields):
        return self.CreateRoom(room.CreateRoomRequest(
            room=room.Room(name=name, **fields), request_id=fresh())).room


class Listener:
    """What comes on a stream, read on a thread."""

    def __init__(self, call):
        self.call = call
        self.items = []
        self.error = None
        self.ended = False
        self.arrived = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for item in self.call:
                with self.arrived:
                    self.items.append(item)
                    self.arrived.notify_all()
        except grpc.RpcError as error:
            self.error = error
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()

    def wait_for(self, good):
        """Until good(items) is true; what it was."""
        end = time.monotonic() + TIMEOUT
        with self.arrived:
            while not (found := good(self.items)):
                if self.ended or not self.arrived.wait(max(0, end - time.monotonic())):
                    raise AssertionError(f"it did not come; ended: {self.ended}, {self.error}; "
                                         f"the last of {len(self.items)}: {self.items[-3:]}")
            return found

    def wait_begun(self):
        """Until the server listens on its behalf, which its headers say; itself."""
        self.call.initial_metadata()
        if self.call.done():
            raise AssertionError(f"it ended before: {self.wait_end()}")
        return self

    def wait_end(self):
        self.thread.join(TIMEOUT)
        if self.thread.is_alive():
            raise AssertionError("the stream does not end")
        return self.error

    def numbers(self):
        return [i.message.number for i in self.items if i.WhichOneof("what") == "message"]

    def cancel(self):
        self.call.cancel()
        self.thread.join(TIMEOUT)


def details_of(error, kind):
    """The details of one kind that an error has."""
    wanted = "type.googleapis.com/google.rpc." + kind.DESCRIPTOR.name
    return [kind.FromString(detail.value)
            for key, value in error.trailing_metadata() or () if key == DETAILS
            for detail in details.Status.FromString(value).details if detail.type_url == wanted]


def reason_of(error):
    infos = details_of(error, details.ErrorInfo)
    return infos[0].reason if infos else None


class Case(harness.Case):
    def start(self, *args, folder=None, **kwargs):
        """A chatd, and an owner who is logged in."""
        server = Chatd(folder or self.folder(), *args, **kwargs)
        self.addCleanup(lambda: None if server.checked else server.stop())
        return server

    def guest(self, server):
        """Somebody without a token."""
        return Talker(self.connect(server.address))

    def member(self, server, handle, **fields):
        talker = self.guest(server)
        reply = talker.Register(auth.RegisterRequest(handle=handle, password=PASSWORD,
                                                     request_id=fresh(), **fields))
        talker = Talker(talker.channel, reply.token)
        talker.user, talker.session = reply.user, reply.session
        return talker

    def owner(self, server, handle="owner"):
        return self.member(server, handle, owner_token=server.owner_token())

    def refused(self, code, reason, fn, *args):
        """The error of a call that must end so."""
        error = self.fails(getattr(grpc.StatusCode, code), fn, *args)
        self.assertEqual(reason_of(error), reason, error.details())
        return error

    def wrong(self, fields, fn, *args):
        """INVALID_ARGUMENT that names exactly these fields."""
        error = self.fails(grpc.StatusCode.INVALID_ARGUMENT, fn, *args)
        named = [v.field for bad in details_of(error, details.BadRequest)
                 for v in bad.field_violations]
        self.assertEqual(named, list(fields), error.details())
        return error


def main():
    harness.main()
