import { pino } from 'pino';
import type { Logger } from '../../lib/log/index.js';
import {
  type HeartbeatPath,
  type ListBlock,
  type ListRequest,
  Peers,
  type PeersOptions,
  type WirePath,
} from '../../lib/peers/index.js';
import type { Echo, Heartbeat, Message } from '../../lib/protocol/index.js';

export const SECRET = Buffer.from('the secret of these tests, a long one');
export const OTHER_SECRET = Buffer.from('another secret, as long as the first');

// Addresses and a port of this process alone: several runs may share the machine.
const NET = `127.${10 + (process.pid % 200)}`;
export const PORT = 20_000 + (process.pid % 10_000);
let subnets = 0;

/** Loopback addresses that no other test has. */
export function addresses(count: number): string[] {
  subnets += 1;
  return Array.from({ length: count }, (_, i) => `${NET}.${subnets % 250}.${i + 1}`);
}

export function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until `holds`, and says what it waited for when it does not. */
export async function until(what: string, holds: () => boolean, ms = 5000): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`Expected ${what} within ${ms} ms.`);
    await later(5);
  }
}

/** A shared wire: what one end sends, all others get, until somebody is in the way. */
export class Hub {
  readonly #takers = new Map<string, (payload: Buffer, source: string) => void>();
  /** Everything that was sent, in order. */
  readonly sent: Buffer[] = [];
  /** False: nothing gets through. */
  up = true;

  path(source: string): WirePath {
    return {
      send: (payload) => {
        const copy = Buffer.from(payload);
        this.sent.push(copy);
        if (!this.up) return false;
        this.inject(copy, source);
        return true;
      },
      onFrame: (take) => {
        this.#takers.set(source, take);
      },
      close: () => {
        this.#takers.delete(source);
      },
    };
  }

  /** Gives a frame to everybody but its source. */
  inject(payload: Buffer, source: string): void {
    for (const [taker, take] of this.#takers) if (taker !== source) take(payload, source);
  }
}

/** Log lines as they were written. */
export interface Line {
  level: string;
  msg: string;
  reason?: string;
  count?: number;
}

export function recordingLogger(lines: Line[]): Logger {
  const formatters = { level: (label: string) => ({ level: label }) };
  const write = (text: string) => void lines.push(JSON.parse(text));
  return pino({ level: 'info', formatters }, { write });
}

/** One node of a test. */
export interface TestNode {
  readonly name: string;
  readonly address: string;
  readonly peers: Peers;
  readonly heartbeats: { heartbeat: Heartbeat; path: HeartbeatPath }[];
  readonly messages: { from: string; message: Message }[];
  readonly lines: Line[];
}

export type Overrides = Partial<PeersOptions> & {
  list?: (to: string, request: ListRequest) => AsyncIterable<ListBlock> | null;
};

/** Nodes node-1, node-2 … on addresses of their own; all of them end with `close`. */
export class Cluster {
  readonly nodes: { name: string; address: string }[];
  readonly hub = new Hub();
  readonly #started: Peers[] = [];

  constructor(count: number) {
    this.nodes = addresses(count).map((address, i) => ({ name: `node-${i + 1}`, address }));
  }

  address(name: string): string {
    return this.nodes.find((node) => node.name === name)?.address ?? '';
  }

  async start(name: string, overrides: Overrides = {}): Promise<TestNode> {
    const heartbeats: TestNode['heartbeats'] = [];
    const messages: TestNode['messages'] = [];
    const lines: Line[] = [];
    const { list, ...options } = overrides;
    const peers = await Peers.start({
      cluster: 'web',
      self: { name, incarnation: 1000 },
      nodes: this.nodes,
      port: PORT,
      secrets: [SECRET],
      wire: null,
      hashLayoutVersion: 1,
      logger: recordingLogger(lines),
      onHeartbeat: (heartbeat, path) => void heartbeats.push({ heartbeat, path }),
      onMessage: (from, message) => void messages.push({ from, message }),
      onList: (to, request) => list?.(to, request) ?? null,
      ...options,
    });
    this.#started.push(peers);
    return { name, address: this.address(name), peers, heartbeats, messages, lines };
  }

  async close(): Promise<void> {
    await Promise.all(this.#started.map((peers) => peers.close()));
  }
}

export function echo(name: string, fields: Partial<Echo> = {}): Echo {
  return { name, incarnation: 1000, echo: 7.5, grant: null, dead: false, ...fields };
}

export function heartbeat(name: string, fields: Partial<Heartbeat> = {}): Heartbeat {
  return {
    name,
    incarnation: 1000,
    sent: 123.25,
    term: 3,
    coordinator: 'node-1',
    elected: false,
    epoch: 9,
    member: true,
    urgent: false,
    echoes: [],
    ...fields,
  };
}

export function connected(node: TestNode, peer: string): boolean {
  return node.peers.status().peers.some(({ name, connected }) => name === peer && connected);
}
