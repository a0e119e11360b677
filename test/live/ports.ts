// Servers on several ports of every node, and who asks them (tools/ports.py).
import { fileURLToPath } from 'node:url';
import type { Lab } from '../../lib/cli/demo/lab.js';
import { type Child, CLUSTER_IPV4, CLUSTER_IPV6 } from './support.js';

const TOOL = [
  'python3',
  fileURLToPath(new URL('../../../test/live/tools/ports.py', import.meta.url)),
];

/** What became of a connection. */
export interface Greeted {
  /** Who has answered. */
  readonly node?: string;
  /** The client's address as the server saw it, and as the client has it. */
  readonly seen?: string;
  readonly own?: string;
  readonly failed?: string;
}

/** Starts servers in a namespace, UDP on the cluster addresses, and waits until they listen. */
export async function servePorts(lab: Lab, name: string, ports: readonly number[]): Promise<Child> {
  const addresses = name === 'client' ? '' : `${CLUSTER_IPV4},${CLUSTER_IPV6}`;
  const child = lab.spawn(name, [...TOOL, 'serve', name, addresses, ...ports.map(String)]);
  await child.line((line) => line === 'listening', 30_000);
  return child;
}

/** Opens connections one after the other, from any address or from the one that is given. */
export async function ask(
  lab: Lab,
  from: string,
  to: { readonly address: string; readonly port: number },
  count: number,
  source: readonly (string | number)[] = [],
): Promise<Greeted[]> {
  const words = ['ask', to.address, to.port, count, ...source].map(String);
  const { stdout } = await lab.run(from, [...TOOL, ...words], { deadlineMs: 30_000 });
  return JSON.parse(stdout) as Greeted[];
}

/** Everybody's answers to one datagram: `node-1 4000`. */
export async function datagram(lab: Lab, address: string, port: number, size: number) {
  const { stdout } = await lab.run('client', [...TOOL, 'datagram', address, `${port}`, `${size}`], {
    deadlineMs: 30_000,
  });
  return JSON.parse(stdout) as string[];
}

/** A connection that is held; the first line of its output says whose it is. */
export class Held {
  private readonly child: Child;
  private said = 0;

  constructor(lab: Lab, address: string, port: number) {
    this.child = lab.spawn('client', [...TOOL, 'hold', address, String(port)]);
  }

  async node(): Promise<string> {
    return (await this.child.line(() => true, 30_000)).split(' ')[0] ?? '';
  }

  /** Sends a line; resolves when it has come back. */
  async echo(): Promise<void> {
    this.said += 1;
    const words = `line ${this.said}`;
    this.child.write(words);
    await this.child.line((line) => line === words, 5_000);
  }
}
