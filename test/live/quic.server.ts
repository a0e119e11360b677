// The server side of the live test of QUIC connection ids, a program on each node:
//   quic.server.js --configuration FILE --port N --address 192.0.2.100 --address 2001:db8::100
//
// No QUIC: nothing is encrypted and nothing is repeated. But the headers are those of QUIC version 1 (RFC 9000
// 17), and the connection ids come from the API that real servers would use:
//
//   Initial      answered by a Handshake packet whose source connection id is a new one of this node, under
//                the config that the body's first byte asks for (7: one that names nobody); then the
//                node's name
//   1-RTT        to a connection that this server has opened: answered by a 1-RTT packet with the node's
//                name and a space and what came; to any other: by `reset` and the node's name, as a stateless reset
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { parseArgs } from 'node:util';
import { loadConfiguration } from '../../lib/config/index.js';
import { ConnectionIds } from '../../lib/quic/index.js';

const VERSION_1 = Buffer.of(0, 0, 0, 1);
const UNROUTABLE = 7;
const UNROUTABLE_LENGTH = 8;

const { values } = parseArgs({
  options: {
    configuration: { type: 'string', default: '' },
    port: { type: 'string', default: '8443' },
    address: { type: 'string', multiple: true, default: [] },
  },
});
const config = loadConfiguration(values.configuration);
const ids = new ConnectionIds(config);
const lengths = new Map(ids.facts().map((facts) => [facts.config, facts.length]));
const open = new Set<string>();

/** The Handshake packet that answers an Initial, or null for a packet that is none. */
function accept(packet: Buffer): Buffer | null {
  if (((packet[0] as number) & 0x30) !== 0) return null;
  const destinationLength = packet[5] as number;
  const sourceAt = 6 + destinationLength + 1;
  const source = packet.subarray(sourceAt, sourceAt + (packet[sourceAt - 1] as number));
  const wanted = packet[sourceAt + source.length] as number;
  const id =
    wanted === UNROUTABLE ? ids.makeUnroutable(UNROUTABLE_LENGTH) : ids.make({ config: wanted });
  open.add(id.toString('hex'));
  return Buffer.concat([
    Buffer.of(0xe0),
    VERSION_1,
    Buffer.of(source.length),
    source,
    Buffer.of(id.length),
    id,
    Buffer.from(config.node),
  ]);
}

/** The 1-RTT packet that answers one. The client's connection ids are empty. */
function answer(packet: Buffer): Buffer {
  const length = lengths.get((packet[1] as number) >> 5) ?? UNROUTABLE_LENGTH;
  const known = open.has(packet.subarray(1, 1 + length).toString('hex'));
  const text = known
    ? `${config.node} ${packet.subarray(1 + length).toString()}`
    : `reset ${config.node}`;
  return Buffer.concat([Buffer.of(0x40), Buffer.from(text)]);
}

for (const address of values.address) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  socket.on('message', (packet, from) => {
    if (packet.length < 2) return;
    const long = ((packet[0] as number) & 0x80) !== 0;
    const said = long ? accept(packet) : answer(packet);
    if (said) socket.send(said, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(Number(values.port), address, resolve));
}
console.log('listening');
