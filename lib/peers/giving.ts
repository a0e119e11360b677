// Giving a list: frames of names and records, and one that ends them (lists.ts pulls). A block is
// made only when the peer has taken nearly all of the blocks before: what lies in the buffers of
// two kernels for long is old when it is taken, and so is what a slow peer has yet to come to.
// Whoever stands still for too long ends it. A short list may be collected as a whole instead.
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import { malformed } from './bytes.js';
import type { Connection } from './connection.js';
import {
  decodeCount,
  encodeCount,
  encodeNames,
  encodeRecordsHead,
  FRAME,
  FRAME_NAMES_MAX,
  FRAME_RECORDS_MAX,
  frameHeader,
  LIST_RECORD_BYTES,
} from './frames.js';
import type { ListBlock } from './types.js';

const PIECE_BYTES = FRAME_RECORDS_MAX * LIST_RECORD_BYTES;
/** Another block is made when no more records than that have been given and not taken. */
const AHEAD_RECORDS = 8192;
/**
 * A peer that takes longer over a block gets the next one when it has taken all: with several under
 * way the last would be too old before its turn came.
 */
const SLOW_MS = 40;

/** Where the frames of a list go; {@link Connection} says what each of these means. */
export interface ListSink {
  send(type: number, ...body: readonly Uint8Array[]): boolean;
  drained(): Promise<void>;
  whileOpen<T>(work: Promise<T>): Promise<T | null>;
  /**
   * Resolves when all records given but so many have been taken (all of them, when the peer is
   * slow), or the peer has gone.
   */
  taken(allBut: number): Promise<void>;
  end(): void;
}

/** A peer that pulls: it says how far it has come. */
export class StreamSink implements ListSink {
  readonly #connection: Connection;
  #given = 0;
  #taken = 0;
  /** What has been given and not taken, by what was given up to then; and when. */
  readonly #underWay: { readonly upTo: number; readonly at: number }[] = [];
  /** Until it is seen otherwise. */
  #slow = true;
  #onTaken: () => void = () => undefined;
  /**
   * Resolves when the connection has ended.
   *
   * @throws FlowsieveError FLOWSIEVE_FORMAT when the peer says what no puller says
   */
  readonly ended: Promise<void>;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.ended = this.#listen();
    // Whoever gives may fail before it looks at this.
    this.ended.catch(() => undefined);
  }

  send(type: number, ...body: readonly Uint8Array[]): boolean {
    const records = type === FRAME.records ? (body.at(-1)?.length ?? 0) : 0;
    this.#given += records / LIST_RECORD_BYTES;
    if (records > 0) this.#underWay.push({ upTo: this.#given, at: performance.now() });
    return this.#connection.send(type, ...body);
  }

  drained(): Promise<void> {
    return this.#connection.drained();
  }

  whileOpen<T>(work: Promise<T>): Promise<T | null> {
    return this.#connection.whileOpen(work);
  }

  async taken(allBut: number): Promise<void> {
    while (this.#connection.open && this.#given - this.#taken > (this.#slow ? 0 : allBut)) {
      const more = new Promise<void>((resolve) => {
        this.#onTaken = resolve;
      });
      await this.#connection.whileOpen(more);
    }
  }

  end(): void {
    this.#connection.end();
  }

  async #listen(): Promise<void> {
    const connection = this.#connection;
    try {
      for (let frame = await connection.next(); frame; frame = await connection.next()) {
        this.#take(decodeCount(frame.body));
      }
    } catch (error) {
      connection.destroy();
      // A connection that breaks is a peer that has gone.
      if (error instanceof FlowsieveError) throw error;
    }
    await connection.closed;
  }

  #take(records: number): void {
    if (records <= this.#taken || records > this.#given) {
      const expected = `${this.#taken + 1} to ${this.#given} records`;
      throw malformed(expected, 'TAKEN', `${records}`);
    }
    this.#taken = records;
    let [first] = this.#underWay;
    for (; first && first.upTo <= records; [first] = this.#underWay) {
      this.#slow = performance.now() - first.at > SLOW_MS;
      this.#underWay.shift();
    }
    this.#onTaken();
  }
}

async function giveNames(to: ListSink, given: number, names: readonly string[]) {
  for (let first = given; first < names.length; first += FRAME_NAMES_MAX) {
    const piece = names.slice(first, first + FRAME_NAMES_MAX);
    if (!to.send(FRAME.names, encodeNames(first, piece))) await to.drained();
  }
  return names.length;
}

/**
 * Gives every block of `list` to a peer. When the peer goes away, `list` is told to end, and is not
 * waited for: it may be stuck itself.
 */
export async function giveList(to: ListSink, list: AsyncIterable<ListBlock>): Promise<void> {
  const blocks = list[Symbol.asyncIterator]();
  try {
    if (await giveBlocks(to, blocks)) to.end();
  } finally {
    // Nothing comes of it when the list has ended by itself.
    blocks.return?.().catch(() => undefined);
  }
}

async function giveBlocks(to: ListSink, blocks: AsyncIterator<ListBlock>): Promise<boolean> {
  const askedAt = performance.now();
  let names = 0;
  let records = 0;
  for (;;) {
    await to.taken(AHEAD_RECORDS);
    const madeAfter = Math.floor(performance.now() - askedAt);
    const next = await to.whileOpen(blocks.next());
    if (!next) return false;
    if (next.done) break;
    const block = next.value;
    if (block.records.length % LIST_RECORD_BYTES !== 0) throw notWhole(block.records.length);
    names = await giveNames(to, names, block.names);
    for (let at = 0; at < block.records.length; at += PIECE_BYTES) {
      const piece = block.records.subarray(at, at + PIECE_BYTES);
      const head = encodeRecordsHead({ now: block.now, madeAfter });
      if (!to.send(FRAME.records, head, piece)) await to.drained();
      records += piece.length / LIST_RECORD_BYTES;
    }
  }
  to.send(FRAME.end, encodeCount(records));
  return true;
}

/** Keeps the frames of a list as long as they are few. */
class Collector implements ListSink {
  readonly #bytesMax: number;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;
  #whole = false;
  #over = false;
  #giveUp: () => void = () => undefined;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  send(type: number, ...body: readonly Uint8Array[]): boolean {
    const bytes = body.reduce((sum, piece) => sum + piece.length, 0);
    const frame = [frameHeader(type, bytes), ...body];
    for (const piece of frame) this.#bytes += piece.length;
    if (this.#bytes > this.#bytesMax) this.giveUp();
    // Copied: the giver's records are its own again when the list has ended.
    else this.#pieces.push(Buffer.concat(frame));
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  taken(): Promise<void> {
    return Promise.resolve();
  }

  whileOpen<T>(work: Promise<T>): Promise<T | null> {
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(null);
      work.then(resolve, reject);
      if (this.#over) resolve(null);
    });
  }

  end(): void {
    this.#whole = !this.#over;
  }

  giveUp(): void {
    this.#over = true;
    this.#pieces.length = 0;
    this.#giveUp();
  }

  get bytes(): Buffer | null {
    return this.#whole ? Buffer.concat(this.#pieces) : null;
  }
}

/**
 * The frames of a whole list, or null when they are more than `bytesMax` or take longer than `ms`;
 * then the list is told to end.
 */
export async function collectList(
  list: AsyncIterable<ListBlock>,
  bytesMax: number,
  ms: number,
): Promise<Buffer | null> {
  const collector = new Collector(bytesMax);
  const timer = setTimeout(() => collector.giveUp(), ms);
  try {
    await giveList(collector, list);
  } finally {
    clearTimeout(timer);
  }
  return collector.bytes;
}

function notWhole(bytes: number): FlowsieveError {
  const expected = `a multiple of ${LIST_RECORD_BYTES} bytes`;
  const sentence = expectedSentence(expected, 'the records of a block', `${bytes}`);
  return new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence);
}
