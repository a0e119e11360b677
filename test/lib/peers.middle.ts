// Somebody in the middle between two nodes, who loses, records and replays what they send: each
// node knows the other by an address that is his.
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { addresses, PORT } from './peers.support.js';

/** A datagram that has come to the middle. */
export interface Passing {
  readonly bytes: Buffer;
  /** The name of the node that it is for. */
  readonly to: string;
}

interface End {
  readonly name: string;
  readonly address: string;
  /** The address by which the other end knows it. */
  readonly front: string;
}

/** True for a letter, false for a heartbeat. */
export function isLetter({ bytes }: Passing): boolean {
  return bytes.toString('latin1', 0, 2) === 'FL';
}

/** Numbers from 0 to 1, the same ones for the same seed. */
export function chances(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Between node-1 and node-2. */
export class Middle {
  readonly #ends: readonly [End, End];
  readonly #sockets = new Map<string, Datagrams>();
  readonly #servers: Server[] = [];
  readonly #streams = new Set<Socket>();
  /** Every datagram, lost or not. */
  readonly passed: Passing[] = [];
  /** Which datagrams are lost. */
  loses: (passing: Passing) => boolean = () => false;
  /** False: no stream begins. */
  streams = true;

  constructor(names: readonly [string, string] = ['node-1', 'node-2']) {
    const [a, b, frontA, frontB] = addresses(4) as [string, string, string, string];
    this.#ends = [
      { name: names[0], address: a, front: frontA },
      { name: names[1], address: b, front: frontB },
    ];
  }

  /** The nodes as this one knows them. */
  nodesOf(name: string): { name: string; address: string }[] {
    return this.#ends.map((end) => {
      return { name: end.name, address: end.name === name ? end.address : end.front };
    });
  }

  async open(): Promise<void> {
    for (const end of this.#ends) {
      const socket = createSocket('udp4');
      socket.on('error', () => undefined);
      socket.on('message', (bytes) => this.#pass({ bytes, to: end.name }));
      await new Promise<void>((resolve) => {
        socket.bind({ address: end.front, port: PORT }, resolve);
      });
      this.#sockets.set(end.name, socket);
      const server = createServer((stream) => this.#join(stream, end));
      await new Promise<void>((resolve) => {
        server.listen({ host: end.front, port: PORT }, resolve);
      });
      this.#servers.push(server);
    }
  }

  /** Ends all streams, and lets none begin. */
  cut(): void {
    this.streams = false;
    for (const stream of this.#streams) stream.destroy();
  }

  /** Sends bytes to a node as if the other had. */
  inject({ bytes, to }: Passing): void {
    const [target, other] = this.#from(to);
    this.#sockets.get(other.name)?.send(bytes, PORT, target.address);
  }

  close(): void {
    this.cut();
    for (const socket of this.#sockets.values()) socket.close();
    for (const server of this.#servers) server.close();
  }

  #from(to: string): readonly [End, End] {
    const [a, b] = this.#ends;
    return a.name === to ? [a, b] : [b, a];
  }

  #pass(passing: Passing): void {
    this.passed.push(passing);
    if (!this.loses(passing)) this.inject(passing);
  }

  #join(stream: Socket, end: End): void {
    const [target, other] = this.#from(end.name);
    if (!this.streams) {
      stream.destroy();
      return;
    }
    const further = connect({ host: target.address, port: PORT, localAddress: other.front });
    for (const [one, two] of [
      [stream, further],
      [further, stream],
    ] as const) {
      this.#streams.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#streams.delete(one);
        two.destroy();
      });
      one.pipe(two);
    }
  }
}
