// Every decoder of the transport with messages that it takes: the corpus of the fuzzing in
// test/fuzz/messages/ is made of these, a folder for each decoder.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Reader } from '../../lib/peers/bytes.js';
import {
  decodeCount,
  decodeHello,
  decodeNames,
  decodeRecords,
  decodeRefused,
  encodeCount,
  encodeFrame,
  encodeHello,
  encodeNames,
  encodeNumber,
  encodeRecordsHead,
  encodeRefused,
  FRAME,
  type Frame,
  FrameReader,
  type RecordsHead,
} from '../../lib/peers/frames.js';
import { decodeHeartbeat, encodeHeartbeat } from '../../lib/peers/heartbeat.js';
import { decodeIdentity, encodeIdentity } from '../../lib/peers/identity.js';
import {
  ALL_PARTS,
  type Content,
  decodeLetter,
  encodeLetter,
  type Letter,
  PART_BYTES,
} from '../../lib/peers/letters.js';
import { decodeMessage, encodeMessage } from '../../lib/peers/messages.js';
import type { Criteria, Message, NodeState, Transition, View } from '../../lib/protocol/index.js';
import { echo, heartbeat } from './peers.support.js';

/** A decoder and its inverse. */
export interface Target {
  decode(bytes: Buffer): unknown;
  encode(value: unknown): Buffer;
  /** Values that are on their way every day, and some at the edges. */
  readonly samples: Readonly<Record<string, unknown>>;
}

function target<T>(
  decode: (bytes: Buffer) => T,
  encode: (value: T) => Buffer,
  samples: Readonly<Record<string, T>>,
): Target {
  return { decode, encode: encode as (value: unknown) => Buffer, samples };
}

const CRITERIA: Criteria = {
  digest: '5f0c',
  buckets: 16,
  settings: { hash: 'siphash', fields: ['source', 'sourcePort'], prefixes: { ipv4: 32 }, x: null },
};

const MEMBERS: View['members'] = [
  {
    name: 'node-1',
    incarnation: 1_700_000_000_123,
    state: 'member',
    weight: 1,
    share: null,
    wants: '5f0c',
  },
  { name: 'node-2', incarnation: 5, state: 'draining', weight: 0.001, share: 2.5, wants: '' },
  { name: 'a', incarnation: 0, state: 'dead', weight: 65_535, share: null, wants: '5f0c' },
];

const VIEW: View = {
  epoch: 8,
  term: 3,
  criteria: CRITERIA,
  members: MEMBERS,
  allocation: {
    epoch: 8,
    names: ['node-1', 'node-2', 'a'],
    owners: Uint16Array.from({ length: 16 }, (_, bucket) => bucket % 3),
  },
};

/** Two rules give to a single node: their owners stand behind those of the buckets. */
const VIEW_WITH_SINGLES: View = {
  ...VIEW,
  criteria: { ...CRITERIA, singles: [['node-2', 'node-1'], []] },
  allocation: { ...VIEW.allocation, owners: Uint16Array.of(...VIEW.allocation.owners, 1, 0) },
};

const TRANSITION: Transition = {
  kind: 'handover',
  base: 8,
  next: { ...VIEW, epoch: 9, allocation: { ...VIEW.allocation, epoch: 9 } },
  dead: [],
};

const STATE: NodeState = {
  incarnation: 77,
  view: VIEW,
  transition: { transition: TRANSITION, phase: 'prepared' },
  epochSeen: 9,
  consents: [{ name: 'a', incarnation: 0 }],
  over: [{ name: 'b', incarnation: 7 }],
};

const DEAD = [{ name: 'node-2', incarnation: 5 }];

/** One of every type of message, at least. */
const MESSAGES: Readonly<Record<string, Message>> = {
  vote: { type: 'vote', term: 4, dead: DEAD },
  voted: { type: 'voted', term: 4, granted: true, state: STATE },
  ask: { type: 'ask', term: Number.MAX_SAFE_INTEGER },
  state: {
    type: 'state',
    term: 4,
    state: { incarnation: 1, view: null, transition: null, epochSeen: 0, consents: [], over: [] },
  },
  suspect: { type: 'suspect', term: 4, dead: DEAD },
  consent: { type: 'consent', term: 4, epoch: null, dead: DEAD },
  prepare: { type: 'prepare', term: 4, transition: TRANSITION },
  hold: { type: 'hold', term: 4, epoch: 9 },
  release: { type: 'release', term: 4, epoch: 9 },
  acquire: { type: 'acquire', term: 4, epoch: 9, dead: ['a', 'node-2'] },
  takeover: {
    type: 'takeover',
    term: 4,
    transition: { ...TRANSITION, kind: 'takeover', dead: ['a'] },
  },
  commit: { type: 'commit', term: 4, view: VIEW, condemned: DEAD },
  'commit-singles': { type: 'commit', term: 4, view: VIEW_WITH_SINGLES, condemned: [] },
  settle: { type: 'settle', term: 4, epoch: 9, from: ['node-1'] },
  clear: { type: 'clear', term: 4, epoch: 9 },
  sync: { type: 'sync', term: 4, epoch: 9, from: [] },
  welcome: { type: 'welcome', term: 4, epoch: 9, donor: 'node-1' },
  done: { type: 'done', term: 4, epoch: 9, step: 'commit', contested: true },
  join: {
    type: 'join',
    incarnation: 78,
    weight: 2.5,
    wants: '5f0c',
    brings: false,
    epochSeen: 7,
  },
  report: {
    type: 'report',
    report: {
      incarnation: 78,
      openings: [{ epoch: 8, seen: 10, seenSum: '18446744073709551615', taken: 3, takenSum: '0' }],
      connections: 4,
      packets: 1234.5,
      unseen: ['a'],
    },
  },
  targets: {
    type: 'targets',
    next: {
      allocation: { epoch: 9, names: ['a', 'b'], owners: Uint16Array.of(0, 1, 1, 0) },
      nodes: [
        { name: 'a', weight: 1, draining: false, down: false },
        { name: 'b', weight: 0.5, draining: true, down: true },
      ],
    },
  },
  wish: { type: 'wish', id: 1, wish: { wish: 'declare', node: 'a', weight: 1, wants: '5f0c' } },
  'wish-leave': { type: 'wish', id: 2, wish: { wish: 'leave', node: 'a', incarnation: 9 } },
  'wish-weight': { type: 'wish', id: 3, wish: { wish: 'weight', node: 'a', weight: 0 } },
  'wish-drain': { type: 'wish', id: 4, wish: { wish: 'drain', node: 'a' } },
  'wish-resume': { type: 'wish', id: 5, wish: { wish: 'resume', node: 'a' } },
  expect: {
    type: 'expect',
    incarnation: 78,
    id: 1_700_000_000_123_001,
    state: 'pending',
    tuple: {
      protocol: 6,
      family: 4,
      client: { address: '198.51.100.0', prefix: 24, port: null },
      server: { address: '192.0.2.100', prefix: 32, port: 50_000 },
    },
    once: true,
    left: 60_000,
  },
  'expect-six': {
    type: 'expect',
    incarnation: 78,
    id: 0,
    state: 'ending',
    tuple: {
      protocol: 17,
      family: 6,
      client: { address: null, prefix: 0, port: 0 },
      server: { address: '2001:db8::100', prefix: 128, port: 65_535 },
    },
    once: false,
    left: 0,
  },
  unexpect: { type: 'unexpect', incarnation: 78, id: 7, contested: true },
  expected: {
    type: 'expected',
    incarnation: 78,
    id: 7,
    step: 'active',
    refused: null,
    contested: true,
  },
  'expected-refused': {
    type: 'expected',
    incarnation: 78,
    id: 7,
    step: 'pending',
    refused: 'taken',
    contested: false,
  },
  granted: { type: 'granted', id: 1, refused: 'Expected a “member” for node but received “a”.' },
};

const HEARTBEATS = {
  plain: heartbeat('node-1', { echoes: [echo('node-2')] }),
  alone: heartbeat('a', { coordinator: null, term: 0, epoch: 0, sent: 0 }),
  full: heartbeat('node-1', {
    elected: true,
    member: false,
    urgent: true,
    incarnation: Number.MAX_SAFE_INTEGER,
    echoes: [
      echo('node-2', { echo: null, grant: null, dead: true }),
      echo('a.b_c-d', { echo: 1e-9, grant: Number.MAX_VALUE }),
      echo('x'.repeat(63), { echo: 0, grant: 0.5 }),
    ],
  }),
};

function letter(content: Content, to = 1000): Letter {
  return { incarnation: 1_700_000_000_123, to, content };
}

const PART = { type: 'part', request: 7, snapshot: 1, parts: 3 } as const;
const PIECE = { type: 'piece', number: 7, pieces: 3 } as const;
const LETTERS: Readonly<Record<string, Letter>> = {
  message: letter({
    type: 'message',
    number: 3,
    message: encodeMessage({ type: 'hold', term: 4, epoch: 9 }),
  }),
  piece: letter({ ...PIECE, piece: 1, bytes: Buffer.alloc(PART_BYTES, 5) }),
  'last-piece': letter({ ...PIECE, piece: 2, bytes: Buffer.of(9) }),
  ask: letter({
    type: 'ask',
    request: 2 ** 48 - 2,
    list: { kind: 'released', epoch: 9 },
    missing: ALL_PARTS,
  }),
  'ask-expected': letter({
    type: 'ask',
    request: 1,
    list: { kind: 'expected', epoch: 9 },
    missing: 1,
  }),
  'ask-again': letter({
    type: 'ask',
    request: 0,
    list: { kind: 'contested', epoch: Number.MAX_SAFE_INTEGER },
    missing: 1,
  }),
  part: letter({ ...PART, part: 1, bytes: Buffer.alloc(PART_BYTES, 5) }),
  'last-part': letter({ ...PART, part: 2, bytes: Buffer.of(9) }),
  'only-part': letter({ ...PART, parts: 1, part: 0, bytes: Buffer.alloc(PART_BYTES) }),
  nothing: letter({ type: 'nothing', request: 7, why: 'list' }, 0),
  elsewhere: letter({ type: 'nothing', request: 7, why: 'elsewhere' }, 0),
};

type Given = RecordsHead & { records: Buffer };

function encodeRecords({ records, ...head }: Given): Buffer {
  return Buffer.concat([encodeRecordsHead(head), records]);
}

function encodeNumbered(number: number, message: Message): Buffer {
  return Buffer.concat([encodeNumber(number), encodeMessage(message)]);
}

function encodeFrames(frames: Frame[]): Buffer {
  return Buffer.concat(frames.map(({ type, body }) => encodeFrame(type, body)));
}

const ALL_FRAMES = Object.values(FRAME);

/** All frames of a stream that comes in pieces of `size`; what is no whole frame is an error. */
export function decodeFrames(bytes: Buffer, size = bytes.length): Frame[] {
  const reader = new FrameReader(ALL_FRAMES);
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    reader.push(bytes.subarray(at, at + size));
    for (let frame = reader.next(); frame; frame = reader.next()) {
      frames.push({ type: frame.type, body: Buffer.from(frame.body) });
    }
  }
  const taken = frames.reduce((sum, { body }) => sum + 5 + body.length, 0);
  // A stream that ends inside a frame is for its owner to judge; here it is an error like others.
  new Reader(bytes.subarray(taken)).end('a stream');
  return frames;
}

/** Every decoder by the name of its folder. */
export const TARGETS: Readonly<Record<string, Target>> = {
  heartbeat: target(decodeHeartbeat, (each) => encodeHeartbeat(each, each.echoes), HEARTBEATS),
  message: target(decodeMessage, encodeMessage, MESSAGES),
  identity: target(
    (bytes) => decodeIdentity(bytes.toString('latin1')),
    (identity) => Buffer.from(encodeIdentity(identity), 'latin1'),
    {
      plain: {
        version: 1,
        layout: 1,
        cluster: 'web',
        from: 'node-1',
        to: 'node-2',
        keyId: '00ff12ab',
      },
      long: {
        version: 1,
        layout: 99_999,
        cluster: 'c'.repeat(63),
        from: 'f'.repeat(63),
        to: 't'.repeat(63),
        keyId: 'ffffffff',
      },
    },
  ),
  hello: target(decodeHello, encodeHello, {
    messages: { incarnation: 1_700_000_000_123, list: null },
    list: { incarnation: 5, list: { kind: 'contested', epoch: 9 } },
  }),
  letter: target(decodeLetter, encodeLetter, LETTERS),
  refused: target(decodeRefused, encodeRefused, { list: 'list', incarnation: 'incarnation' }),
  count: target(decodeCount, encodeCount, { zero: 0, most: Number.MAX_SAFE_INTEGER }),
  names: target(decodeNames, ({ first, names }) => encodeNames(first, names), {
    none: { first: 0, names: [] },
    some: { first: 3, names: ['node-1', 'a', 'x'.repeat(63)] },
  }),
  records: target(decodeRecords, encodeRecords, {
    one: { now: 7, madeAfter: 0, records: Buffer.alloc(64, 3) },
    three: { now: 2 ** 40, madeAfter: 2 ** 32 - 1, records: Buffer.alloc(192, 0xff) },
  }),
  frames: target(decodeFrames, encodeFrames, {
    list: [
      { type: FRAME.welcome, body: encodeCount(1) },
      { type: FRAME.names, body: encodeNames(0, ['node-1']) },
      {
        type: FRAME.records,
        body: encodeRecords({ now: 1, madeAfter: 5, records: Buffer.alloc(128) }),
      },
      { type: FRAME.end, body: encodeCount(2) },
    ],
    talk: [
      { type: FRAME.hello, body: encodeHello({ incarnation: 5, list: null }) },
      { type: FRAME.ping, body: Buffer.alloc(0) },
      { type: FRAME.message, body: encodeNumbered(3, { type: 'ask', term: 4 }) },
      { type: FRAME.pong, body: Buffer.alloc(0) },
    ],
  }),
};

const CORPUS = 'test/fuzz/messages';

/** Where the files of a target are. */
export function corpusFolder(name: string): string {
  return join(CORPUS, name);
}

/** The files of a target, by name. */
export function corpusOf(name: string): Map<string, Buffer> {
  const folder = corpusFolder(name);
  return new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))]));
}
