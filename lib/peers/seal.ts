// A heartbeat or a letter as it goes over the network:
//
//   magic (2)  version (1)  layout (1)  cluster (4)  key id (4)  run (6)  number (6)  sender
//   encrypted heartbeat or letter  tag (16)
//
// The magic is "FS" for a heartbeat and "FL" for a letter. AES-256-GCM; everything before the
// encrypted part is authenticated with it. The nonce is the twelve bytes of run and number: a run
// is drawn at random when a process starts to send, and its numbers only grow, for each path and
// receiver, whatever key is used. So a nonce comes twice only if two runs of a node draw the same
// 48 bits under the same secret.
//
// Until the tag has been verified nothing is kept and nothing is believed; the order of checks is
// from cheap to dear.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type Incarnation, PROTOCOL_VERSION } from '../protocol/index.js';
import { NAME_BYTES_MAX, NAME_PATTERN } from './bytes.js';
import type { Secret } from './keys.js';
import type { Refusal } from './refusals.js';
import { ReplayWindow } from './window.js';

/** A path that heartbeats take. */
export type HeartbeatPath = 'sync' | 'wire';
/** What is sealed: heartbeats on their paths, and letters. Each has keys and windows of its own. */
export type SealedPath = HeartbeatPath | 'letter';

const MAGIC: Readonly<Record<SealedPath, number>> = { sync: 0x4653, wire: 0x4653, letter: 0x464c };
const CIPHER = 'aes-256-gcm';
const TAG_BYTES = 16;
const RUN_AT = 12;
const RUN_BYTES = 6;
const NUMBER_AT = RUN_AT + RUN_BYTES;
const NUMBER_BYTES = 6;
const NAME_AT = NUMBER_AT + NUMBER_BYTES;
const DATAGRAM_BYTES_MAX = 9000;

/** What seals add to the bytes of this sender. */
export function sealBytes(sender: string): number {
  return NAME_AT + 1 + sender.length + TAG_BYTES;
}

/** The nonces of this process. */
export class Numbering {
  readonly run = randomBytes(RUN_BYTES);
  readonly #numbers = new Map<string, number>();

  /** The next number towards `to`; never one that was there before. */
  next(to: string): number {
    const number = this.#numbers.get(to) ?? 0;
    this.#numbers.set(to, number + 1);
    return number;
  }
}

/** True for what claims to be a letter. */
export function isLetter(sealed: Buffer): boolean {
  return sealed.length >= 2 && sealed.readUInt16BE(0) === MAGIC.letter;
}

/** What everything sealed of a cluster begins with. */
export interface Common {
  readonly layout: number;
  readonly cluster: Buffer;
}

/** Who seals for whom. */
export interface Seal extends Common {
  readonly secret: Secret;
  readonly key: Buffer;
  readonly numbering: Numbering;
  readonly sender: string;
  readonly path: SealedPath;
  readonly to: string;
}

/** Seals the bytes of a heartbeat or a letter. */
export function seal(plain: Buffer, by: Seal): Buffer {
  const headBytes = NAME_AT + 1 + by.sender.length;
  const sealed = Buffer.allocUnsafe(headBytes + plain.length + TAG_BYTES);
  sealed.writeUInt16BE(MAGIC[by.path], 0);
  sealed.writeUInt8(PROTOCOL_VERSION, 2);
  sealed.writeUInt8(by.layout, 3);
  by.cluster.copy(sealed, 4);
  by.secret.id.copy(sealed, 8);
  by.numbering.run.copy(sealed, RUN_AT);
  sealed.writeUIntBE(by.numbering.next(`${by.path}/${by.to}`), NUMBER_AT, NUMBER_BYTES);
  sealed.writeUInt8(by.sender.length, NAME_AT);
  sealed.write(by.sender, NAME_AT + 1, 'latin1');
  const cipher = createCipheriv(CIPHER, by.key, sealed.subarray(RUN_AT, NAME_AT), {
    authTagLength: TAG_BYTES,
  });
  cipher.setAAD(sealed.subarray(0, headBytes));
  cipher.update(plain).copy(sealed, headBytes);
  cipher.final();
  cipher.getAuthTag().copy(sealed, headBytes + plain.length);
  return sealed;
}

/** What has been seen of a sender on one path. */
interface Seen {
  readonly incarnation: number;
  readonly run: Buffer;
  readonly window: ReplayWindow;
}

/** A node whose heartbeats and letters are opened, and what has been seen of it. */
export interface Sender {
  readonly name: string;
  /** The keys by the number that their id is. */
  keys: ReadonlyMap<number, Readonly<Record<SealedPath, Buffer>>>;
  /** Its latest life, seen on any path; 0: none. */
  incarnation: number;
  readonly seen: Record<SealedPath, Seen | null>;
}

/** What was said in which life of its sender. */
export interface Said {
  readonly incarnation: Incarnation;
}

/** What opening needs. */
export interface Opening<T extends Said> extends Common {
  readonly path: SealedPath;
  readonly knows: (keyId: number) => boolean;
  readonly sender: (name: string) => Sender | undefined;
  /** May refuse a sender by where the datagram came from. */
  readonly admits: (sender: Sender, source: string) => boolean;
  /** What the bytes of a sender say; throws when they say nothing. */
  readonly read: (plain: Buffer, sender: Sender) => T;
  /** May refuse what was said, before anything is kept. */
  readonly judge: (said: T) => Refusal | undefined;
}

/** What came of opening: what was said, or why there is nothing. */
export type Opened<T> =
  | { readonly said: T; readonly sender: Sender }
  /** Of whom it says that it comes, if it got so far. */
  | { readonly refused: Refusal; readonly from: string };

function refuse(refused: Refusal, from = ''): Opened<never> {
  return { refused, from };
}

function checkHead(sealed: Buffer, common: Common, path: SealedPath): Refusal | undefined {
  if (sealed.length < NAME_AT + 2 + TAG_BYTES || sealed.length > DATAGRAM_BYTES_MAX) {
    return 'garbage';
  }
  if (sealed.readUInt16BE(0) !== MAGIC[path]) return 'garbage';
  if (sealed[2] !== PROTOCOL_VERSION) return 'version';
  if (common.cluster.compare(sealed, 4, 8) !== 0) return 'cluster';
  return sealed[3] === common.layout ? undefined : 'layout';
}

/** Opens what came on a path; the sender's state changes only when it was authentic and new. */
export function open<T extends Said>(
  sealed: Buffer,
  opening: Opening<T>,
  source: string,
): Opened<T> {
  const wrong = checkHead(sealed, opening, opening.path);
  if (wrong) return refuse(wrong);
  const keyId = sealed.readUInt32BE(8);
  if (!opening.knows(keyId)) return refuse('secret');
  const nameBytes = sealed.readUInt8(NAME_AT);
  const headBytes = NAME_AT + 1 + nameBytes;
  if (nameBytes > NAME_BYTES_MAX || headBytes + TAG_BYTES > sealed.length) {
    return refuse('garbage');
  }
  const name = sealed.toString('latin1', NAME_AT + 1, headBytes);
  const sender = opening.sender(name);
  if (!sender) return NAME_PATTERN.test(name) ? refuse('name', name) : refuse('garbage');
  if (!opening.admits(sender, source)) return refuse('address', name);
  const run = sealed.subarray(RUN_AT, NUMBER_AT);
  const number = sealed.readUIntBE(NUMBER_AT, NUMBER_BYTES);
  const seen = sender.seen[opening.path];
  if (seen?.run.equals(run) && seen.window.has(number)) return refuse('replay', name);
  const key = sender.keys.get(keyId)?.[opening.path];
  const plain = key && decrypt(sealed, headBytes, key);
  if (!plain) return refuse('forged', name);
  return admit(plain, sender, opening, run, number);
}

function decrypt(sealed: Buffer, headBytes: number, key: Buffer): Buffer | undefined {
  const tagAt = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(RUN_AT, NAME_AT), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(sealed.subarray(0, headBytes));
  decipher.setAuthTag(sealed.subarray(tagAt));
  const plain = decipher.update(sealed.subarray(headBytes, tagAt));
  try {
    decipher.final();
    return plain;
  } catch {
    return undefined;
  }
}

function admit<T extends Said>(
  plain: Buffer,
  sender: Sender,
  { path, read, judge }: Opening<T>,
  run: Buffer,
  number: number,
): Opened<T> {
  let said: T;
  try {
    said = read(plain, sender);
  } catch {
    return refuse('malformed', sender.name);
  }
  const { name } = sender;
  const { incarnation } = said;
  if (incarnation < sender.incarnation) return refuse('incarnation', name);
  const wrong = judge(said);
  if (wrong) return refuse(wrong, name);
  let seen = sender.seen[path];
  if (!seen || seen.incarnation < incarnation) {
    seen = { incarnation, run: Buffer.from(run), window: new ReplayWindow() };
    sender.seen[path] = seen;
  }
  sender.incarnation = incarnation;
  // One incarnation has one run; another is a copy of the node beside it.
  if (!seen.run.equals(run) || !seen.window.take(number)) return refuse('replay', name);
  return { said, sender };
}
