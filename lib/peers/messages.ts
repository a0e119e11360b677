// Messages as bytes: JSON, and the owners of allocations behind it.
//
//   bytes of JSON (4)  JSON  [buckets (4)  owners (2 each)] for each allocation in it, in order
//
// Where an allocation has its owners, the JSON has the number of them. The schemas stand against
// lib/protocol/types.ts: at the end the compiler compares what they yield with the types.
import { z } from 'zod';
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import type { Message, NodeState, View } from '../protocol/index.js';
import { malformed, NAME_PATTERN, Reader, Writer } from './bytes.js';
import { expectationSchemas } from './expected.js';

/** The most bytes of a message: two views of 65536 buckets and thousands of members fit. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
const BUCKETS_MAX = 65_536;
const SETTINGS_DEPTH_MAX = 16;

const count = z.int().min(0);
const name = z.string().regex(NAME_PATTERN);
const names = z.array(name).max(65_535);
const weight = z.number().min(0).max(65_535);
const digest = z.string().max(256);
const sentence = z.string().max(4096);

const identity = z.strictObject({ name, incarnation: count });
const identities = z.array(identity).max(65_535);

function isShallow(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth >= SETTINGS_DEPTH_MAX) return false;
  return Object.values(value).every((part) => isShallow(part, depth + 1));
}

const criteria = z.strictObject({
  digest,
  buckets: z.int().min(1).max(BUCKETS_MAX),
  singles: z.array(z.array(name).max(1024)).min(1).max(64).optional(),
  settings: z.unknown().refine((value) => isShallow(value)),
});

const member = z.strictObject({
  name,
  incarnation: count,
  state: z.enum(['joining', 'member', 'draining', 'dead', 'left']),
  weight,
  share: weight.nullable(),
  wants: digest,
});

const allocation = z
  .strictObject({
    epoch: count,
    names,
    owners: z.custom<Uint16Array>((value) => value instanceof Uint16Array),
  })
  .refine(({ names, owners }) => owners.every((owner) => owner < names.length));

const view = z
  .strictObject({
    epoch: count,
    term: count,
    criteria,
    members: z.array(member).max(65_535),
    allocation,
  })
  .refine(({ criteria: { buckets, singles = [] }, allocation }) => {
    return allocation.owners.length === buckets + singles.length;
  });

const transition = z.strictObject({
  kind: z.enum(['handover', 'takeover']),
  base: count,
  next: view,
  dead: names,
});

const sum = z.string().regex(/^(0|[1-9][0-9]{0,19})$/);

const openingCount = z.strictObject({
  epoch: count,
  seen: count,
  seenSum: sum,
  taken: count,
  takenSum: sum,
});

const report = z.strictObject({
  incarnation: count,
  openings: z.array(openingCount).max(1024),
  connections: count,
  packets: z.number().min(0),
  unseen: names,
});

const targets = z.strictObject({
  allocation,
  nodes: z
    .array(z.strictObject({ name, weight, draining: z.boolean(), down: z.boolean() }))
    .max(65_535),
});

const phase = z.enum([
  'preparing',
  'prepared',
  'held',
  'releasing',
  'released',
  'acquired',
  'taking',
  'taken',
]);

const state = z.strictObject({
  incarnation: count,
  view: view.nullable(),
  transition: z.strictObject({ transition, phase }).nullable(),
  epochSeen: count,
  consents: identities,
  over: identities,
});

const wish = z.discriminatedUnion('wish', [
  z.strictObject({ wish: z.literal('drain'), node: name }),
  z.strictObject({ wish: z.literal('resume'), node: name }),
  z.strictObject({ wish: z.literal('weight'), node: name, weight }),
  z.strictObject({ wish: z.literal('declare'), node: name, weight, wants: digest }),
  z.strictObject({ wish: z.literal('leave'), node: name, incarnation: count }),
]);

const step = z.enum([
  'prepare',
  'hold',
  'release',
  'acquire',
  'takeover',
  'commit',
  'settle',
  'clear',
  'sync',
  'welcome',
]);

/** Every message, as it is taken from the network. */
export const messageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('vote'), term: count, dead: identities }),
  z.strictObject({
    type: z.literal('voted'),
    term: count,
    granted: z.boolean(),
    state,
  }),
  z.strictObject({ type: z.literal('ask'), term: count }),
  z.strictObject({ type: z.literal('state'), term: count, state }),
  z.strictObject({ type: z.literal('suspect'), term: count, dead: identities }),
  z.strictObject({
    type: z.literal('consent'),
    term: count,
    epoch: count.nullable(),
    dead: identities,
  }),
  z.strictObject({ type: z.literal('prepare'), term: count, transition }),
  z.strictObject({ type: z.literal('hold'), term: count, epoch: count }),
  z.strictObject({ type: z.literal('release'), term: count, epoch: count }),
  z.strictObject({ type: z.literal('acquire'), term: count, epoch: count, dead: names }),
  z.strictObject({ type: z.literal('takeover'), term: count, transition }),
  z.strictObject({ type: z.literal('commit'), term: count, view, condemned: identities }),
  z.strictObject({ type: z.literal('settle'), term: count, epoch: count, from: names }),
  z.strictObject({ type: z.literal('clear'), term: count, epoch: count }),
  z.strictObject({ type: z.literal('sync'), term: count, epoch: count, from: names }),
  z.strictObject({
    type: z.literal('welcome'),
    term: count,
    epoch: count,
    donor: name.nullable(),
  }),
  z.strictObject({
    type: z.literal('done'),
    term: count,
    epoch: count,
    step,
    contested: z.boolean(),
  }),
  z.strictObject({
    type: z.literal('join'),
    incarnation: count,
    weight,
    wants: digest,
    brings: z.boolean(),
    epochSeen: count,
  }),
  z.strictObject({ type: z.literal('wish'), id: count, wish }),
  z.strictObject({ type: z.literal('report'), report }),
  z.strictObject({ type: z.literal('targets'), next: targets }),
  ...expectationSchemas,
  z.strictObject({ type: z.literal('granted'), id: count, refused: sentence.nullable() }),
]);

// The types of the protocol are read-only all the way down; those of the schemas are not.
type Frozen<T> = T extends Uint16Array
  ? T
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;
type Same<A, B> = [Frozen<A>] extends [Frozen<B>]
  ? [Frozen<B>] extends [Frozen<A>]
    ? true
    : never
  : never;
// Does not compile when a schema and its type differ in either direction.
const agree: Same<z.output<typeof messageSchema>, Message> &
  Same<z.output<typeof state>, NodeState> &
  Same<z.output<typeof view>, View> = true;

type Owners = Uint16Array;

/**
 * Replaces the owners of every allocation of a message, in a fixed order; returns a message that
 * shares nothing with it that changes.
 */
function mapOwners(message: object, map: (owners: unknown) => unknown): object {
  const inView = (view: Record<string, unknown>) => {
    const allocation = view['allocation'] as Record<string, unknown>;
    return { ...view, allocation: { ...allocation, owners: map(allocation?.['owners']) } };
  };
  return mapViews(message as Record<string, unknown>, inView);
}

type Branch = Record<string, unknown>;

function isBranch(value: unknown): value is Branch {
  return typeof value === 'object' && value !== null;
}

/** Calls `map` for every view of a message, or of what ought to be one. */
function mapViews(branch: Branch, map: (view: Branch) => Branch): Branch {
  const mapped = { ...branch };
  for (const key of ['state', 'view', 'transition', 'next']) {
    const part = mapped[key];
    if (!isBranch(part)) continue;
    mapped[key] = isBranch(part['allocation']) ? map(part) : mapViews(part, map);
  }
  return mapped;
}

/**
 * The bytes of a message.
 *
 * @throws FlowsieveError FLOWSIEVE_ARGUMENT when it is none that a peer would take
 */
export function encodeMessage(message: Message): Buffer {
  // The schema puts the keys in its own order, whoever made the message.
  const checked = messageSchema.safeParse(message);
  if (!agree || !checked.success) throw unusable(message, checked.error);
  const owners: Owners[] = [];
  const text = JSON.stringify(
    mapOwners(checked.data, (value) => {
      owners.push(value as Owners);
      return (value as Owners).length;
    }),
  );
  const json = Buffer.from(text);
  const writer = new Writer(json.length + 64);
  writer.u32(json.length);
  writer.bytes(json);
  for (const list of owners) {
    writer.u32(list.length);
    for (const owner of list) writer.u16(owner);
  }
  return writer.take();
}

function unusable(message: Message, error: z.ZodError | undefined): Error {
  const where = error?.issues[0]?.path.join('.') ?? '';
  const subject = `${where || 'the type'} of the message ${message?.type}`;
  const sentence = expectedSentence('what a peer takes', subject, 'something else');
  return new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence, { cause: error });
}

function readOwners(reader: Reader, expected: unknown): Owners {
  const buckets = reader.u32('a number of buckets');
  if (buckets !== expected || buckets < 1 || buckets > BUCKETS_MAX) {
    throw malformed(`1 to ${BUCKETS_MAX}, as the message says,`, 'buckets', `${buckets}`);
  }
  const bytes = reader.bytes(2 * buckets, 'owners');
  return Uint16Array.from({ length: buckets }, (_, bucket) => bytes.readUInt16BE(2 * bucket));
}

/**
 * The message that `bytes` are; one that would be written otherwise is none.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT
 */
export function decodeMessage(bytes: Buffer): Message {
  const message = parseMessage(bytes);
  if (!encodeMessage(message).equals(bytes)) {
    throw malformed('its one spelling', `the message ${message.type}`, 'another');
  }
  return message;
}

function parseMessage(bytes: Buffer): Message {
  const reader = new Reader(bytes);
  const json = reader.bytes(reader.u32('the length of JSON'), 'JSON').toString('utf8');
  let data: unknown;
  try {
    data = JSON.parse(json);
  } catch (cause) {
    throw malformed('JSON', 'a message', `${(cause as Error).message}`);
  }
  if (!isBranch(data)) throw malformed('a map', 'a message', typeof data);
  const whole = mapOwners(data, (owners) => readOwners(reader, owners));
  reader.end('a message');
  const checked = messageSchema.safeParse(whole);
  if (checked.success) return checked.data;
  const where = checked.error.issues[0]?.path.join('.') ?? '';
  throw malformed('what the protocol says', `a message's ${where || 'type'}`, 'something else');
}
