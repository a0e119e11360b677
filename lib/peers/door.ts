// Taking connections from peers. Who is not a configured peer by his address is turned away before
// a byte is read; of one address only a few may be in the middle of a handshake, and none for
// long. So whoever is hostile has only the share of his own address.
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type TlsOptions,
  type Server as TlsServer,
} from 'node:tls';
import type { Logger } from '../log/index.js';
import { PROTOCOL_VERSION } from '../protocol/index.js';
import { TLS_OPTIONS } from './dial.js';
import { decodeIdentity } from './identity.js';
import type { Refusal, Refusals } from './refusals.js';
import type { Roster } from './roster.js';
import type { Limits } from './types.js';

/** Whose connection it is, as its handshake has proved. */
export interface Guest {
  readonly peer: string;
  readonly keyId: string;
  readonly socket: TLSSocket;
  /** To be called when it has said HELLO: until then it is bound by time and number. */
  settled(): void;
}

/** What taking connections needs of its surroundings. */
export interface DoorContext {
  readonly roster: Roster;
  readonly limits: Limits;
  readonly refusals: Refusals;
  readonly logger: Logger;
  onGuest(guest: Guest): void;
}

/** Where one is, on the network. */
function endpoint(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

/** Lets peers in, and nobody else. */
export class Door {
  readonly #context: DoorContext;
  readonly #tls: TlsServer;
  #server: Server | null = null;
  // How to settle connections that have not said HELLO, by their endpoint; and how many there are
  // of each address.
  readonly #strangers = new Map<string, { socket: Socket; settled: () => void }>();
  readonly #crowd = new Map<string, number>();
  readonly #identified = new WeakMap<TLSSocket, { peer: string; keyId: string }>();
  readonly #refused = new WeakSet<TLSSocket>();

  constructor(context: DoorContext) {
    this.#context = context;
    const options = {
      ...TLS_OPTIONS,
      handshakeTimeout: context.limits.handshakeMs,
      pskCallback: (socket: TLSSocket, identity: string) => this.#keyFor(socket, identity),
    };
    this.#tls = createTlsServer(options as TlsOptions);
    this.#tls.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket));
    this.#tls.on('secureConnection', (socket) => this.#greet(socket));
  }

  /** Begins to listen; rejects with the system's error. */
  listen(host: string, port: number): Promise<void> {
    const server = createServer((socket) => this.#admit(socket));
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, backlog: 128 }, () => {
        this.#server = server;
        server.off('error', reject);
        server.on('error', (error) => {
          this.#context.logger.warn({ error }, 'Expected connections but received an error.');
        });
        resolve();
      });
    });
  }

  /** Lets nobody in any more. */
  close(): void {
    for (const { socket } of this.#strangers.values()) socket.destroy();
    this.#server?.close();
    this.#server = null;
  }

  #admit(socket: Socket): void {
    const { roster, limits, refusals } = this.#context;
    const address = socket.remoteAddress ?? '';
    socket.on('error', () => undefined);
    if (!roster.hasAddress(address)) {
      refusals.add('address', () => `a connection from ${address}`);
      socket.destroy();
      return;
    }
    const crowd = this.#crowd.get(address) ?? 0;
    if (crowd >= limits.handshakesMax) {
      refusals.add('crowded', () => `a connection from ${address}`);
      socket.destroy();
      return;
    }
    this.#crowd.set(address, crowd + 1);
    this.#watch(socket, address);
    this.#tls.emit('connection', socket);
  }

  #watch(socket: Socket, address: string): void {
    const { limits, refusals } = this.#context;
    const timer = setTimeout(() => {
      refusals.add('slow', () => `a connection from ${address}`);
      socket.destroy();
    }, limits.handshakeMs);
    const place = endpoint(socket);
    let done = false;
    const settled = () => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      this.#strangers.delete(place);
      const left = (this.#crowd.get(address) ?? 1) - 1;
      if (left > 0) this.#crowd.set(address, left);
      else this.#crowd.delete(address);
    };
    this.#strangers.set(place, { socket, settled });
    socket.once('close', settled);
  }

  #greet(socket: TLSSocket): void {
    const known = this.#identified.get(socket);
    const stranger = this.#strangers.get(endpoint(socket));
    // Without a certificate of ours there is no other way through the handshake than the key.
    if (!known || !stranger || !socket.isSessionReused()) socket.destroy();
    else this.#context.onGuest({ ...known, socket, settled: stranger.settled });
  }

  #keyFor(socket: TLSSocket, text: string): Buffer | null {
    const { roster, refusals } = this.#context;
    const address = socket.remoteAddress ?? '';
    const refuse = (reason: Refusal, about = '') => {
      this.#refused.add(socket);
      refusals.add(reason, () => `a connection from ${address}${about}`);
      return null;
    };
    const [, version] = /^flowsieve\/([0-9]+)\//.exec(text) ?? [];
    if (version === undefined) return refuse('garbage');
    if (version !== String(PROTOCOL_VERSION)) return refuse('version', ` of version ${version}`);
    const identity = parsed(text);
    if (!identity) return refuse('garbage');
    const { layout, cluster, from, to, keyId } = identity;
    if (cluster !== roster.clusterName) return refuse('cluster', ` of cluster ${cluster}`);
    if (layout !== roster.layout) return refuse('layout', ` of layout ${layout}`);
    if (to !== roster.self.name) return refuse('destination', ` for ${to}`);
    const peer = roster.peers.get(from);
    if (!peer) return refuse('name', ` of ${from}`);
    if (peer.address !== address) return refuse('address', ` of ${from}`);
    const secret = roster.secret(Number.parseInt(keyId, 16));
    if (!secret) return refuse('secret', ` of ${from}`);
    this.#identified.set(socket, { peer: from, keyId });
    return secret.key('stream', from, to);
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    const { code } = error as NodeJS.ErrnoException;
    // Who goes away in the middle, or is too slow, is no news here.
    if (this.#refused.has(socket) || !code?.startsWith('ERR_SSL')) return;
    const reason = code.includes('BINDER') ? 'forged' : 'garbage';
    const address = socket.remoteAddress ?? 'somewhere';
    this.#context.refusals.add(reason, () => `a connection from ${address}`);
  }
}

function parsed(text: string) {
  try {
    return decodeIdentity(text);
  } catch {
    return undefined;
  }
}
