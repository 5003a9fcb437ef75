"""Our channelz service, asked by Python's gRPC with gRPC's own .proto file."""
import ipaddress
import re
import time

import harness
from harness import grpc

import official_channelz_v1_channelz_pb2 as z
import official_channelz_v1_channelz_pb2_grpc as z_grpc

READY = z.ChannelConnectivityState.READY


class Channelz(harness.Case):
    def setUp(self):
        self.began = time.time()
        self.server = self.serve("peer-services", "channelz")
        self.channel = self.connect(self.server.address)
        self.stub = z_grpc.ChannelzStub(self.channel)

    def ask(self, method, **kwargs):
        request = getattr(z, f"{method}Request")(**kwargs)
        return getattr(self.stub, method)(request, timeout=harness.TIMEOUT)

    def recent(self, stamp):
        at = stamp.ToNanoseconds() / 1e9
        self.assertTrue(self.began - 1 <= at <= time.time() + 1, (self.began, at))

    def only_server(self):
        answer = self.ask("GetServers")
        self.assertTrue(answer.end)
        self.assertEqual(len(answer.server), 1)
        return answer.server[0]

    def test_a_server(self):
        first = self.only_server()
        self.assertEqual((first.data.calls_started, first.data.calls_succeeded), (1, 0))
        self.fails(grpc.StatusCode.UNIMPLEMENTED, self.channel.unary_unary("/x.Y/Z"), b"")
        server = self.ask("GetServer", server_id=first.ref.server_id).server
        self.assertEqual(server.ref, first.ref)
        self.assertGreater(server.ref.server_id, 0)
        self.assertEqual((server.data.calls_started, server.data.calls_succeeded,
                          server.data.calls_failed), (3, 1, 1))
        self.recent(server.data.last_call_started_timestamp)
        self.assertEqual([s.name for s in server.listen_socket], [self.server.address])
        listener = self.ask("GetSocket", socket_id=server.listen_socket[0].socket_id).socket
        host, port = self.server.address.rsplit(":", 1)
        self.assertEqual(listener.local.tcpip_address.ip_address,
                         ipaddress.ip_address(host).packed)
        self.assertEqual(listener.local.tcpip_address.port, int(port))
        self.assertFalse(listener.HasField("remote"))

    def test_its_sockets(self):
        server = self.only_server()
        other = self.connect(self.server.address)
        grpc.channel_ready_future(other).result(harness.TIMEOUT)
        sockets = self.ask("GetServerSockets", server_id=server.ref.server_id)
        self.assertTrue(sockets.end)
        self.assertEqual(len(sockets.socket_ref), 2)
        mine = self.ask("GetSocket", socket_id=sockets.socket_ref[0].socket_id).socket
        self.assertEqual(mine.ref, sockets.socket_ref[0])
        self.assertEqual(mine.data.streams_started, 3)
        self.assertEqual(mine.data.streams_succeeded, 2)
        self.assertEqual(mine.data.streams_failed, 0)
        self.assertEqual((mine.data.messages_received, mine.data.messages_sent), (3, 2))
        self.assertFalse(mine.data.HasField("last_local_stream_created_timestamp"))
        for name in ("remote_stream_created", "message_sent", "message_received"):
            self.recent(getattr(mine.data, f"last_{name}_timestamp"))
        self.assertEqual(mine.local.tcpip_address.port, int(self.server.address.rsplit(":", 1)[1]))
        self.assertEqual(mine.ref.name, f"ipv4:127.0.0.1:{mine.remote.tcpip_address.port}")
        if harness.TLS:
            self.assertRegex(mine.security.tls.standard_name, r"^TLS_")
        else:
            self.assertFalse(mine.HasField("security"))
        other.close()
        until = time.time() + harness.TIMEOUT
        while len(self.ask("GetServerSockets", server_id=server.ref.server_id).socket_ref) > 1:
            self.assertLess(time.time(), until)
        gone = sockets.socket_ref[1].socket_id
        error = self.fails(grpc.StatusCode.NOT_FOUND, self.stub.GetSocket,
                           z.GetSocketRequest(socket_id=gone))
        self.assertEqual(error.details(), f"there is no socket {gone}")

    def test_a_channel(self):
        self.assertEqual((len(self.ask("GetTopChannels").channel), self.ask("GetTopChannels").end),
                         (0, True))
        self.server.send("call 5")
        self.server.wait_line("^did call 5$")
        answer = self.ask("GetTopChannels")
        self.assertTrue(answer.end)
        channel, = answer.channel
        self.assertEqual(channel.data.state.state, READY)
        self.assertEqual(channel.data.target, self.server.address)
        self.assertEqual((channel.data.calls_started, channel.data.calls_succeeded,
                          channel.data.calls_failed), (5, 5, 0))
        self.recent(channel.data.last_call_started_timestamp)
        same = self.ask("GetChannel", channel_id=channel.ref.channel_id).channel
        for each in (same, channel):  # of two clocks, read one after the other
            each.data.ClearField("last_call_started_timestamp")
        self.assertEqual(same, channel)
        ref, = channel.subchannel_ref
        below = self.ask("GetSubchannel", subchannel_id=ref.subchannel_id).subchannel
        self.assertEqual((below.data.calls_started, below.data.calls_succeeded), (5, 5))
        socket = self.ask("GetSocket", socket_id=below.socket_ref[0].socket_id).socket
        self.assertEqual(socket.data.streams_started, 5)
        self.assertEqual(socket.data.streams_succeeded, 5)
        self.assertEqual((socket.data.messages_sent, socket.data.messages_received), (5, 5))
        self.assertFalse(socket.data.HasField("last_remote_stream_created_timestamp"))
        self.recent(socket.data.last_local_stream_created_timestamp)

    def test_keepalives(self):
        server = self.serve("greeter-server", "--listen", "127.0.0.1:0", "--channelz",
                            "--keepalive-time", "1")
        self.stub = z_grpc.ChannelzStub(self.connect(server.address))
        ref = self.only_server().ref.server_id
        idle = self.connect(server.address)
        grpc.channel_ready_future(idle).result(harness.TIMEOUT)
        socket = self.ask("GetServerSockets", server_id=ref).socket_ref[1].socket_id
        until = time.time() + harness.TIMEOUT
        while not self.ask("GetSocket", socket_id=socket).socket.data.keep_alives_sent:
            self.assertLess(time.time(), until)
            time.sleep(0.1)

    def test_pages(self):
        server = self.only_server().ref.server_id
        others = [self.connect(self.server.address) for _ in range(6)]
        for channel in others:
            grpc.channel_ready_future(channel).result(harness.TIMEOUT)
        seen, start = [], 0
        while True:
            page = self.ask("GetServerSockets", server_id=server, start_socket_id=start,
                            max_results=3)
            seen += [s.socket_id for s in page.socket_ref]
            if page.end:
                break
            self.assertEqual(len(page.socket_ref), 3)
            start = seen[-1] + 1
        self.assertEqual(len(seen), 7)
        self.assertEqual(seen, sorted(set(seen)))

    def test_wrong_questions(self):
        for method, field in (("GetServer", "server_id"), ("GetChannel", "channel_id"),
                              ("GetSubchannel", "subchannel_id"), ("GetSocket", "socket_id")):
            request = getattr(z, f"{method}Request")(**{field: 1 << 60})
            error = self.fails(grpc.StatusCode.NOT_FOUND, getattr(self.stub, method), request)
            self.assertTrue(re.match(r"there is no \w+ \d+$", error.details()), error.details())
        for request in (z.GetServersRequest(max_results=-1), z.GetServersRequest(start_server_id=-1)):
            self.fails(grpc.StatusCode.INVALID_ARGUMENT, self.stub.GetServers, request)


if __name__ == "__main__":
    harness.main()
