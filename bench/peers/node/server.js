// The peer of bench-server with gRPC for Node (grpc-js): the same two services.
// Prints its port; ends on SIGTERM.
//
//   server.js PROTO_DIR BENCH_DIR
'use strict';

const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const definition = loader.loadSync(['greeter.proto', 'bench.proto'], {
  includeDirs: process.argv.slice(2, 4),
});
const protos = grpc.loadPackageDefinition(definition);

function stream(call) {
  const note = { text: Buffer.alloc(call.request.size || 0, 'x') };
  let left = call.request.notes || 0;
  function next() {
    while (left > 0) {
      left--;
      if (!call.write(note)) {
        call.once('drain', next);
        return;
      }
    }
    call.end();
  }
  next();
}

const server = new grpc.Server({ 'grpc.max_send_message_length': -1 });
server.addService(protos.greeter.Greeter.service, {
  SayHello: (call, done) => done(null, { message: `Hello, ${call.request.name}!` }),
});
server.addService(protos.bench.Bench.service, {
  Echo: (call, done) => done(null, { text: call.request.text }),
  Stream: stream,
  PingPong: (call) => {
    call.on('data', (note) => call.write(note));
    call.on('end', () => call.end());
  },
});
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.on('SIGTERM', () => process.exit(0));
