import { z } from 'zod';
import { canonicalAddress, isAddress, isLinkAddress } from './addresses.js';

// What the schema is made of. Every leaf says in `expected` what it takes: the words stand in the
// problem's sentence and in the documentation, and so cannot differ.

/** What a leaf of the schema says about itself. */
export interface LeafNotes {
  /** What the leaf takes, fit for "Expected … for workers but received …". */
  readonly expected: string;
  /** What it is for, for the documentation. */
  readonly text: string;
  /** The default when it depends on other keys and therefore is not in the schema. */
  readonly derived?: string;
  /** True for values that no message may repeat. */
  readonly confidential?: boolean;
}

export function note<T extends z.ZodType>(schema: T, notes: LeafNotes): T {
  return schema.meta({ ...notes });
}

/** The most bytes of an interface's name: IFNAMSIZ without its terminating zero. */
export const DEVICE_NAME_MAX = 15;
/** The most bytes of a Unix socket's path: sun_path without its terminating zero. */
export const SOCKET_PATH_MAX = 107;
/** The most nodes of a cluster. */
export const NODES_MAX = 1024;
/** The most networks of a gateway: native/engine/networks.h. */
export const NETWORKS_MAX = 64;
/** The most cluster addresses. */
export const ADDRESSES_MAX = 256;

/** The hash functions that distribute. */
export const HASHES = ['siphash', 'toeplitz', 'crc32c', 'jhash'] as const;
/** The header fields that may count, in the order in which they are hashed. */
export const FIELDS = [
  'source',
  'destination',
  'sourcePort',
  'destinationPort',
  'protocol',
] as const;
/** The four identifiers of a connection, as the packet of its client has them. */
export const IDENTIFIERS = ['source', 'sourcePort', 'destination', 'destinationPort'] as const;
/** The protocols that have timeouts of their own; `other` is every other protocol. */
export const PROTOCOLS = ['tcp', 'udp', 'icmp', 'sctp', 'other'] as const;

export function integer(min: number, max: number, text: string) {
  return note(z.number().int().min(min).max(max), {
    expected: `an integer from ${min} to ${max}`,
    text,
  });
}

export function oneOf<const T extends readonly string[]>(
  values: T,
  text: string,
  derived?: string,
) {
  const expected = values.length === 1 ? `${values[0]}` : `one of ${values.join(', ')}`;
  return note(z.enum(values), {
    expected,
    text,
    ...(derived ? { derived } : {}),
  });
}

export function flag(text: string, derived?: string) {
  return note(z.boolean(), { expected: 'true or false', text, ...(derived ? { derived } : {}) });
}

const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const NAME_EXPECTED =
  'a name of 1 to 63 letters, digits, dots, underscores and hyphens, the first one a letter or digit';

export function name(text: string, derived?: string) {
  return note(z.string().regex(NAME_PATTERN), {
    expected: NAME_EXPECTED,
    text,
    ...(derived ? { derived } : {}),
  });
}

export function address(text: string, derived?: string) {
  return note(z.string().refine(isAddress), {
    expected: 'an IPv4 or IPv6 address',
    text,
    ...(derived ? { derived } : {}),
  }).transform(canonicalAddress);
}

export function device(text: string) {
  const usable = (value: string): boolean =>
    /^[^\s/:%]+$/.test(value) &&
    value !== '.' &&
    value !== '..' &&
    Buffer.byteLength(value) <= DEVICE_NAME_MAX;
  return note(z.string().refine(usable), {
    expected: `an interface name of 1 to ${DEVICE_NAME_MAX} bytes without spaces, slashes, colons and percent signs`,
    text,
  });
}

export function path(text: string, derived?: string) {
  return note(
    z.string().refine((value) => value !== '' && !value.includes('\0')),
    {
      expected: 'a path',
      text,
      ...(derived ? { derived } : {}),
    },
  );
}

export function seconds(fallback: number, text: string) {
  return note(z.number().min(0.1).max(2_592_000), {
    expected: 'a number of seconds from 0.1 to 2592000',
    text,
  }).default(fallback);
}

export function timeouts(
  what: string,
  opening: number,
  established: number,
  closing: number,
  closes: boolean,
) {
  const unused = 'accepted and never used: no packet of these protocols closes a connection';
  return z
    .strictObject({
      opening: seconds(opening, `seconds without a packet until an opening ${what} is forgotten`),
      established: seconds(established, `the same for an established ${what}`),
      closing: seconds(closing, closes ? `the same for a closing ${what}` : unused),
    })
    .prefault({});
}

export function prefix(of: string) {
  const bits = (max: number, family: string) =>
    note(z.number().int().min(1).max(max), {
      expected: `an integer from 1 to ${max}`,
      text: `leading bits of an ${family} ${of} address that count`,
    }).default(max);
  return z.strictObject({ ipv4: bits(32, 'IPv4'), ipv6: bits(128, 'IPv6') }).prefault({});
}
/** Takes `first-last` apart; undefined when it is no range of ports. */
export function splitPorts(text: string): { first: number; last: number } | undefined {
  const match = /^([0-9]{1,5})-([0-9]{1,5})$/.exec(text);
  if (!match) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2])];
  return first >= 1 && first <= last && last <= 65_535 ? { first, last } : undefined;
}

export function linkAddress(text: string, derived: string) {
  return note(z.string().refine(isLinkAddress), {
    expected: 'a MAC address such as 02:00:5e:10:00:01',
    text,
    derived,
  }).transform((mac) => mac.toLowerCase());
}
