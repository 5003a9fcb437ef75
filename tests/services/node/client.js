// Health and reflection of a server, as official and other clients in JavaScript use them:
//   client.js health ADDRESS      answers commands on standard input: check NAME, watch NAME,
//                                 list
//   client.js reflect ADDRESS v1|v1alpha    lists, describes and calls
// It prints a line of JSON for each thing that it learns.
'use strict';
const fs = require('fs');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const say = (what) => console.log(JSON.stringify(what));
const tls = process.env.CAW_TEST_TLS === '1';
const folder = process.env.CAW_GRPC_TESTDATA;
const credentials = tls ? grpc.credentials.createSsl(fs.readFileSync(`${folder}/ca.pem`))
  : grpc.credentials.createInsecure();
const options = tls ? { 'grpc.ssl_target_name_override': 'foo.test.google.fr' } : {};
const failed = (error) => ({ code: error.code, details: error.details });

function health(address) {
  const { protoPath } = require('grpc-health-check');
  const types = grpc.loadPackageDefinition(
    loader.loadSync(protoPath, { keepCase: true, enums: String, defaults: true }));
  const client = new types.grpc.health.v1.Health(address, credentials, options);
  const commands = {
    check: (service) => client.Check({ service }, (error, reply) => say(error ? failed(error) : reply)),
    list: () => client.List({}, (error, reply) => say(error ? failed(error) : reply)),
    watch: (service) => {
      const call = client.Watch({ service });
      call.on('data', (reply) => say({ watched: service, status: reply.status }));
      call.on('error', (error) => say({ watched: service, ...failed(error) }));
    },
  };
  readline.createInterface({ input: process.stdin })
    .on('line', (line) => {
      const [command, name] = line.split(' ');
      commands[command](name || '');
    })
    .on('close', () => process.exit(0));
  say('ready');
}

async function reflect(address, version) {
  const { GrpcReflection } = require('grpc-js-reflection-client');
  const mirror = new GrpcReflection(address, credentials, options, version);
  say(await mirror.listServices());
  say((await mirror.listMethods('thing.Things')).map((method) => method.definition.path));
  const descriptor = await mirror.getDescriptorBySymbol('thing.Things');
  const types = descriptor.getPackageObject({ keepCase: true, enums: String, longs: String });
  const client = new types.thing.Things(address, credentials, options);
  client.Get({ name: 'x' }, (error, reply) => {
    say(error ? failed(error) : reply.id);
    mirror.getDescriptorBySymbol('no.Such').then(
      () => say('found'), (problem) => say(String(problem.message)))
      .then(() => process.exit(0));
  });
}

const [what, address, version] = process.argv.slice(2);
if (what === 'health') health(address);
else reflect(address, version);
