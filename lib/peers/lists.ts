// Pulling a list: frames of names and records, and one that ends them. Over a connection of its own
// nothing is read ahead: the next frame is taken when the caller has done with the last, and the
// giver is told. A short list may have been collected and is taken as a whole instead.
//
// A list tells how things were when it was made: whoever takes it much later brings connections
// back that are over, and takes their times for later ones. So each frame of records says how long
// after the request it was made. The request was made before the giver had it; so what is left of
// the time since then, by the puller's own clock, is at least the age of the records, wherever they
// have been meanwhile. What is too old is not handed over, and the pull has failed.
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import { malformed } from './bytes.js';
import type { Connection } from './connection.js';
import { tooSlow } from './dial.js';
import {
  decodeCount,
  decodeNames,
  decodeRecords,
  encodeCount,
  FRAME,
  type Frame,
  FrameReader,
  LIST_RECORD_BYTES,
} from './frames.js';
import type { ListBlock } from './types.js';

const NAMES_MAX = 65_535;
const LIST_FRAMES = [FRAME.names, FRAME.records, FRAME.end];

/** What a pull took. */
export interface Pulled {
  readonly records: number;
  readonly bytes: number;
}

function endedEarly(peer: string, records: number): FlowsieveError {
  const sentence = expectedSentence('a whole list', peer, `its end after ${records} records`);
  return new FlowsieveError('FLOWSIEVE_SYSTEM', sentence);
}

/** What bounds the age of a list, and is told when it is passed. */
export interface Ages {
  /** When the list was asked for, or before, by `performance.now()`. */
  readonly askedAt: number;
  /** How old records may be when they are handed over. */
  readonly ageMs: number;
  /** Some are older; the pull fails. */
  onOld(): void;
}

/** What a pull has taken so far. */
class Taken {
  readonly #peer: string;
  readonly #ages: Ages;
  names: readonly string[] = [];
  records = 0;

  constructor(peer: string, ages: Ages) {
    this.#peer = peer;
    this.#ages = ages;
  }

  #addNames(body: Buffer): void {
    const { first, names } = decodeNames(body);
    if (first !== this.names.length || first + names.length > NAMES_MAX || names.length === 0) {
      throw malformed(`more names from ${this.names.length} on`, 'a list', `some from ${first}`);
    }
    this.names = [...this.names, ...names];
  }

  /** Takes a frame and hands its records over; returns what was taken when it was the last. */
  async take(
    frame: Frame,
    onBlock: (block: ListBlock) => Promise<void>,
  ): Promise<Pulled | undefined> {
    if (frame.type === FRAME.end) return this.#end(frame.body);
    if (frame.type === FRAME.names) {
      this.#addNames(frame.body);
      return undefined;
    }
    const { now, madeAfter, records } = decodeRecords(frame.body);
    this.#checkAge(madeAfter);
    await handOver(onBlock, { records, now, names: this.names });
    this.records += records.length / LIST_RECORD_BYTES;
    return undefined;
  }

  #checkAge(madeAfter: number): void {
    const { askedAt, ageMs, onOld } = this.#ages;
    const age = performance.now() - askedAt - madeAfter;
    if (age <= ageMs) return;
    onOld();
    const expected = `records that are at most ${ageMs} ms old`;
    const sentence = expectedSentence(expected, this.#peer, `some of ${Math.round(age)} ms`);
    throw new FlowsieveError('FLOWSIEVE_TIMEOUT', sentence);
  }

  #end(body: Buffer): Pulled {
    const given = decodeCount(body);
    if (given !== this.records) throw malformed(`${given} records`, 'a list', `${this.records}`);
    return { records: given, bytes: given * LIST_RECORD_BYTES };
  }
}

/**
 * Takes a list until its end.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT, FLOWSIEVE_TIMEOUT when it stands still or is too old,
 * FLOWSIEVE_SYSTEM when it ends early, FLOWSIEVE_INTERNAL when `onBlock` fails with something else
 */
export async function pullList(
  from: Connection,
  peer: string,
  { stallMs, ...ages }: Ages & { readonly stallMs: number },
  onBlock: (block: ListBlock) => Promise<void>,
): Promise<Pulled> {
  const taken = new Taken(peer, ages);
  from.expect(LIST_FRAMES);
  for (;;) {
    from.limitSilence(stallMs, () => tooSlow(peer, 'progress of a list', stallMs));
    const frame = await nextOf(from, peer, taken);
    // What the caller does with a block is not the peer's silence.
    from.limitSilence(0);
    const pulled = await taken.take(frame, onBlock);
    if (pulled) return pulled;
    if (frame.type === FRAME.records) from.send(FRAME.taken, encodeCount(taken.records));
  }
}

/**
 * Takes a list of a peer whose frames are all there.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT, FLOWSIEVE_TIMEOUT when it is too old,
 * FLOWSIEVE_INTERNAL when `onBlock` fails with something else
 */
export async function takeList(
  frames: Buffer,
  peer: string,
  ages: Ages,
  onBlock: (block: ListBlock) => Promise<void>,
): Promise<Pulled> {
  const taken = new Taken(peer, ages);
  const reader = new FrameReader(LIST_FRAMES);
  reader.push(frames);
  for (let frame = reader.next(); frame; frame = reader.next()) {
    const pulled = await taken.take(frame, onBlock);
    if (pulled) return pulled;
  }
  throw malformed('a whole list', 'the parts of a list', `its end after ${taken.records} records`);
}

async function nextOf(from: Connection, peer: string, taken: Taken): Promise<Frame> {
  try {
    const frame = await from.next();
    if (frame) return frame;
  } catch (error) {
    if (error instanceof FlowsieveError) throw error;
  }
  throw endedEarly(peer, taken.records);
}

async function handOver(onBlock: (block: ListBlock) => Promise<void>, block: ListBlock) {
  try {
    await onBlock(block);
  } catch (error) {
    if (error instanceof FlowsieveError) throw error;
    const sentence = `Expected a block of a list to be taken but received ${error}.`;
    throw new FlowsieveError('FLOWSIEVE_INTERNAL', sentence, { cause: error });
  }
}
