// The connections that peers have made to this node: their messages come in, and lists go out.
import { FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import type { Incarnation } from '../protocol/index.js';
import { Connection } from './connection.js';
import type { Counters } from './counters.js';
import type { Guest } from './door.js';
import {
  decodeHello,
  decodeNumbered,
  encodeCount,
  encodeRefused,
  FRAME,
  type Hello,
  type ListRequest,
  type RefusedWhy,
} from './frames.js';
import { giveList, StreamSink } from './giving.js';
import type { Inbox } from './inbox.js';
import type { Refusal, Refusals } from './refusals.js';
import type { Roster, RosterPeer } from './roster.js';
import type { Limits, ListBlock } from './types.js';

/** What guests need of their surroundings. */
export interface GuestContext {
  readonly roster: Roster;
  readonly limits: Limits;
  readonly refusals: Refusals;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly inbox: Inbox;
  /** A peer has said HELLO: it is there. */
  onHello(from: string, incarnation: Incarnation): void;
  onList(to: string, request: ListRequest): AsyncIterable<ListBlock> | null;
}

interface Present {
  readonly peer: string;
  readonly keyId: number;
  readonly connection: Connection;
}

/** Everybody whom the door has let in. */
export class Guests {
  readonly #context: GuestContext;
  readonly #present = new Set<Present>();
  // The connection for messages of each peer, and how many lists each is being given.
  readonly #talking = new Map<string, Present>();
  readonly #lists = new Map<string, number>();

  constructor(context: GuestContext) {
    this.#context = context;
  }

  /** Attends to a guest until he goes. */
  async attend({ peer, keyId, socket, settled }: Guest): Promise<void> {
    const connection = new Connection(socket, [FRAME.hello]);
    const present = { peer, keyId: Number.parseInt(keyId, 16), connection };
    this.#present.add(present);
    try {
      const frame = await connection.next();
      if (!frame) return;
      const hello = decodeHello(frame.body);
      settled();
      if (!this.#admit(present, hello)) return;
      if (hello.list) await this.#give(present, hello.list);
      else await this.#listen(present);
    } catch (error) {
      this.#blame(peer, error);
      connection.destroy();
    } finally {
      if (this.#talking.get(peer) === present) this.#talking.delete(peer);
      // What was said last may be on its way yet.
      connection.limitSilence(this.#context.limits.handshakeMs);
      connection.end();
      await connection.closed;
      this.#present.delete(present);
    }
  }

  /** Ends the connections of who is no peer any more, or has only a secret that is gone. */
  prune(): void {
    const { roster } = this.#context;
    for (const { peer, keyId, connection } of this.#present) {
      if (!roster.peers.has(peer) || !roster.secret(keyId)) connection.destroy();
    }
  }

  /** Ends connections for messages that have been silent since `before`. */
  endSilent(before: number): void {
    for (const { connection } of this.#talking.values()) {
      if (connection.heardAt < before) connection.destroy();
    }
  }

  /** The node's time stood still for so long: nobody else is to blame for the silence. */
  shift(ms: number): void {
    for (const { connection } of this.#talking.values()) connection.heardAt += ms;
  }

  close(): void {
    for (const { connection } of this.#present) connection.destroy();
  }

  /** Takes note of a peer's life, or refuses an old one. */
  #admit({ peer, connection }: Present, { incarnation }: Hello): boolean {
    const { roster } = this.#context;
    const known = roster.peers.get(peer);
    if (!known) return false;
    if (incarnation < known.incarnation) {
      this.#refuse(known, 'incarnation');
      connection.send(FRAME.refused, encodeRefused('incarnation'));
      return false;
    }
    known.incarnation = incarnation;
    this.#context.onHello(peer, incarnation);
    return true;
  }

  #refuse(peer: RosterPeer, reason: Refusal): void {
    this.#context.refusals.add(reason, () => `a connection of ${peer.name}`);
  }

  #welcome(connection: Connection): void {
    connection.send(FRAME.welcome, encodeCount(this.#context.roster.self.incarnation));
  }

  async #listen(present: Present): Promise<void> {
    const { peer, connection } = present;
    this.#talking.get(peer)?.connection.destroy();
    this.#talking.set(peer, present);
    connection.expect([FRAME.hello, FRAME.message, FRAME.ping]);
    this.#welcome(connection);
    let life = this.#context.roster.peers.get(peer)?.incarnation ?? 0;
    for (let frame = await connection.next(); frame; frame = await connection.next()) {
      if (frame.type === FRAME.ping) {
        connection.send(FRAME.pong);
      } else if (frame.type === FRAME.hello) {
        const hello = decodeHello(frame.body);
        if (!this.#admit(present, hello)) return;
        life = hello.incarnation;
      } else {
        this.#take(peer, life, frame.body);
      }
    }
  }

  #take(from: string, life: number, body: Buffer): void {
    const { number, message } = decodeNumbered(body);
    const peer = this.#context.roster.peers.get(from);
    if (!peer) return;
    if (life < peer.incarnation) this.#refuse(peer, 'incarnation');
    else this.#context.inbox.fromStream(from, { life, number }, message);
  }

  async #give({ peer, connection }: Present, request: ListRequest): Promise<void> {
    const { counters, limits } = this.#context;
    const given = this.#lists.get(peer) ?? 0;
    const list = given < limits.listsMax ? this.#context.onList(peer, request) : null;
    if (!list) {
      counters.add('listsRefused');
      const why: RefusedWhy = given < limits.listsMax ? 'list' : 'crowded';
      connection.send(FRAME.refused, encodeRefused(why));
      return;
    }
    counters.add('listsGiven');
    this.#lists.set(peer, given + 1);
    connection.expect([FRAME.taken]);
    connection.limitSilence(limits.stallMs);
    this.#welcome(connection);
    try {
      const sink = new StreamSink(connection);
      await giveList(sink, list);
      await sink.ended;
    } catch (error) {
      const sentence = `Expected to give ${peer} a whole list but received: ${error}`;
      this.#context.logger.warn({ peer, kind: request.kind }, sentence);
      throw error;
    } finally {
      const left = (this.#lists.get(peer) ?? 1) - 1;
      if (left > 0) this.#lists.set(peer, left);
      else this.#lists.delete(peer);
    }
  }

  // A connection that breaks is no fault; one that says what nobody says is.
  #blame(peer: string, error: unknown): void {
    if (!(error instanceof FlowsieveError) || error.code !== 'FLOWSIEVE_FORMAT') return;
    this.#context.refusals.add('malformed', () => `a connection of ${peer} (${error.message})`);
  }
}
