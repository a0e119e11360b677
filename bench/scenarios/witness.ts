// The premise of all figures of broken connections: what the looking-on node of ledger.ts has in
// its table is what the nodes do. Some real nodes see the same frames and the same changes, and
// each must deliver exactly the packets of the connections that the table says are its own.
import { Random } from '../../lib/simulate/random.js';
import { Engine } from '../js/engine.js';
import { connectionOfPacket, crowd, eachRecord, type Flag } from '../js/frames.js';
import { type Asked, premise } from '../js/room.js';
import { print } from '../results.js';
import { Servers } from './servers.js';

const SERVERS = 16;
const BUCKETS = 1024;
const ROUNDS = 40;
const NEW_EACH_ROUND = 100;

function everybody(owners: Uint16Array): Engine[] {
  const capacity = 4 * ROUNDS * NEW_EACH_ROUND;
  return Array.from({ length: SERVERS + 1 }, (_, self) => new Engine({ self, owners, capacity }));
}

/** All nodes see a packet of each of these; who delivered which, by connection. */
function see(nodes: readonly Engine[], connections: Iterable<number>, flag: Flag) {
  const takers = new Map<number, number[]>();
  for (const connection of connections) {
    for (const node of nodes) node.push(connection, flag);
  }
  for (const [self, node] of nodes.entries()) {
    for (const packet of node.turn()) {
      const connection = connectionOfPacket(packet);
      takers.set(connection, [...(takers.get(connection) ?? []), self]);
    }
  }
  return takers;
}

function ownersOf(bystander: Engine): Map<number, number> {
  const owners = new Map<number, number>();
  for (const block of bystander.blocks()) {
    eachRecord(block, (connection, owner) => owners.set(connection, owner));
  }
  return owners;
}

/** A server goes, and comes back, and the next one goes. */
function* changes(servers: Servers): Generator<Uint16Array> {
  const random = new Random(1);
  for (;;) {
    const server = servers.some(random);
    servers.remove(server);
    yield servers.owners;
    servers.restore(server);
    yield servers.owners;
  }
}

/** How many of the connections are not taken by the node that the table names, and by it alone. */
function wronglyTaken(open: readonly number[], nodes: readonly Engine[]): number {
  const takers = see(nodes, open, 'ack');
  const owners = ownersOf(nodes.at(-1) as Engine);
  return open.filter((connection) => {
    const [taker, ...others] = takers.get(connection) ?? [];
    return others.length > 0 || taker !== owners.get(connection);
  }).length;
}

/** Each round some connections open, then a server goes or comes back. */
export function witness(_: Asked, name: string): void {
  const servers = new Servers(SERVERS, BUCKETS, 'drain');
  const nodes = everybody(servers.owners);
  const change = changes(servers);
  const open: number[] = [];
  let packets = 0;
  let wrong = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const fresh = Array.from({ length: NEW_EACH_ROUND }, (_, i) => crowd(open.length + i));
    see(nodes, fresh, 'syn');
    open.push(...fresh);
    const owners = change.next().value as Uint16Array;
    for (const node of nodes) node.allocate(owners);
    wrong += wronglyTaken(open, nodes);
    packets += open.length;
  }
  for (const { node } of nodes) node.close();
  premise(wrong === 0, 'each packet is delivered by the node that the table names, and no other');
  const moved = `while buckets moved ${ROUNDS} times`;
  const shown = `of ${packets} packets, each shown to ${SERVERS} nodes, ${moved}`;
  print({ name, of: 'flowsieve', unit: 'count', values: [wrong], note: `wrongly taken ${shown}` });
}
