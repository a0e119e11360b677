// What the cluster protocol costs in messages and bytes, by the number of nodes: idle, and while
// one more node joins. The cores are the real ones, the network is simulated, the sizes are those of
// lib/peers. Writes docs/reference/message-costs.md with --write, else prints the table.
//
//   node test/sim/costs.mjs [--write]
import { writeFileSync } from 'node:fs';
import { encodeHeartbeat } from '../../dist/lib/peers/heartbeat.js';
import { encodeMessage } from '../../dist/lib/peers/messages.js';
import { sealBytes } from '../../dist/lib/peers/seal.js';
import { Simulation } from '../../dist/lib/simulate/simulation.js';

const NODES = [2, 4, 8, 16, 32, 64];
const IDLE_SECONDS = 5;
// Ethernet, IPv4 and UDP headers of a datagram; Ethernet and length of a raw frame; and Ethernet,
// IPv4, TCP with time stamps and a TLS 1.3 record around a message of a stream.
const DATAGRAM_BYTES = 14 + 20 + 8;
const FRAME_BYTES = 14 + 2;
const STREAM_BYTES = 14 + 20 + 32 + 5 + 1 + 16;

/** What is sent by all nodes. */
class Count {
  constructor() {
    this.packets = 0;
    this.bytes = 0;
    this.messages = 0;
    this.messageBytes = 0;
  }

  heartbeat(heartbeat, to, isFirst) {
    const seal = sealBytes(heartbeat.name);
    const own = heartbeat.echoes.filter(({ name }) => name === to);
    this.packets += 1;
    this.bytes += encodeHeartbeat(heartbeat, own).length + seal + DATAGRAM_BYTES;
    // One raw frame for all of them.
    if (!isFirst) return;
    this.packets += 1;
    this.bytes += encodeHeartbeat(heartbeat, heartbeat.echoes).length + seal + FRAME_BYTES;
  }

  message(message) {
    this.messages += 1;
    this.messageBytes += encodeMessage(message).length + STREAM_BYTES;
  }
}

function measure(nodes) {
  let count = new Count();
  let seen = null;
  const simulation = new Simulation({
    seed: 1,
    nodes,
    faults: false,
    plane: 'twin',
    sent: (_from, to, action) => {
      if (action.type === 'send') return count.message(action.message);
      count.heartbeat(action.heartbeat, to, seen !== action.heartbeat);
      seen = action.heartbeat;
    },
    scenario: (scenario) => ({
      ...scenario,
      starters: nodes - 1,
      buckets: 256,
      quorum: nodes === 2 ? 'paths' : 'majority',
      timing: { heartbeat: 100, failAfter: 300, guard: 5 },
    }),
  });
  simulation.form();
  const { queue, hosts } = simulation;
  simulation.run(queue.now + 1000);
  count = new Count();
  simulation.run(queue.now + IDLE_SECONDS * 1000);
  const idle = count;
  count = new Count();
  const begun = queue.now;
  const newcomer = hosts.find((host) => host.process === null);
  newcomer.start();
  const isIn = () => {
    const view = newcomer.process.installed;
    const index = view?.allocation.names.indexOf(newcomer.name) ?? -1;
    return index >= 0 && view.allocation.owners.includes(index);
  };
  if (!simulation.run(begun + 20_000, isIn)) throw new Error(`${nodes} nodes: nobody joined`);
  const taken = queue.now - begun;
  simulation.run(queue.now + 300);
  return { nodes, running: nodes - 1, idle, join: count, taken };
}

function row({ nodes, running, idle, join, taken }) {
  const perNode = (value) => Math.round(value / running / IDLE_SECONDS);
  const kilobits = ((idle.bytes + idle.messageBytes) * 8) / running / IDLE_SECONDS / 1000;
  const cells = [
    nodes,
    perNode(idle.packets),
    perNode(idle.messages),
    kilobits.toFixed(kilobits < 100 ? 1 : 0),
    join.messages,
    (join.messageBytes / 1000).toFixed(1),
    Math.round(taken),
  ];
  return `| ${cells.join(' | ')} |`;
}

const page = `# What the cluster protocol costs

Heartbeats every 100 ms, \`failAfter\` 300 ms, 256 buckets; made by \`node test/sim/costs.mjs --write\`. Idle is measured with one node less than the row
says; then that one joins and is given its buckets by a handover. Packets and bits are what one node sends, with all headers (a heartbeat is one datagram to
each peer and one raw frame for all of them); messages of the join are those of all nodes together, lists of connections not included.
A message counts once: on the network it goes over a stream, and three times in datagrams as well, so that a lost packet costs milliseconds.

| nodes | idle: heartbeats per second and node | idle: messages per second and node | idle: kbit/s per node | join: messages | join: kB | join: ms |
|---:|---:|---:|---:|---:|---:|---:|
${NODES.map((nodes) => row(measure(nodes))).join('\n')}

Heartbeats grow with the number of nodes for each node, and with its square for the network; all else is silent when nothing changes. A join's time is the same for
any number of nodes but for the heartbeats that it takes to be heard and to be granted a lease.
`;
if (process.argv.includes('--write')) {
  writeFileSync(new URL('../../docs/reference/message-costs.md', import.meta.url), page);
} else {
  process.stdout.write(page);
}
