// The TestService with @grpc/grpc-js, and a client with the cases of gRPC's
// interoperability tests, for our programs to be tested with.
//
//   node peer.js server [AGE]     says where it listens; ends when it is killed. After
//                                 AGE ms it asks each connection to go (GOAWAY)
//   node peer.js client PORT CASE
//
// NODE_PATH is where the packages are, CAW_GRPC_PROTOS the folder of
// grpc/testing/*.proto. With CAW_TEST_TLS=1 both are over TLS, with the certificates in
// the folder CAW_GRPC_TESTDATA; with CAW_TEST_MUTUAL, a folder that scripts/dev-certs made,
// the server requires a client certificate, and the client shows one.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const definition = loader.loadSync('grpc/testing/test.proto', {
  includeDirs: [process.env.CAW_GRPC_PROTOS],
  keepCase: true,
});
const testing = grpc.loadPackageDefinition(definition).grpc.testing;

const INITIAL = 'x-grpc-test-echo-initial';
const INITIAL_VALUE = 'test_initial_metadata_value';
const TRAILING = 'x-grpc-test-echo-trailing-bin';
const TRAILING_VALUE = Buffer.from([0xab, 0xab, 0xab]);
const REQUESTS = [27182, 8, 1828, 45904];
const REPLIES = [31415, 9, 2653, 58979];
const LIMIT = 4 * 1024 * 1024;
const GZIP = 2; // grpc.compressionAlgorithms.gzip
const NO_COMPRESS = 2; // WriteFlags.NoCompress, which is not exported

// The bytes of requests that came compressed. gRPC does not tell, so its method
// that decompresses is asked, and the decoder that gets the bytes next.
const wereCompressed = new WeakSet();
const { BaseServerInterceptingCall } = require('@grpc/grpc-js/build/src/server-interceptors');
const { decompressMessage } = BaseServerInterceptingCall.prototype;
BaseServerInterceptingCall.prototype.decompressMessage = async function (message, encoding) {
  const bytes = await decompressMessage.call(this, message, encoding);
  if (encoding !== 'identity') wereCompressed.add(bytes);
  return bytes;
};
for (const name of ['UnaryCall', 'StreamingInputCall']) {
  const method = testing.TestService.service[name];
  const decode = method.requestDeserialize;
  method.requestDeserialize = (bytes) =>
    Object.assign(decode(bytes), { wasCompressed: wereCompressed.has(bytes) });
}

const zeros = (size) => ({ body: Buffer.alloc(size) });

// ---- TLS ----

const TLS = process.env.CAW_TEST_TLS === '1';
const MUTUAL = process.env.CAW_TEST_MUTUAL;
const read = (name) => fs.readFileSync(path.join(MUTUAL || process.env.CAW_GRPC_TESTDATA, name));

function serverCredentials() {
  if (!TLS && !MUTUAL) return grpc.ServerCredentials.createInsecure();
  const name = MUTUAL ? 'server' : 'server1';
  const pair = { private_key: read(name + '.key'), cert_chain: read(name + '.pem') };
  return grpc.ServerCredentials.createSsl(MUTUAL ? read('ca.pem') : null, [pair], Boolean(MUTUAL));
}

function channelCredentials() {
  if (MUTUAL) return grpc.credentials.createSsl(read('ca.pem'), read('client.key'), read('client.pem'));
  return TLS ? grpc.credentials.createSsl(read('ca.pem')) : grpc.credentials.createInsecure();
}
const channelOptions = TLS ? { 'grpc.ssl_target_name_override': 'foo.test.google.fr' } : {};

// ---- Server ----

// Sends the initial metadata back at once; returns the trailing metadata.
function echo(call) {
  const initial = new grpc.Metadata();
  const trailing = new grpc.Metadata();
  for (const value of call.metadata.get(INITIAL)) initial.add(INITIAL, value);
  for (const value of call.metadata.get(TRAILING)) trailing.add(TRAILING, value);
  call.sendMetadata(initial);
  return trailing;
}

const UNEXPECTED = { code: grpc.status.INVALID_ARGUMENT, message: 'compressed, or not, against expectation' };
const unexpected = (request) =>
  request.expect_compressed && Boolean(request.expect_compressed.value) !== request.wasCompressed;
const failure = (status, metadata) => ({ code: status.code, details: status.message, metadata });

const service = {
  EmptyCall(call, done) {
    done(null, {});
  },

  UnaryCall(call, done) {
    const trailing = echo(call);
    const request = call.request;
    if (unexpected(request)) return done(failure(UNEXPECTED, trailing));
    if (request.response_status) return done(failure(request.response_status, trailing));
    done(null, { payload: zeros(request.response_size || 0) }, trailing);
  },

  StreamingInputCall(call, done) {
    let size = 0;
    let wrong = false;
    call.on('data', (request) => {
      size += request.payload.body.length;
      wrong = wrong || unexpected(request);
    });
    call.on('end', () => (wrong ? done(failure(UNEXPECTED)) : done(null, { aggregated_payload_size: size })));
  },

  StreamingOutputCall(call) {
    for (const p of call.request.response_parameters || []) call.write({ payload: zeros(p.size || 0) });
    call.end();
  },

  FullDuplexCall(call) {
    const trailing = echo(call);
    let failed = false;
    call.on('data', (request) => {
      if (failed) return;
      if (request.response_status) {
        failed = true;
        call.emit('error', failure(request.response_status, trailing));
        return;
      }
      for (const p of request.response_parameters || []) call.write({ payload: zeros(p.size || 0) });
    });
    call.on('end', () => failed || call.end(trailing));
  },
};

function serve(age) {
  const options = age ? { 'grpc.max_connection_age_ms': Number(age) } : {};
  const server = new grpc.Server(options);
  server.addService(testing.TestService.service, service);
  server.bindAsync('127.0.0.1:0', serverCredentials(), (error, port) => {
    if (error) throw error;
    console.log(`listening on 127.0.0.1:${port}`);
  });
}

// ---- Client ----

// Makes a unary call; the reply, its metadata and its trailers, or the error.
function unary(client, method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    const result = {};
    const call = client[method](request, metadata, (error, reply) => {
      if (error) reject(error);
      else result.reply = reply;
    });
    call.on('metadata', (m) => (result.metadata = m));
    call.on('status', (s) => {
      result.trailers = s.metadata;
      if (s.code === grpc.status.OK) setImmediate(() => resolve(result));
    });
  });
}

// The replies of a stream until its end, with its metadata and its trailers.
// `each` is told of every reply.
function collect(call, each = () => {}) {
  return new Promise((resolve, reject) => {
    const result = { replies: [] };
    call.on('data', (reply) => {
      result.replies.push(reply);
      each(result.replies.length);
    });
    call.on('metadata', (m) => (result.metadata = m));
    call.on('error', reject);
    call.on('status', (s) => {
      result.trailers = s.metadata;
      if (s.code === grpc.status.OK) setImmediate(() => resolve(result));
    });
  });
}

async function fails(promise, code, text) {
  const error = await promise.then(
    () => assert.fail(`ended with OK, not with ${code}`),
    (e) => e
  );
  assert.strictEqual(error.code, code, String(error));
  if (text) assert.strictEqual(error.details, text);
}

const order = (request, ...sizes) => ({
  payload: zeros(request),
  response_parameters: sizes.map((size) => ({ size })),
});
const large = (more) => ({ response_size: 314159, payload: zeros(271828), ...more });
const checkLarge = (result) => assert.deepStrictEqual(result.reply.payload.body, Buffer.alloc(314159));
const checkSizes = (result, sizes) =>
  assert.deepStrictEqual(result.replies.map((r) => r.payload.body.length), sizes);

function checkMetadata(result) {
  assert.deepStrictEqual(result.metadata.get(INITIAL), [INITIAL_VALUE]);
  assert.deepStrictEqual(result.trailers.get(TRAILING), [TRAILING_VALUE]);
}

function echoedMetadata() {
  const metadata = new grpc.Metadata();
  metadata.add(INITIAL, INITIAL_VALUE);
  metadata.add(TRAILING, TRAILING_VALUE);
  return metadata;
}

async function echoStatus(client, text) {
  const response_status = { code: grpc.status.UNKNOWN, message: text };
  await fails(unary(client, 'UnaryCall', { response_status }), grpc.status.UNKNOWN, text);
  const call = client.FullDuplexCall();
  call.write({ response_status });
  call.end();
  await fails(collect(call), grpc.status.UNKNOWN, text);
}

// Sends the requests of a StreamingInputCall, each [request, flags].
function upload(client, requests) {
  return new Promise((resolve, reject) => {
    const call = client.StreamingInputCall((error, reply) => (error ? reject(error) : resolve(reply)));
    for (const [request, flags] of requests) call.write(request, flags);
    call.end();
  });
}

// `client` compresses nothing, `compressing` everything that is not marked.
const cases = {
  async empty_unary({ client }) {
    assert.deepStrictEqual((await unary(client, 'EmptyCall', {})).reply, {});
  },

  async large_unary({ client }) {
    checkLarge(await unary(client, 'UnaryCall', large()));
  },

  async client_compressed_unary({ client, compressing }) {
    const request = large({ expect_compressed: { value: true } });
    await fails(unary(client, 'UnaryCall', request), grpc.status.INVALID_ARGUMENT);
    checkLarge(await unary(compressing, 'UnaryCall', request));
    checkLarge(await unary(client, 'UnaryCall', large({ expect_compressed: { value: false } })));
  },

  async server_compressed_unary({ client }) {
    for (const value of [true, false])
      checkLarge(await unary(client, 'UnaryCall', large({ response_compressed: { value } })));
  },

  async client_streaming({ client }) {
    const requests = REQUESTS.map((size) => [{ payload: zeros(size) }]);
    assert.strictEqual((await upload(client, requests)).aggregated_payload_size, 74922);
  },

  async client_compressed_streaming({ client, compressing }) {
    const first = { payload: zeros(27182), expect_compressed: { value: true } };
    const second = { payload: zeros(45904), expect_compressed: { value: false } };
    await fails(upload(client, [[first]]), grpc.status.INVALID_ARGUMENT);
    const reply = await upload(compressing, [[first], [second, NO_COMPRESS]]);
    assert.strictEqual(reply.aggregated_payload_size, 73086);
  },

  async server_streaming({ client }) {
    checkSizes(await collect(client.StreamingOutputCall(order(0, ...REPLIES))), REPLIES);
  },

  async server_compressed_streaming({ client }) {
    const request = order(0, 31415, 92653);
    request.response_parameters[0].compressed = { value: true };
    request.response_parameters[1].compressed = { value: false };
    checkSizes(await collect(client.StreamingOutputCall(request)), [31415, 92653]);
  },

  async ping_pong({ client }) {
    const call = client.FullDuplexCall();
    const send = (i) => (i < REQUESTS.length ? call.write(order(REQUESTS[i], REPLIES[i])) : call.end());
    send(0);
    checkSizes(await collect(call, send), REPLIES);
  },

  async empty_stream({ client }) {
    const call = client.FullDuplexCall();
    call.end();
    checkSizes(await collect(call), []);
  },

  async custom_metadata({ client }) {
    const result = await unary(client, 'UnaryCall', large(), echoedMetadata());
    checkLarge(result);
    checkMetadata(result);
    const call = client.FullDuplexCall(echoedMetadata());
    call.write(order(271828, 314159));
    call.end();
    const stream = await collect(call);
    checkSizes(stream, [314159]);
    checkMetadata(stream);
  },

  async status_code_and_message({ client }) {
    await echoStatus(client, 'test status message');
  },

  async special_status_message({ client }) {
    await echoStatus(
      client,
      '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n'
    );
  },

  async unimplemented_method({ client }) {
    await fails(unary(client, 'UnimplementedCall', {}), grpc.status.UNIMPLEMENTED);
  },

  async unimplemented_service({ make }) {
    const other = make(testing.UnimplementedService);
    await fails(unary(other, 'UnimplementedCall', {}), grpc.status.UNIMPLEMENTED);
  },

  async cancel_after_begin({ client }) {
    let call;
    const ended = new Promise((resolve, reject) => {
      call = client.StreamingInputCall((error, reply) => (error ? reject(error) : resolve(reply)));
    });
    call.cancel();
    await fails(ended, grpc.status.CANCELLED);
  },

  async cancel_after_first_response({ client }) {
    const call = client.FullDuplexCall();
    call.write(order(27182, 31415));
    await fails(collect(call, () => call.cancel()), grpc.status.CANCELLED);
  },

  async timeout_on_sleeping_server({ client }) {
    const call = client.FullDuplexCall({ deadline: Date.now() + 1 });
    call.on('error', () => {});
    call.write(order(27182));
    await fails(collect(call), grpc.status.DEADLINE_EXCEEDED);
  },

  // 1000 in gRPC's description; three times what our server takes at once.
  async concurrent_large_unary({ client }) {
    const calls = Array.from({ length: 300 }, () => unary(client, 'UnaryCall', large()));
    (await Promise.all(calls)).forEach(checkLarge);
  },

  // Not of gRPC's list: 4 MiB, the limit, both ways; and a byte more.
  async largest({ client }) {
    const request = { response_size: LIMIT, payload: zeros(LIMIT - 15) };
    const { reply } = await unary(client, 'UnaryCall', request);
    assert.strictEqual(reply.payload.body.length, LIMIT);
    request.payload = zeros(LIMIT - 14);
    await fails(unary(client, 'UnaryCall', request), grpc.status.RESOURCE_EXHAUSTED);
  },
};

async function run(port, name) {
  const clients = [];
  const make = (Service, options = {}) => {
    const all = { 'grpc.max_receive_message_length': -1, ...channelOptions, ...options };
    const client = new Service(`127.0.0.1:${port}`, channelCredentials(), all);
    clients.push(client);
    return client;
  };
  await cases[name]({
    make,
    client: make(testing.TestService),
    compressing: make(testing.TestService, { 'grpc.default_compression_algorithm': GZIP }),
  });
  clients.forEach((client) => client.close());
  console.log(`${name}: passed`);
}

const [mode, port, name] = process.argv.slice(2);
if (mode === 'server') {
  serve(port);
} else if (mode === 'client' && name in cases) {
  run(port, name).catch((error) => {
    console.error(`peer.js: ${name}: ${error.stack}`);
    process.exit(1);
  });
} else {
  console.error('usage: node peer.js server [AGE] | node peer.js client PORT CASE');
  process.exit(2);
}
