// Frames of a stream, and what is in them:
//
//   bytes that follow (4)  type (1)  body
//
//   HELLO    incarnation (8)  purpose (1): 0, or the kind of a list and epoch (8)
//   WELCOME  the other's incarnation (8)
//   REFUSED  why: one byte of its length, one of REFUSED_WHY
//   MESSAGE  its number (8)  messages.ts
//   PING, PONG  nothing
//   NAMES    index of the first (4)  how many (2)  names: they continue the list so far
//   RECORDS  the sender's tick (8)  milliseconds from the request until they were made (4)
//            records of 64 bytes, at least one
//   TAKEN    how many records have been taken so far (8)
//   END      how many records there were (8)
import type { Incarnation, ListKind } from '../protocol/index.js';
import { malformed, NAME_BYTES_MAX, Reader, Writer } from './bytes.js';
import { MESSAGE_BYTES_MAX } from './messages.js';

/** The types of frames. */
export const FRAME = {
  hello: 1,
  welcome: 2,
  refused: 3,
  message: 4,
  ping: 5,
  pong: 6,
  names: 7,
  records: 8,
  end: 9,
  taken: 10,
} as const;

/** The bytes of a record in a list. */
export const LIST_RECORD_BYTES = 64;
/** The most records of a frame; longer blocks are taken apart. */
export const FRAME_RECORDS_MAX = 8192;
/** The most names of a frame. */
export const FRAME_NAMES_MAX = 1024;

const HEADER_BYTES = 5;
/** Longer bodies are rare, and their memory is given back. */
const KEPT_BYTES_MAX = 1024 * 1024;

// No type that is not here exists, and none is longer.
const BODY_BYTES_MAX = new Map<number, number>([
  [FRAME.hello, 17],
  [FRAME.welcome, 8],
  [FRAME.refused, 1],
  [FRAME.message, 8 + MESSAGE_BYTES_MAX],
  [FRAME.ping, 0],
  [FRAME.pong, 0],
  [FRAME.names, 6 + FRAME_NAMES_MAX * (1 + NAME_BYTES_MAX)],
  [FRAME.records, 12 + FRAME_RECORDS_MAX * LIST_RECORD_BYTES],
  [FRAME.end, 8],
  [FRAME.taken, 8],
]);

/** A frame that came. */
export interface Frame {
  readonly type: number;
  /** Valid until the next frame is asked for. */
  readonly body: Buffer;
}

/** The bytes of a frame whose body comes after them. */
export function frameHeader(type: number, bodyBytes: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32BE(bodyBytes + 1, 0);
  header.writeUInt8(type, 4);
  return header;
}

/** The bytes of a whole frame. */
export function encodeFrame(type: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([frameHeader(type, body.length), body]);
}

/** Makes frames out of what a stream gives, whatever the pieces. */
export class FrameReader {
  #takes: ReadonlySet<number>;
  #chunk: Buffer = Buffer.alloc(0);
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #kept: Buffer = Buffer.alloc(0);
  #body: Buffer | null = null;
  #bodyBytes = 0;

  /** @param takes - the types that may come here; any other is an error */
  constructor(takes: readonly number[]) {
    this.#takes = new Set(takes);
  }

  /** From now on these types may come. */
  expect(takes: readonly number[]): void {
    this.#takes = new Set(takes);
  }

  /** The next piece; every frame of the piece before must have been taken. */
  push(chunk: Buffer): void {
    this.#chunk = this.#chunk.length === 0 ? chunk : Buffer.concat([this.#chunk, chunk]);
  }

  /**
   * The next whole frame, or null until there is more.
   *
   * @throws FlowsieveError FLOWSIEVE_FORMAT for a frame that may not come, or is too long
   */
  next(): Frame | null {
    const bodyBytes = this.#readHeader();
    if (bodyBytes === null) return null;
    // A body that lies in one piece is not copied.
    if (this.#body === null && this.#chunk.length >= bodyBytes)
      return this.#emit(this.#cut(bodyBytes));
    this.#body ??= this.#room(bodyBytes);
    const piece = this.#cut(Math.min(this.#chunk.length, bodyBytes - this.#bodyBytes));
    piece.copy(this.#body, this.#bodyBytes);
    this.#bodyBytes += piece.length;
    return this.#bodyBytes === bodyBytes ? this.#emit(this.#body) : null;
  }

  // A list is many bodies of the same length: they take turns in one buffer.
  #room(bodyBytes: number): Buffer {
    if (bodyBytes > KEPT_BYTES_MAX) return Buffer.allocUnsafe(bodyBytes);
    if (this.#kept.length < bodyBytes) this.#kept = Buffer.allocUnsafe(bodyBytes);
    return this.#kept.subarray(0, bodyBytes);
  }

  #cut(count: number): Buffer {
    const piece = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    return piece;
  }

  #emit(body: Buffer): Frame {
    this.#headerBytes = 0;
    this.#body = null;
    this.#bodyBytes = 0;
    return { type: this.#header.readUInt8(4), body };
  }

  #readHeader(): number | null {
    if (this.#headerBytes < HEADER_BYTES) {
      const piece = this.#cut(Math.min(this.#chunk.length, HEADER_BYTES - this.#headerBytes));
      piece.copy(this.#header, this.#headerBytes);
      this.#headerBytes += piece.length;
      if (this.#headerBytes < HEADER_BYTES) return null;
    }
    const type = this.#header.readUInt8(4);
    const bodyBytes = this.#header.readUInt32BE(0) - 1;
    const most = this.#takes.has(type) ? (BODY_BYTES_MAX.get(type) ?? -1) : -1;
    if (bodyBytes < 0 || bodyBytes > most) {
      throw malformed('a frame that may come here', 'a stream', `type ${type}, ${bodyBytes} bytes`);
    }
    return bodyBytes;
  }
}

/** What is pulled as a list: connections, or the expectations that belong to a node's tables. */
export type ListedKind = ListKind | 'expected';

/** A list that is asked for. */
export interface ListRequest {
  readonly kind: ListedKind;
  readonly epoch: number;
}

/** How a connection begins. */
export interface Hello {
  readonly incarnation: Incarnation;
  /** Null: the connection is for messages. */
  readonly list: ListRequest | null;
}

const LIST_KINDS = [
  'tables',
  'own',
  'moving',
  'released',
  'claims',
  'contested',
  'expected',
] as const satisfies readonly ListedKind[];
// Does not compile when a kind is missing above.
const allKinds: [ListedKind] extends [(typeof LIST_KINDS)[number]] ? true : never = true;

/** Writes what is asked for: 0 for none, or the kind of a list and its epoch. */
export function writeList(writer: Writer, list: ListRequest | null): void {
  writer.u8(list && allKinds ? LIST_KINDS.indexOf(list.kind) + 1 : 0);
  if (list) writer.count(list.epoch, 'an epoch');
}

/** @throws FlowsieveError FLOWSIEVE_FORMAT */
export function readList(reader: Reader, subject: string): ListRequest | null {
  const purpose = reader.u8('a purpose');
  const kind = LIST_KINDS[purpose - 1];
  if (purpose !== 0 && !kind) throw malformed('a known purpose', subject, `${purpose}`);
  return kind ? { kind, epoch: reader.count('an epoch') } : null;
}

/** The body of HELLO. */
export function encodeHello({ incarnation, list }: Hello): Buffer {
  const writer = new Writer(32);
  writer.count(incarnation, 'an incarnation');
  writeList(writer, list);
  return writer.take();
}

/** @throws FlowsieveError FLOWSIEVE_FORMAT */
export function decodeHello(body: Buffer): Hello {
  const reader = new Reader(body);
  const incarnation = reader.count('an incarnation');
  const list = readList(reader, 'HELLO');
  reader.end('HELLO');
  return { incarnation, list };
}

/** What comes in front of a message, in a frame and in a letter: its number. */
export function encodeNumber(number: number): Buffer {
  return encodeCount(number);
}

/** @throws FlowsieveError FLOWSIEVE_FORMAT */
export function decodeNumbered(body: Buffer): { number: number; message: Buffer } {
  const reader = new Reader(body);
  return { number: reader.count('the number of a message'), message: reader.rest() };
}

/** Why a connection is refused after its HELLO. */
export const REFUSED_WHY = {
  incarnation: 'a later life of this node has been seen there',
  list: 'it has no such list to give now',
  crowded: 'it gives too many lists already',
} as const;

/** One of {@link REFUSED_WHY}. */
export type RefusedWhy = keyof typeof REFUSED_WHY;
const WHYS = Object.keys(REFUSED_WHY) as RefusedWhy[];

/** The body of REFUSED. */
export function encodeRefused(why: RefusedWhy): Buffer {
  return Buffer.of(WHYS.indexOf(why));
}

/** @throws FlowsieveError FLOWSIEVE_FORMAT */
export function decodeRefused(body: Buffer): RefusedWhy {
  const reader = new Reader(body);
  const why = WHYS[reader.u8('a reason')];
  reader.end('REFUSED');
  if (!why) throw malformed('a known reason', 'REFUSED', 'another');
  return why;
}

/** The body of a frame that is one count: WELCOME, TAKEN, END. */
export function encodeCount(count: number): Buffer {
  const writer = new Writer(8);
  writer.count(count, 'a count');
  return writer.take();
}

/** @throws FlowsieveError FLOWSIEVE_FORMAT */
export function decodeCount(body: Buffer): number {
  const reader = new Reader(body);
  const count = reader.count('a count');
  reader.end('a count');
  return count;
}

/** The body of NAMES. */
export function encodeNames(first: number, names: readonly string[]): Buffer {
  const writer = new Writer();
  writer.u32(first);
  writer.u16(names.length);
  for (const name of names) writer.name(name, 'a name of a list');
  return writer.take();
}

/** @throws FlowsieveError FLOWSIEVE_FORMAT */
export function decodeNames(body: Buffer): { first: number; names: string[] } {
  const reader = new Reader(body);
  const first = reader.u32('the index of a name');
  const count = reader.u16('a number of names');
  const names: string[] = [];
  while (names.length < count) names.push(reader.name('a name of a list'));
  reader.end('NAMES');
  return { first, names };
}

/** What stands in front of the records of a frame. */
export interface RecordsHead {
  /** The sender's tick. */
  readonly now: number;
  /** Whole milliseconds from the request until they were made: rather too few than too many. */
  readonly madeAfter: number;
}

/** The beginning of the body of RECORDS; the records come after it. */
export function encodeRecordsHead({ now, madeAfter }: RecordsHead): Buffer {
  const writer = new Writer(12);
  writer.count(now, 'a tick');
  writer.u32(madeAfter);
  return writer.take();
}

/** @throws FlowsieveError FLOWSIEVE_FORMAT */
export function decodeRecords(body: Buffer): RecordsHead & { records: Buffer } {
  const reader = new Reader(body);
  const now = reader.count('a tick');
  const madeAfter = reader.u32('milliseconds');
  const records = reader.rest();
  if (records.length === 0 || records.length % LIST_RECORD_BYTES !== 0) {
    const expected = `a multiple of ${LIST_RECORD_BYTES} bytes`;
    throw malformed(expected, 'RECORDS', `${records.length}`);
  }
  return { now, madeAfter, records };
}
