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
export async function servePorts(lab: Lab, name: string, ports: readonly number[]): Promise<void> {
  const addresses = name === 'client' ? '' : `${CLUSTER_IPV4},${CLUSTER_IPV6}`;
  const child = lab.spawn(name, [...TOOL, 'serve', name, addresses, ...ports.map(String)]);
  await child.line((line) => line === 'listening', 60_000);
}

/** Asks from one namespace, one question after the other. */
export class Asker {
  private readonly child: Child;
  private order: Promise<unknown> = Promise.resolve();

  constructor(lab: Lab, from: string) {
    this.child = lab.spawn(from, [...TOOL, 'talk']);
  }

  /** Opens connections one after the other, from any address or from the one that is given. */
  ask(
    to: { readonly address: string; readonly port: number },
    count: number,
    source: readonly (string | number)[] = [],
  ): Promise<Greeted[]> {
    return this.say<Greeted[]>(['ask', to.address, to.port, count, ...source]);
  }

  /** Everybody's answers to one datagram: `node-1 4000`. */
  datagram(address: string, port: number, size: number): Promise<string[]> {
    return this.say<string[]>(['datagram', address, port, size]);
  }

  /** Opens a connection that is held under a name; resolves with the node whose it is. */
  hold(name: string, address: string, port: number): Promise<string> {
    return this.say<string>(['hold', name, address, port]);
  }

  /** Says something on a held connection; resolves with what comes back. */
  echo(name: string): Promise<string> {
    return this.say<string>(['echo', name]);
  }

  private say<Said>(words: readonly (string | number)[]): Promise<Said> {
    const said = this.order.then(async () => {
      const before = this.child.stdout.length;
      this.child.write(words.join(' '));
      let at = -1;
      // What has been said before is not the answer.
      const line = await this.child.line(() => {
        at += 1;
        return at >= before;
      }, 50_000);
      return JSON.parse(line) as Said;
    });
    this.order = said.catch(() => {});
    return said;
  }
}
