// A node in a process of its own, which tests stop and kill: `node peers.child.js OPTIONS`, a JSON
// map. It gives every list without an end and sends a heartbeat every 50 ms.
import { createLogger } from '../../lib/log/index.js';
import { type ListBlock, Peers } from '../../lib/peers/index.js';
import { heartbeat, SECRET } from './peers.support.js';

interface ChildOptions {
  readonly name: string;
  readonly port: number;
  readonly nodes: readonly { name: string; address: string }[];
  /** Blocks of every list. */
  readonly blocks: number;
}

const { name, port, nodes, blocks }: ChildOptions = JSON.parse(process.argv[2] ?? '{}');

async function* list(): AsyncGenerator<ListBlock> {
  const records = Buffer.alloc(64 * 4096, 7);
  for (let now = 0; now < blocks; now += 1) yield { records, now, names: ['node-1', 'node-2'] };
}

const peers = await Peers.start({
  cluster: 'web',
  self: { name, incarnation: Date.now() },
  nodes,
  port,
  secrets: [SECRET],
  wire: null,
  hashLayoutVersion: 1,
  logger: createLogger({ level: 'silent' }),
  onHeartbeat: () => undefined,
  onMessage: (from, message) => process.stdout.write(`${JSON.stringify({ from, message })}\n`),
  onList: list,
});
const { incarnation } = peers.status().self;
setInterval(() => peers.sendHeartbeat(heartbeat(name, { incarnation }), null), 50);
process.stdout.write('started\n');
