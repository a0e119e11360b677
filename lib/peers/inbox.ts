// Messages come on two ways, by letters and over a stream, and are handed over once: every message
// has a number, which only grows within a life of its sender. What a letter has brought is
// remembered until the stream brings it too; the stream keeps its order, so everything before is
// forgotten with it. Memory is bounded: beyond that a message may be handed over twice, which the
// protocol allows.
import type { Incarnation, Message } from '../protocol/index.js';
import type { Counters } from './counters.js';
import { decodeMessage } from './messages.js';

/** How many messages are remembered of a peer. */
export const REMEMBERED_MAX = 1024;

/** Which of its sender's messages it is. */
export interface MessageId {
  readonly life: Incarnation;
  readonly number: number;
}

/** What has come of one life of a peer. */
class Come {
  /** In the order of their coming. */
  readonly #byLetter = new Set<number>();
  #overStream = -1;

  constructor(readonly life: Incarnation) {}

  has(number: number): boolean {
    return number <= this.#overStream || this.#byLetter.has(number);
  }

  /** True when a letter brings news. */
  letter(number: number): boolean {
    if (this.has(number)) return false;
    this.#byLetter.add(number);
    const [oldest] = this.#byLetter;
    if (this.#byLetter.size > REMEMBERED_MAX) this.#byLetter.delete(oldest as number);
    return true;
  }

  /** True when the stream brings news. */
  stream(number: number): boolean {
    const fresh = !this.#byLetter.has(number);
    this.#overStream = Math.max(this.#overStream, number);
    for (const each of this.#byLetter) if (each <= number) this.#byLetter.delete(each);
    return fresh;
  }
}

/** What an inbox needs of its surroundings. */
export interface InboxContext {
  readonly counters: Counters;
  onMessage(from: string, message: Message): void;
}

/** Hands over messages. */
export class Inbox {
  readonly #context: InboxContext;
  readonly #come = new Map<string, Come>();

  constructor(context: InboxContext) {
    this.#context = context;
  }

  /** @throws FlowsieveError FLOWSIEVE_FORMAT for bytes that are no message */
  fromLetter(from: string, { life, number }: MessageId, bytes: Buffer): void {
    this.#hand(from, bytes, this.#of(from, life).letter(number));
  }

  /** @throws FlowsieveError FLOWSIEVE_FORMAT for bytes that are no message */
  fromStream(from: string, { life, number }: MessageId, bytes: Buffer): void {
    this.#hand(from, bytes, this.#of(from, life).stream(number));
  }

  /** True for a message that has been handed over. */
  has(from: string, { life, number }: MessageId): boolean {
    const come = this.#come.get(from);
    return come?.life === life && come.has(number);
  }

  /** Forgets everybody but these. */
  prune(peers: ReadonlyMap<string, unknown>): void {
    for (const name of this.#come.keys()) if (!peers.has(name)) this.#come.delete(name);
  }

  #of(from: string, life: Incarnation): Come {
    const known = this.#come.get(from);
    if (known?.life === life) return known;
    const begun = new Come(life);
    this.#come.set(from, begun);
    return begun;
  }

  #hand(from: string, bytes: Buffer, fresh: boolean): void {
    const { counters } = this.#context;
    if (!fresh) {
      counters.add('messagesDoubled');
      return;
    }
    const message = decodeMessage(bytes);
    counters.add('messagesReceived');
    // An error of the receiver's is none of the way's.
    queueMicrotask(() => this.#context.onMessage(from, message));
  }
}
