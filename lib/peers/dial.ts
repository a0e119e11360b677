// Connecting to a peer. TLS 1.3 with a key made from the secret (PSK with ECDHE): both sides prove
// that they have it, and whoever learns it later cannot read what was said before.
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import { PROTOCOL_VERSION } from '../protocol/index.js';
import { Connection } from './connection.js';
import {
  decodeCount,
  decodeRefused,
  encodeHello,
  FRAME,
  type Hello,
  REFUSED_WHY,
} from './frames.js';
import { encodeIdentity } from './identity.js';
import type { Roster, RosterPeer } from './roster.js';
import type { Limits } from './types.js';

/** What both sides of a connection agree on; of TLS 1.3 only SHA-256 suites take such keys. */
export const TLS_OPTIONS = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
} as const;

/** Where a dial goes, and what it is bound by. */
export interface Dialing {
  readonly roster: Roster;
  readonly port: number;
  readonly limits: Limits;
}

function options({ roster, port }: Dialing, peer: RosterPeer): ConnectionOptions {
  const { signing, layout, clusterName: cluster, self } = roster;
  const identity = encodeIdentity({
    version: PROTOCOL_VERSION,
    layout,
    cluster,
    from: self.name,
    to: peer.name,
    keyId: signing.idText,
  });
  const psk = signing.key('stream', self.name, peer.name);
  return {
    ...TLS_OPTIONS,
    host: peer.address,
    port,
    localAddress: roster.address,
    pskCallback: () => ({ psk, identity }),
    // Asked only when the other side shows a certificate instead of knowing the key.
    checkServerIdentity: () => new Error('a certificate instead of the key'),
  } as ConnectionOptions;
}

function unreachable(peer: RosterPeer, cause: unknown): FlowsieveError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const told = code?.startsWith('ERR_SSL') ? `a refusal, ${code}: its log says why` : message;
  const sentence = expectedSentence('an answer', `${peer.name} at ${peer.address}`, told);
  return new FlowsieveError('FLOWSIEVE_UNREACHABLE', sentence, { cause });
}

/** The error for a peer that does not answer in time. */
export function tooSlow(peer: string, what: string, ms: number): FlowsieveError {
  const sentence = expectedSentence(what, peer, `nothing for ${ms} ms`);
  return new FlowsieveError('FLOWSIEVE_TIMEOUT', sentence);
}

function secured(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the end of the connection')));
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      if (socket.authorized && socket.isSessionReused()) resolve();
      else reject(new Error('a handshake without the key'));
    });
  });
}

/** A dial under way. */
export interface Dial {
  /** @throws FlowsieveError FLOWSIEVE_UNREACHABLE, FLOWSIEVE_TIMEOUT, FLOWSIEVE_REFUSED */
  readonly connection: Promise<Connection>;
  /** Gives it up, or closes what came of it. */
  abort(cause: FlowsieveError): void;
}

/** Dials a peer and says HELLO; the connection resolves when the peer has welcomed it. */
export function dial(dialing: Dialing, peer: RosterPeer, list: Hello['list']): Dial {
  const { handshakeMs } = dialing.limits;
  const socket = connect(options(dialing, peer));
  // Told to whoever waits; what comes after that is told to nobody.
  socket.on('error', () => undefined);
  let aborted: FlowsieveError | null = null;
  const abort = (cause: FlowsieveError) => {
    aborted ??= cause;
    socket.destroy();
  };
  const late = () => abort(tooSlow(peer.name, 'a handshake', handshakeMs));
  const timer = setTimeout(late, handshakeMs);
  const greeted = async () => {
    try {
      await secured(socket);
      const connection = new Connection(socket, [FRAME.welcome, FRAME.refused]);
      const { incarnation } = dialing.roster.self;
      connection.helloAt = performance.now();
      connection.send(FRAME.hello, encodeHello({ incarnation, list }));
      await welcomed(connection, peer);
      return connection;
    } catch (error) {
      socket.destroy();
      throw aborted ?? (error instanceof FlowsieveError ? error : unreachable(peer, error));
    } finally {
      clearTimeout(timer);
    }
  };
  return { connection: greeted(), abort };
}

async function welcomed(connection: Connection, peer: RosterPeer): Promise<void> {
  const frame = await connection.next();
  if (!frame) throw new Error('the end of the connection');
  if (frame.type === FRAME.welcome) {
    decodeCount(frame.body);
    return;
  }
  const why = REFUSED_WHY[decodeRefused(frame.body)];
  throw new FlowsieveError(
    'FLOWSIEVE_REFUSED',
    expectedSentence('a welcome', peer.name, `a refusal: ${why}`),
  );
}
