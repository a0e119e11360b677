// Messages that are too long for one letter come in pieces, each of them as often as a short
// message would. What is missing a piece is forgotten after a moment: the stream brings it. Memory
// is bounded: so many messages of a peer, of so many pieces.
import type { Incarnation } from '../protocol/index.js';
import { type Content, PART_BYTES } from './letters.js';

/** The longest message that goes by letters. */
export const PIECES_BYTES_MAX = 16 * PART_BYTES;
/** How many messages of a peer may miss pieces. */
const WAITING_MAX = 16;
const WAIT_MS = 500;

/** A piece of a message. */
export type Piece = Extract<Content, { type: 'piece' }>;

/** The pieces of a message that is not too long. */
export function cut(number: number, message: Buffer): Piece[] {
  const pieces = Math.ceil(message.length / PART_BYTES);
  return Array.from({ length: pieces }, (_, piece) => {
    const bytes = message.subarray(piece * PART_BYTES, (piece + 1) * PART_BYTES);
    return { type: 'piece', number, pieces, piece, bytes };
  });
}

interface Waiting {
  readonly since: number;
  readonly pieces: (Buffer | undefined)[];
  missing: number;
}

/** The pieces of one peer's messages. */
export class Pieces {
  #life: Incarnation = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** How many messages miss pieces. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Takes a piece of one of the peer's lives; returns the message when it is whole. */
  take(life: Incarnation, { number, pieces, piece, bytes }: Piece, now: number): Buffer | null {
    if (life !== this.#life) this.#waiting.clear();
    this.#life = life;
    this.#forget(now - WAIT_MS);
    const known = this.#waiting.get(number);
    if (!known && pieces * PART_BYTES > PIECES_BYTES_MAX) return null;
    const waiting = known ?? { since: now, pieces: Array(pieces).fill(undefined), missing: pieces };
    this.#waiting.set(number, waiting);
    if (pieces !== waiting.pieces.length || waiting.pieces[piece]) return null;
    waiting.pieces[piece] = bytes;
    waiting.missing -= 1;
    if (waiting.missing > 0) {
      if (this.#waiting.size > WAITING_MAX) this.#waiting.delete(this.#oldest());
      return null;
    }
    this.#waiting.delete(number);
    return Buffer.concat(waiting.pieces as Buffer[]);
  }

  /** The map keeps the order in which messages began to come. */
  #oldest(): number {
    return this.#waiting.keys().next().value as number;
  }

  #forget(before: number): void {
    for (const [number, { since }] of this.#waiting) {
      if (since < before) this.#waiting.delete(number);
    }
  }
}
