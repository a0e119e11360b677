// A letter: what goes as a datagram beside the streams, so that a lost packet costs a few
// milliseconds and not a retransmission of TCP. Before it is sealed (seal.ts) it is:
//
//   the sender's incarnation (8)  the receiver's (8)  type (1)  body
//
//   MESSAGE  its number (8)  messages.ts
//   PIECE    the number of a message (8)  how many pieces it is in (1)  which (1)  bytes
//   ASK      request (8)  kind of a list (1)  epoch (8)  which parts are missing (4): bit i, part i
//   PART     request (8)  snapshot (8)  how many parts (1)  which (1)  bytes
//   NOTHING  request (8)  why (1): one of NO_LIST
//
// The parts of a list are the frames that a stream would bring (frames.ts); they are all of one
// length, and so are the pieces of a message that does not fit a letter: only the last may be
// shorter. A letter is for one life of its receiver: no other life takes it.
import type { Incarnation } from '../protocol/index.js';
import { malformed, Reader, Writer } from './bytes.js';
import { type ListRequest, readList, writeList } from './frames.js';

/** The most bytes of a sealed letter: with its headers it fits the MTU of every network. */
export const LETTER_BYTES_MAX = 1200;
/** The bytes of a part; sealed by the longest name they are still a letter. */
export const PART_BYTES = 1056;
/** The most parts of a list. */
export const PARTS_MAX = 32;
/** The longest list that comes by letters: 512 records, their names and heads. */
export const LETTER_LIST_BYTES_MAX = PARTS_MAX * PART_BYTES;
/** All parts, as ASK says it. */
export const ALL_PARTS = 2 ** PARTS_MAX - 1;
/** What a letter adds to the bytes of a message. */
export const LETTER_HEAD_BYTES = 25;

const TYPE = { message: 1, ask: 2, part: 3, nothing: 4, piece: 5 } as const;

/** Why no list comes by letters. */
export const NO_LIST = {
  list: 'it has no such list to give now',
  elsewhere: 'the list is to be pulled over a stream',
} as const;

/** One of {@link NO_LIST}. */
export type NoList = keyof typeof NO_LIST;
const WHYS = Object.keys(NO_LIST) as NoList[];

/** What a letter says. */
export type Content =
  | { readonly type: 'message'; readonly number: number; readonly message: Buffer }
  | {
      readonly type: 'piece';
      /** Of the message. */
      readonly number: number;
      readonly pieces: number;
      readonly piece: number;
      readonly bytes: Buffer;
    }
  | {
      readonly type: 'ask';
      readonly request: number;
      readonly list: ListRequest;
      readonly missing: number;
    }
  | {
      readonly type: 'part';
      readonly request: number;
      /** The same for all parts of one list. */
      readonly snapshot: number;
      readonly parts: number;
      readonly part: number;
      readonly bytes: Buffer;
    }
  | { readonly type: 'nothing'; readonly request: number; readonly why: NoList };

/** A letter from one life to another. */
export interface Letter {
  /** The sender's. */
  readonly incarnation: Incarnation;
  /** The receiver's. */
  readonly to: Incarnation;
  readonly content: Content;
}

/** The bytes of a letter. */
export function encodeLetter({ incarnation, to, content }: Letter): Buffer {
  const writer = new Writer(LETTER_BYTES_MAX);
  writer.count(incarnation, 'an incarnation');
  writer.count(to, 'an incarnation');
  writer.u8(TYPE[content.type]);
  if (content.type === 'message') {
    writer.count(content.number, 'the number of a message');
    writer.bytes(content.message);
    return writer.take();
  }
  if (content.type === 'piece') {
    writer.count(content.number, 'the number of a message');
    writer.u8(content.pieces);
    writer.u8(content.piece);
    writer.bytes(content.bytes);
    return writer.take();
  }
  writer.count(content.request, 'a request');
  if (content.type === 'ask') {
    writeList(writer, content.list);
    writer.u32(content.missing);
  } else if (content.type === 'part') {
    writer.count(content.snapshot, 'a snapshot');
    writer.u8(content.parts);
    writer.u8(content.part);
    writer.bytes(content.bytes);
  } else {
    writer.u8(WHYS.indexOf(content.why));
  }
  return writer.take();
}

/**
 * The letter that `bytes` are; what a message or a part says is not looked at.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT
 */
export function decodeLetter(bytes: Buffer): Letter {
  const reader = new Reader(bytes);
  const incarnation = reader.count('an incarnation');
  const to = reader.count('an incarnation');
  const content = readContent(reader);
  reader.end('a letter');
  return { incarnation, to, content };
}

function readContent(reader: Reader): Content {
  const type = reader.u8('the type of a letter');
  const id = reader.count('a number');
  switch (type) {
    case TYPE.message:
      return { type: 'message', number: id, message: reader.rest() };
    case TYPE.piece:
      return readPiece(reader, id);
    case TYPE.ask:
      return readAsk(reader, id);
    case TYPE.part:
      return readPart(reader, id);
    case TYPE.nothing:
      return readNothing(reader, id);
    default:
      throw malformed('a known type', 'a letter', `${type}`);
  }
}

function readAsk(reader: Reader, request: number): Content {
  const list = readList(reader, 'ASK');
  const missing = reader.u32('missing parts');
  if (!list || missing === 0) throw malformed('a list and missing parts', 'ASK', 'none');
  return { type: 'ask', request, list, missing };
}

function readPart(reader: Reader, request: number): Content {
  const snapshot = reader.count('a snapshot');
  const [parts, part, bytes] = readCut(reader, 'PART');
  return { type: 'part', request, snapshot, parts, part, bytes };
}

function readPiece(reader: Reader, number: number): Content {
  const [pieces, piece, bytes] = readCut(reader, 'PIECE');
  return { type: 'piece', number, pieces, piece, bytes };
}

/** How many there are, which it is, and its bytes. */
function readCut(reader: Reader, subject: string): [parts: number, part: number, bytes: Buffer] {
  const parts = reader.u8('a number of parts');
  const part = reader.u8('a part');
  const bytes = reader.rest();
  const last = part === parts - 1;
  const fits = last ? bytes.length > 0 && bytes.length <= PART_BYTES : bytes.length === PART_BYTES;
  if (parts > PARTS_MAX || part >= parts || !fits) {
    throw malformed('a part that fits', subject, `${part} of ${parts}, ${bytes.length} bytes`);
  }
  return [parts, part, bytes];
}

function readNothing(reader: Reader, request: number): Content {
  const why = WHYS[reader.u8('a reason')];
  if (!why) throw malformed('a known reason', 'NOTHING', 'another');
  return { type: 'nothing', request, why };
}
