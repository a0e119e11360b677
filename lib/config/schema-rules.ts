import { z } from 'zod';
import { ADDRESSES_MAX, address, NODES_MAX, name, note, oneOf } from './leaves.js';

// The part of the schema for port rules.

/** The most rules, and the most ranges of ports in all of them: what the native layer takes. */
export const RULES_MAX = 64;
export const PORT_RANGES_MAX = 512;

/**
 * The most buckets where a rule gives to a single node: such rules have numbers behind those of the
 * buckets, and a number has sixteen bits.
 */
export const BUCKETS_WITH_SINGLES_MAX = 32_768;

/** The prefix of affinity `network` where the rule has none. */
export const NETWORK = { ipv4: 24, ipv6: 64 } as const;

const PORTS_EXPECTED =
  'a port from 0 to 65535, or a range such as "8000-8099" whose first port is not above its last';

function portRange(value: number | string): { first: number; last: number } | undefined {
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(String(value));
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first <= last && last <= 65_535 ? { first, last } : undefined;
}

const ports = note(
  z.union([z.number(), z.string()]).refine((value) => portRange(value) !== undefined),
  { expected: PORTS_EXPECTED, text: 'destination ports, one number or `"first-last"`' },
).transform((value) => portRange(value) as { first: number; last: number });

function networkBits(max: number, family: string) {
  return note(z.number().int().min(1).max(max), {
    expected: `an integer from 1 to ${max}`,
    text: `with affinity network: leading bits of an ${family} client's address that count`,
  }).default(max === 32 ? NETWORK.ipv4 : NETWORK.ipv6);
}

export const rule = z.strictObject({
  addresses: note(
    z.array(address('a cluster address to which the packets are sent')).min(1).max(ADDRESSES_MAX),
    {
      expected: `a list of 1 to ${ADDRESSES_MAX} addresses`,
      text: 'the cluster addresses to which the rule applies',
      derived: 'all',
    },
  ).optional(),
  protocol: note(
    z.union([z.enum(['any', 'tcp', 'udp', 'sctp', 'icmp']), z.number().int().min(0).max(255)]),
    {
      expected: 'one of any, tcp, udp, sctp, icmp or a number from 0 to 255',
      text: 'the protocol of the packets; icmp is that of both families',
    },
  ).default('any'),
  ports: note(z.array(ports).min(1).max(PORT_RANGES_MAX), {
    expected: `a list of 1 to ${PORT_RANGES_MAX} ports and ranges`,
    text: 'the destination ports; a rule with ports applies to tcp, udp and sctp only',
    derived: 'all, and packets without ports too',
  }).optional(),
  do: oneOf(
    ['distribute', 'single', 'refuse', 'pass'],
    'what becomes of connections that the rule matches: distributed by the hash, all to one node, discarded without an answer, ' +
      "or left to every node's own kernel",
  ).default('distribute'),
  affinity: note(z.enum(['none', 'source', 'network']), {
    expected: 'one of none, source, network',
    text:
      'with `do: distribute`, which connections stay together: none in particular, all of one client address, or all of one ' +
      "client network (`prefix`); with it the rule's header fields take the place of `distribution.fields` and `.prefixes`",
    derived: 'as `distribution` says',
  }).optional(),
  prefix: z
    .strictObject({ ipv4: networkBits(32, 'IPv4'), ipv6: networkBits(128, 'IPv6') })
    .optional(),
  nodes: note(z.array(name('a node of the cluster')).min(1).max(NODES_MAX), {
    expected: `a list of 1 to ${NODES_MAX} names of nodes`,
    text:
      'with `do: single`, the nodes in the order of priority: the first that is a member and does not drain has it; ' +
      'the nodes that are not named come behind, by name',
    derived: 'all, by name',
  }).optional(),
});

/** A rule as the schema makes it. */
export type ParsedRule = z.output<typeof rule>;
