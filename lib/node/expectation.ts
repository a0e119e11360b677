import { isIP, SocketAddress } from 'node:net';
import { expectedSentence, FlowsieveError, show } from '../errors/index.js';
import {
  EXPECTATION_BYTES,
  type NodeIndexes,
  protocolName,
  readAll,
  readExpectation,
  writeExpectation,
} from '../native/index.js';
import type { ListBlock } from '../peers/index.js';
import type { ExpectationState, ExpectedEnd, ExpectedTuple } from '../protocol/index.js';
import type { ExpectationRequest, ExpectationView, ExpectedEndRequest } from './types.js';

// What is asked for when a connection is expected, and what is shown of it.

/** Seconds that an expectation lasts when nothing is said, and the bounds of what may be said. */
export const LIFETIME_DEFAULT = 60;
const LIFETIME_MIN = 0.001;
const LIFETIME_MAX = 86_400;

const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmp6: 58,
  sctp: 132,
};
/** Of others a packet shows no ports, so that those that were named would never match. */
const WITH_PORTS = new Set([1, 6, 17, 58, 132]);

/** What an expectation is, on every node that has it. */
export interface Expectation {
  readonly id: number;
  readonly owner: string;
  readonly tuple: ExpectedTuple;
  readonly once: boolean;
  state: ExpectationState;
  /** By the monotonic clock, milliseconds. */
  expiresAt: number;
  /** The identifiers as text: the same for the same ones, however they were written. */
  readonly key: string;
  /** Which of them are exact, as text. */
  readonly mask: string;
}

/** With what it is found and bounded by. */
export function makeExpectation(made: Omit<Expectation, 'key' | 'mask'>): Expectation {
  return { ...made, key: keyOfTuple(made.tuple), mask: maskKey(made.tuple) };
}

/** The identifiers as text. */
export function keyOfTuple(tuple: ExpectedTuple): string {
  const bytes = writeExpectation({
    tuple,
    id: 0,
    owner: 0,
    once: false,
    state: 'pending',
    expiresTick: 0,
  });
  return bytes.toString('latin1');
}

function maskKey({ family, client, server }: ExpectedTuple): string {
  const of = ({ prefix, port }: ExpectedEnd) => `${prefix}${port === null ? '' : 'p'}`;
  return `${family} ${of(client)} ${of(server)}`;
}

const TICK_MS = 100;

/** As the workers take it, whose clock is the same. */
export function toNative(expectation: Expectation, indexes: NodeIndexes): Buffer {
  const { tuple, id, once, state, expiresAt } = expectation;
  const owner = indexes.of(expectation.owner);
  const expiresTick = Math.round(expiresAt / TICK_MS);
  return writeExpectation({ tuple, id, owner, once, state, expiresTick });
}

/** The expectations in a list of another node, or of the workers. */
export function readExpectations({ records, now, names }: ListBlock, nowMs: number): Expectation[] {
  return [...readAll(records, EXPECTATION_BYTES, readExpectation)].flatMap(
    ({ tuple, id, owner: index, once, state, expiresTick }) => {
      const owner = names[index];
      // Signed: it may be over by now.
      const expiresAt = nowMs + ((expiresTick - now) | 0) * TICK_MS;
      return owner === undefined
        ? []
        : [makeExpectation({ id, owner, tuple, once, state, expiresAt })];
    },
  );
}

/** How many packets have met an expectation, by what the workers say of them. */
export function matchedOf(
  expectations: Buffer,
  matched: Float64Array,
  names: readonly string[],
): (expectation: Expectation) => number {
  const counts = new Map<string, number>();
  let at = 0;
  for (const { id, owner } of readAll(expectations, EXPECTATION_BYTES, readExpectation)) {
    counts.set(`${names[owner]}/${id}`, matched[at++] ?? 0);
  }
  return ({ owner, id }) => counts.get(`${owner}/${id}`) ?? 0;
}

/**
 * What a request expects, and for how many milliseconds.
 *
 * @throws FlowsieveError FLOWSIEVE_ARGUMENT
 */
export function readRequest(request: ExpectationRequest): {
  tuple: ExpectedTuple;
  once: boolean;
  lifetimeMs: number;
} {
  const { lifetime = LIFETIME_DEFAULT, once = false } = request;
  if (!(lifetime >= LIFETIME_MIN && lifetime <= LIFETIME_MAX)) {
    const expected = `a number of seconds from ${LIFETIME_MIN} to ${LIFETIME_MAX}`;
    throw argument(expected, 'lifetime', show(lifetime));
  }
  return { tuple: readTuple(request), once, lifetimeMs: lifetime * 1000 };
}

function readTuple({ protocol, client, server }: ExpectationRequest): ExpectedTuple {
  const number = typeof protocol === 'number' ? protocol : (PROTOCOLS[protocol] ?? -1);
  if (!Number.isInteger(number) || number < 0 || number > 255) {
    const expected = `one of ${Object.keys(PROTOCOLS).join(', ')} or a number from 0 to 255`;
    throw argument(expected, 'protocol', show(protocol));
  }
  const [from, to] = [readEnd(client, 'client'), readEnd(server, 'server')];
  const families = [from, to].flatMap(({ address }) => (address === null ? [] : [isIP(address)]));
  const [family = 0, other = family] = families;
  if (family === 0 || family !== other) {
    const expected = 'an address of the client or the server, of one family';
    throw argument(expected, 'the expectation', families.length === 0 ? 'none' : 'two families');
  }
  if (!WITH_PORTS.has(number) && (from.port !== null || to.port !== null)) {
    throw argument('no ports', `protocol ${number}`, `${from.port ?? to.port}`);
  }
  if (from.address === null && from.port === null && to.port === null) {
    const expected = "something besides the server's address: the client's, or a port";
    throw argument(expected, 'the expectation', 'nothing');
  }
  return { protocol: number, family: family === 6 ? 6 : 4, client: from, server: to };
}

function readEnd(end: ExpectedEndRequest | undefined, path: string): ExpectedEnd {
  const { address, port } = end ?? {};
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    throw argument('an integer from 0 to 65535', `${path}.port`, show(port));
  }
  return { ...readAddress(address, `${path}.address`), port: port ?? null };
}

function readAddress(
  text: string | undefined,
  path: string,
): Pick<ExpectedEnd, 'address' | 'prefix'> {
  if (text === undefined) return { address: null, prefix: 0 };
  const [, plain = '', length] = /^([0-9A-Fa-f:.]{1,45})(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(plain);
  const bits = family === 6 ? 128 : 32;
  const prefix = length === undefined ? bits : Number(length);
  if (family === 0 || prefix < 1 || prefix > bits) {
    throw argument('an address, or one with the length of its prefix', path, show(text));
  }
  const { address } = new SocketAddress({
    address: plain,
    family: family === 6 ? 'ipv6' : 'ipv4',
  });
  return { address, prefix };
}

function argument(expected: string, path: string, received: string): FlowsieveError {
  const sentence = expectedSentence(expected, path, received);
  return new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence, { path });
}

/**
 * An expectation as it is shown.
 *
 * @param matched - packets that have met it on this node
 * @param nowMs - the monotonic clock
 * @param now - the same moment, seconds since the Unix epoch
 */
export function expectationView(
  expectation: Expectation,
  self: string,
  matched: number,
  nowMs: number,
  now: number,
): ExpectationView {
  const { id, owner, tuple, once, state, expiresAt } = expectation;
  const { protocol, family } = tuple;
  const end = ({ address, prefix, port }: ExpectedEnd) => {
    const whole = prefix === (family === 6 ? 128 : 32);
    return { address: address === null || whole ? address : `${address}/${prefix}`, port };
  };
  return {
    type: 'expectation',
    id,
    owner,
    own: owner === self,
    protocol: protocolName(protocol),
    protocolNumber: protocol,
    client: end(tuple.client),
    server: end(tuple.server),
    once,
    state,
    expires: now + (expiresAt - nowMs) / 1000,
    matched,
  };
}
