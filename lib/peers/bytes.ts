// Reading and writing what goes over the network. A reader never looks past its bytes, and every
// value has one spelling only: whatever was read is written again as the same bytes.
import { expectedSentence, FlowsieveError } from '../errors/index.js';

/** The form of the names of nodes and clusters, as lib/config takes them. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** The most bytes of a name. */
export const NAME_BYTES_MAX = 63;

/** The error for bytes that are not what they should be. */
export function malformed(expected: string, subject: string, received: string): FlowsieveError {
  return new FlowsieveError('FLOWSIEVE_FORMAT', expectedSentence(expected, subject, received));
}

const HIGH = 2 ** 32;

/** Takes values out of bytes, in order; all numbers are big-endian. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(count: number, subject: string): number {
    const at = this.#at;
    const left = this.#bytes.length - at;
    if (count > left) throw malformed(`${count} more bytes`, subject, `${left}`);
    this.#at = at + count;
    return at;
  }

  /** The bytes that nobody has taken yet. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(subject: string): number {
    return this.#bytes.readUInt8(this.#take(1, subject));
  }

  u16(subject: string): number {
    return this.#bytes.readUInt16BE(this.#take(2, subject));
  }

  u32(subject: string): number {
    return this.#bytes.readUInt32BE(this.#take(4, subject));
  }

  /** Eight bytes, at most 2^53 - 1. */
  count(subject: string): number {
    const at = this.#take(8, subject);
    const value = this.#bytes.readUInt32BE(at) * HIGH + this.#bytes.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) throw malformed('at most 2^53 - 1', subject, `${value}`);
    return value;
  }

  /** A reading of a clock: a double that is finite and not negative. */
  clock(subject: string): number {
    const value = this.#bytes.readDoubleBE(this.#take(8, subject));
    if (!isReading(value)) throw malformed('a finite number from 0', subject, `${value}`);
    return value;
  }

  /** A byte of its length and a name; null for length 0. */
  nameOrNull(subject: string): string | null {
    const length = this.u8(subject);
    if (length === 0) return null;
    const at = this.#take(length, subject);
    const name = this.#bytes.toString('latin1', at, at + length);
    if (!NAME_PATTERN.test(name)) throw malformed('a name', subject, JSON.stringify(name));
    return name;
  }

  name(subject: string): string {
    const name = this.nameOrNull(subject);
    if (name === null) throw malformed('a name', subject, 'an empty one');
    return name;
  }

  /** The next `count` bytes, not copied. */
  bytes(count: number, subject: string): Buffer {
    const at = this.#take(count, subject);
    return this.#bytes.subarray(at, at + count);
  }

  /** Everything that is left, not copied. */
  rest(): Buffer {
    return this.bytes(this.left, 'the rest');
  }

  /** @throws FlowsieveError FLOWSIEVE_FORMAT when bytes are left */
  end(subject: string): void {
    if (this.left > 0) throw malformed('its end', subject, `${this.left} more bytes`);
  }
}

/** True for what {@link Reader.clock} takes; minus zero would have two spellings. */
function isReading(value: number): boolean {
  return Number.isFinite(value) && value >= 0 && !Object.is(value, -0);
}

/** Puts values into bytes; what a {@link Reader} would refuse is refused here. */
export class Writer {
  #bytes: Buffer;
  #at = 0;

  constructor(size = 256) {
    this.#bytes = Buffer.allocUnsafe(size);
  }

  /** Where the next `count` bytes go; `#bytes` is another one after it has grown. */
  #room(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, at + count));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    this.#at = at + count;
    return at;
  }

  /** How many bytes there are. */
  get length(): number {
    return this.#at;
  }

  /** Forgets everything after the first `length` bytes. */
  cut(length: number): void {
    this.#at = length;
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#bytes.writeUInt8(value, at);
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#bytes.writeUInt16BE(value, at);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#bytes.writeUInt32BE(value, at);
  }

  count(value: number, subject: string): void {
    if (!Number.isSafeInteger(value) || value < 0) throw unwritable('a count', subject, value);
    const at = this.#room(8);
    this.#bytes.writeUInt32BE(Math.floor(value / HIGH), at);
    this.#bytes.writeUInt32BE(value % HIGH, at + 4);
  }

  clock(value: number, subject: string): void {
    if (!isReading(value)) throw unwritable('a finite number from 0', subject, value);
    const at = this.#room(8);
    this.#bytes.writeDoubleBE(value, at);
  }

  name(name: string | null, subject: string): void {
    if (name !== null && !NAME_PATTERN.test(name)) throw unwritable('a name', subject, name);
    const length = name?.length ?? 0;
    this.u8(length);
    const at = this.#room(length);
    if (name !== null) this.#bytes.write(name, at, 'latin1');
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** What was written, not copied. */
  take(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}

function unwritable(expected: string, subject: string, value: unknown): FlowsieveError {
  const received = JSON.stringify(value) ?? 'nothing';
  return new FlowsieveError('FLOWSIEVE_ARGUMENT', expectedSentence(expected, subject, received));
}
