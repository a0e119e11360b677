// The connection on which this node's own messages go to one peer. It is dialled as soon as there
// is a peer, again and again with growing pauses, and at once when a heartbeat shows that it pays.
import { FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import type { Incarnation } from '../protocol/index.js';
import type { Connection } from './connection.js';
import type { Counters } from './counters.js';
import { type Dial, type Dialing, dial } from './dial.js';
import { encodeHello, encodeNumber, FRAME } from './frames.js';
import type { Secret } from './keys.js';
import type { RosterPeer } from './roster.js';

const LOG_MS = 60_000;

/** What an outgoing connection needs of its surroundings. */
export interface OutgoingContext extends Dialing {
  readonly logger: Logger;
  readonly counters: Counters;
}

interface Waiting {
  readonly number: number;
  readonly bytes: Buffer;
  readonly since: number;
}

/** Sends messages to one peer, in order, as long as there is a connection. */
export class Outgoing {
  readonly #context: OutgoingContext;
  readonly #peer: RosterPeer;
  #dial: Dial | null = null;
  #connection: Connection | null = null;
  #waiting: Waiting[] = [];
  #pause: number;
  #dialAt = 0;
  #pingedAt: number | null = null;
  #loggedAt = -LOG_MS;
  #incarnation: Incarnation = 0;
  #secret: Secret | null = null;
  #closed = false;

  constructor(context: OutgoingContext, peer: RosterPeer) {
    this.#context = context;
    this.#peer = peer;
    this.#pause = context.limits.redialMs[0];
  }

  get connected(): boolean {
    return this.#connection?.open ?? false;
  }

  /** Sends a message, or keeps it for a moment when the connection is not there yet. */
  send(number: number, bytes: Buffer): void {
    const { counters, limits } = this.#context;
    const connection = this.#connection;
    if (!connection?.open) {
      if (this.#waiting.length >= limits.waitingMax) {
        this.#waiting.shift();
        counters.add('messagesDropped');
      }
      this.#waiting.push({ number, bytes, since: performance.now() });
      return;
    }
    if (connection.queuedBytes + bytes.length > limits.queuedBytesMax) {
      counters.add('messagesDropped');
      return;
    }
    connection.send(FRAME.message, encodeNumber(number), bytes);
    counters.add('messagesSent');
  }

  /** This node has begun another life: what the old one wanted to say is not said any more. */
  renew(): void {
    this.#drop(Number.POSITIVE_INFINITY);
    const { incarnation } = this.#context.roster.self;
    this.#connection?.send(FRAME.hello, encodeHello({ incarnation, list: null }));
  }

  /** The peer was heard: a dial will reach it. */
  heard(now: number, incarnation: Incarnation): void {
    if (incarnation > this.#incarnation) this.probe(now);
    this.#incarnation = incarnation;
    const soonest = this.#dialAt - this.#pause + this.#context.limits.redialMs[0];
    if (now >= Math.min(this.#dialAt, soonest)) this.#start(now);
  }

  /** Asks for a sign of life; if the peer has been restarted, its kernel ends the connection. */
  probe(now: number): void {
    if (!this.#connection || this.#pingedAt !== null) return;
    this.#pingedAt = now;
    this.#connection.send(FRAME.ping);
  }

  /**
   * Called several times a second.
   *
   * @param heardAt - when its last heartbeat came on the sync path
   */
  tick(now: number, heardAt: number | null): void {
    const { silenceMs, staleMs, waitMs } = this.#context.limits;
    this.#drop(now - waitMs);
    if (now >= this.#dialAt) this.#start(now);
    if (!this.#connection) return;
    if (this.#pingedAt !== null && this.#connection.heardAt >= this.#pingedAt) {
      this.#pingedAt = null;
    }
    // A network that lets heartbeats through and not this connection has come back after a cut,
    // and TCP's next attempt may be seconds away.
    const reachable = heardAt !== null && now - heardAt < staleMs / 2;
    const waited = now - (this.#pingedAt ?? now);
    if (waited > (reachable ? staleMs : silenceMs)) this.#reset('no answer');
    else if (now - this.#connection.heardAt > staleMs / 2) this.probe(now);
  }

  /** The node's time stood still for so long: nobody else is to blame for the silence. */
  shift(ms: number): void {
    if (this.#pingedAt !== null) this.#pingedAt += ms;
  }

  /** Gives up the connection and makes another. */
  reconnect(): void {
    this.#reset('this node has another address');
    this.#dialAt = 0;
  }

  /** Gives it up when it was made by a secret that is gone. */
  prune(): void {
    const { roster } = this.#context;
    if (this.#secret && roster.secret(this.#secret.id.readUInt32BE())) return;
    this.#reset('its secret is gone');
    this.#dialAt = 0;
  }

  close(): void {
    this.#closed = true;
    this.#reset('closed');
    this.#drop(Number.POSITIVE_INFINITY);
  }

  #reset(why: string): void {
    const sentence = `Expected the connection to ${this.#peer.name} to last: ${why}.`;
    const cause = new FlowsieveError('FLOWSIEVE_STATE', sentence);
    this.#dial?.abort(cause);
    this.#connection?.destroy(cause);
  }

  #drop(before: number): void {
    const kept = this.#waiting.filter(({ since }) => since >= before);
    this.#context.counters.add('messagesDropped', this.#waiting.length - kept.length);
    this.#waiting = kept;
  }

  #start(now: number): void {
    if (this.#closed || this.#dial) return;
    this.#context.counters.add('dials');
    this.#secret = this.#context.roster.signing;
    this.#dial = dial(this.#context, this.#peer, null);
    this.#dialAt = now + this.#pause;
    this.#run(this.#dial)
      .catch((error) => this.#failed(error as Error))
      .finally(() => {
        this.#dial = null;
        this.#connection = null;
      });
  }

  async #run({ connection: promised }: Dial): Promise<void> {
    const { counters, limits } = this.#context;
    const connection = await promised;
    connection.expect([FRAME.pong, FRAME.welcome]);
    this.#connection = connection;
    this.#pingedAt = null;
    this.#pause = limits.redialMs[0];
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { number, bytes } of waiting) this.send(number, bytes);
    try {
      while (await connection.next());
    } finally {
      connection.destroy();
      counters.add('connectionsLost');
      this.#dialAt = performance.now() + limits.redialMs[0] * Math.random();
    }
  }

  #failed(error: Error): void {
    const { counters, limits, logger } = this.#context;
    const now = performance.now();
    const lost = this.#connection !== null;
    if (!lost) {
      counters.add('dialsFailed');
      // A little chance keeps nodes that started together from dialling together for ever.
      this.#pause = Math.min(2 * this.#pause, limits.redialMs[1]) * (0.8 + 0.2 * Math.random());
      this.#dialAt = now + this.#pause;
    }
    if (this.#closed || now - this.#loggedAt < LOG_MS) return;
    this.#loggedAt = now;
    const what = lost ? 'was lost' : 'came to nothing';
    logger.info({ peer: this.#peer.name }, `The connection ${what}: ${error.message}`);
  }
}
