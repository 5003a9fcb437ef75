// The whole API of chatd with the official gRPC for Node, as its users would write it:
//   api.js ADDRESS PROTOS OWNER_TOKEN
// Calls every method, checks what comes back, and prints the names of the methods that it
// called, sorted; ends with 1 at the first thing that is not as it should be.
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, protos, ownerToken] = process.argv.slice(2);
const MESSAGES = 1000;
const called = new Set();

const types = grpc.loadPackageDefinition(loader.loadSync(
  ['auth', 'user', 'room', 'chat'].map((name) => `chat/v1/${name}.proto`),
  { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true,
    oneofs: true })).chat.v1;
const stubs = ['AuthService', 'UserService', 'RoomService', 'ChatService'].map(
  (name) => new types[name](address, grpc.credentials.createInsecure()));
const fresh = () => crypto.randomBytes(16).toString('hex');

// Somebody who calls: talker.GetMe({}) for one reply, talker.open('Subscribe', {}) for streams.
class Talker {
  constructor(token) {
    this.metadata = new grpc.Metadata();
    if (token) this.metadata.set('authorization', `Bearer ${token}`);
    for (const stub of stubs) {
      for (const name of Object.keys(Object.getPrototypeOf(stub))) {
        if (!/^[A-Z]/.test(name)) continue;
        const method = Object.getPrototypeOf(stub)[name];
        if (method.requestStream || method.responseStream) continue;
        this[name] = (request) => new Promise((resolve, reject) => {
          called.add(name);
          stub[name](request, this.metadata, { deadline: Date.now() + 60000 },
            (error, reply) => (error ? reject(error) : resolve(reply)));
        });
      }
    }
  }

  open(name, request) {
    called.add(name);
    const stub = stubs.find((s) => s[name]);
    return request ? stub[name](request, this.metadata) : stub[name](this.metadata);
  }
}

async function refused(code, promise) {
  const error = await promise.then(() => assert.fail('it was let in'), (e) => e);
  assert.strictEqual(error.code, grpc.status[code], error.message);
  return error;
}

// Until `enough(items)`, the items of a stream.
function collect(stream, enough) {
  const items = [];
  return new Promise((resolve, reject) => {
    stream.on('data', (item) => {
      items.push(item);
      if (enough(items)) resolve(items);
    });
    stream.on('end', () => resolve(items));
    stream.on('error', reject);
  });
}

async function register(handle, more) {
  const reply = await new Talker().Register(
    { handle, password: 'a long password', request_id: fresh(), ...more });
  const talker = new Talker(reply.token);
  talker.user = reply.user;
  talker.session = reply.session;
  return talker;
}

async function accounts(owner, ann, bob) {
  assert.strictEqual(owner.user.role, 'ROLE_OWNER');
  assert.deepStrictEqual((await ann.GetMe({})).user, ann.user);
  const login = await new Talker().Login({ handle: 'ann', password: 'a long password' });
  const second = new Talker(login.token);
  assert.strictEqual((await ann.ListSessions({})).sessions.length, 2);
  assert.strictEqual((await ann.RevokeSession({ session_id: login.session.id })).revoked, 1);
  await refused('UNAUTHENTICATED', second.GetMe({}));
  await ann.ChangePassword({ old_password: 'a long password', new_password: 'a longer password' });
  const code = (await owner.CreateResetCode({ user_id: bob.user.id })).code;
  await new Talker().ResetPassword({ handle: 'bob', code, new_password: 'a new password' });
  await refused('UNAUTHENTICATED', bob.GetMe({}));
  const again = await new Talker().Login({ handle: 'bob', password: 'a new password' });
  Object.assign(bob, new Talker(again.token));
  const error = await refused('INVALID_ARGUMENT', new Talker().Register({}));
  assert.ok(error.metadata.get('grpc-status-details-bin')[0].includes('google.rpc.BadRequest'));
}

async function people(owner, ann) {
  const made = (await owner.CreateUser(
    { user: { handle: 'carla', role: 'ROLE_GUEST' }, request_id: fresh() })).user;
  assert.deepStrictEqual((await ann.GetUser({ handle: 'carla' })).user, made);
  assert.deepStrictEqual((await ann.ListUsers({})).users.map((u) => u.handle),
    ['owner', 'ann', 'bob', 'carla']);
  const { user } = await ann.UpdateUser(
    { user: { display_name: 'Ännchen Lee' }, update_mask: { paths: ['display_name'] } });
  assert.strictEqual(user.display_name, 'Ännchen Lee');
  assert.deepStrictEqual((await ann.SearchUsers({ prefix: 'LE' })).users, [user]);
  await owner.DeleteUser({ user_id: made.id });
  assert.strictEqual((await ann.GetUser({ user_id: made.id })).user.state, 'USER_STATE_DELETED');
}

async function rooms(ann, bob) {
  const { room } = await ann.CreateRoom({ room: { name: 'hall' }, request_id: fresh() });
  await bob.JoinRoom({ room_id: room.id });
  assert.strictEqual((await bob.GetRoom({ name: 'HALL' })).view.role, 'ROOM_ROLE_MEMBER');
  await ann.UpdateRoom({ room: { id: room.id, topic: 'all' }, update_mask: { paths: ['topic'] } });
  assert.strictEqual((await bob.BrowseRooms({})).rooms[0].topic, 'all');
  await ann.SetMemberRole({ room_id: room.id, user_id: bob.user.id, role: 'ROOM_ROLE_READER' });
  await refused('PERMISSION_DENIED',
    bob.Send({ room_id: room.id, client_message_id: fresh(), text: 'x' }));
  await ann.RemoveMember({ room_id: room.id, user_id: bob.user.id });
  await ann.BanMember({ room_id: room.id, user_id: bob.user.id, reason: 'a test' });
  await refused('PERMISSION_DENIED', bob.JoinRoom({ room_id: room.id }));
  await ann.UnbanMember({ room_id: room.id, user_id: bob.user.id });
  await ann.AddMember({ room_id: room.id, user_id: bob.user.id });
  await bob.LeaveRoom({ room_id: room.id });
  await bob.JoinRoom({ room_id: room.id });
  assert.deepStrictEqual((await ann.ListMembers({ room_id: room.id })).members
    .map((m) => m.user.handle), ['ann', 'bob']);
  const direct = (await bob.OpenDirect({ user_id: ann.user.id })).view;
  assert.strictEqual(direct.other.handle, 'ann');
  return room;
}

async function messages(ann, bob, room) {
  const listening = bob.open('Subscribe', { rooms: [{ room_id: room.id, after_number: 0 }] });
  const heard = collect(listening, (items) =>
    items.filter((i) => i.what === 'message').length === MESSAGES + 1);
  const first = { room_id: room.id, client_message_id: fresh(), text: 'hello, ünïcode \u{1F600}' };
  const sent = await ann.Send(first);
  assert.strictEqual(sent.number, 1);
  assert.deepStrictEqual(await ann.Send(first), { ...sent, duplicate: true });

  const chat = ann.open('Chat');
  const acks = collect(chat, (items) => items.length === MESSAGES);
  for (let i = 0; i < MESSAGES; i++)
    chat.write({ send: { room_id: room.id, client_message_id: `m${i}`, text: `message ${i}` } });
  chat.end();
  (await acks).forEach(({ ack }, i) => {
    assert.strictEqual(ack.client_message_id, `m${i}`);
    assert.strictEqual(ack.sent.number, i + 2);
  });
  const events = (await heard).filter((i) => i.what === 'message').map((i) => i.message);
  assert.deepStrictEqual(events.map((m) => m.number),
    Array.from({ length: MESSAGES + 1 }, (_, i) => i + 1));
  assert.strictEqual(events[0].text, first.text);
  listening.on('error', () => {});
  listening.cancel();

  const all = await collect(bob.open('ReadAll', { room_id: room.id }), () => false);
  assert.deepStrictEqual(all.map((i) => i.message), events);
  const page = await bob.GetMessages({ room_id: room.id, before_number: 11, page_size: 5 });
  assert.deepStrictEqual(page.messages, events.slice(5, 10));
  assert.strictEqual((await bob.CountMessages({ room_id: room.id })).count, MESSAGES + 1);
  assert.strictEqual((await bob.MarkRead({ room_id: room.id, number: 1000 })).read_number, 1000);
  const mine = (await bob.ListRooms({})).rooms.find((v) => v.room.id === room.id);
  assert.strictEqual(mine.unread_count, 1);
  await bob.SendTyping({ room_id: room.id });
}

async function main() {
  const owner = await register('owner', { owner_token: ownerToken });
  const ann = await register('ann');
  const bob = await register('bob');
  await accounts(owner, ann, bob);
  await people(owner, ann);
  await messages(ann, bob, await rooms(ann, bob));
  await ann.Logout({});
  await refused('UNAUTHENTICATED', ann.GetMe({}));
  console.log([...called].sort().join(' '));
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
