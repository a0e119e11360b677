// The guard: the kernel must not answer for the cluster addresses by itself.
//
//                    AF_PACKET (ETH_P_ALL) -> flowsieve decides
//                    /
//   wire -> driver -+-> netdev ingress: the guard drops what is for the cluster -> IP stack
//
// The taps come before the ingress hook, so flowsieve sees every frame and the kernel sees none of
// the cluster's. One table of the family `netdev` per cluster, replaced in one transaction, with
// one chain on the capture interface and one counter per rule:
//
//   ipv4, ipv6    packets to a cluster address. The kernel has moved the outermost VLAN tag out of
//                 the way before the hook, so that these match with one tag (802.1Q or 802.1ad) or
//                 without.
//   stacked       the same behind two tags: there the network header begins with the inner tag, so
//                 the offsets are four bytes larger.
//   link          with role gateway: IP packets in frames to the cluster's MAC address, whatever their
//                 addresses, with tags or without. The kernel must not forward them by itself.
//   resolution4   ARP requests for a cluster address. arp_ignore silences the capture interface
//                 itself; this silences its VLAN interfaces, and hosts with
//                 conf/all/arp_ignore = 3 (sysctls.ts).
//   resolution6   neighbour solicitations for a cluster address. The kernel answers these only for
//                 addresses of the very interface that they came in on, so never for one on the TUN
//                 device, but for the one exception that this rule is for: a proxy entry
//                 (`ip -6 neigh add proxy`).
//
// What port rules pass goes by the chain `rules` first (passes.ts), with a counter `passed`.
//
// Loopback never comes by here: what this host sends to the cluster address itself goes to its own
// sockets, guard or not.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ResolvedRule } from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
// Not from the room's index, which loads the native module: the host must be testable and
// cleaned up without it.
import { addressBytes } from '../native/records.js';
import type { HostChange } from './journal.js';
import type { CheckedOptions, ClusterAddress } from './options.js';
import { passLines } from './passes.js';
import { ProgramError, run } from './programs.js';

/** What one rule of the guard has dropped. */
export interface GuardCounter {
  readonly packets: number;
  readonly bytes: number;
}

/** The rules of the guard, each with its counter. */
export const GUARD_RULES = [
  'ipv4',
  'ipv6',
  'stacked',
  'link',
  'resolution4',
  'resolution6',
] as const;

/** The name of a rule of the guard. */
export type GuardRule = (typeof GUARD_RULES)[number];

/** The guard as the kernel has it. */
export interface GuardStatus {
  /** The table and its chain are there. */
  readonly installed: boolean;
  readonly dropped: Readonly<Record<GuardRule, GuardCounter>>;
}

// Before whatever else is hooked to this interface: nothing of the cluster is to be seen by it.
const PRIORITY = -500;

/**
 * The table's name: letters, digits and underscores of the cluster's; a short hash keeps names
 * apart that this makes equal.
 */
export function tableName(cluster: string): string {
  const plain = cluster.replace(/[^A-Za-z0-9_]/g, '_');
  if (plain === cluster) return `flowsieve_${plain}`;
  const hash = createHash('sha256').update(cluster).digest('hex').slice(0, 8);
  return `flowsieve_${plain}_${hash}`;
}

/** The change that {@link installGuard} makes. */
export function planGuard(options: CheckedOptions): HostChange {
  const addresses = options.addresses.map((each) => each.address).join(', ');
  return {
    kind: 'nftTable',
    target: `netdev ${tableName(options.cluster)}`,
    previous: null,
    set: `drop for ${addresses} on ${options.interfaces.join(', ')}`.slice(0, 1000),
  };
}

/** Puts the guard up, replacing one of the same cluster without a gap. */
export async function installGuard(
  options: CheckedOptions,
  rules: readonly ResolvedRule[] = [],
): Promise<void> {
  try {
    await run('nft', ['-f', '-'], guardScript(options, rules));
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    throw new FlowsieveError(
      'FLOWSIEVE_MISSING',
      `Expected a kernel with nftables ingress hooks (NF_TABLES_NETDEV) on ${options.interfaces.join(', ')} but nft said: ${error.said}.`,
      { cause: error },
    );
  }
}

/** Takes the guard down; does nothing when it is not there. */
export async function undoGuard(change: HostChange): Promise<void> {
  const table = change.target;
  // Adding what may exist makes deleting it safe, in one transaction.
  await run('nft', ['-f', '-'], `add table ${table}\ndelete table ${table}\n`);
}

/** The whole transaction, as nft reads it. */
export function guardScript(options: CheckedOptions, rules: readonly ResolvedRule[] = []): string {
  const passes = passLines(rules);
  const name = tableName(options.cluster);
  const ipv4 = options.addresses.filter((each) => each.family === 4);
  const ipv6 = options.addresses.filter((each) => each.family === 6);
  return [
    `add table netdev ${name}`,
    `delete table netdev ${name}`,
    `table netdev ${name} {`,
    ...GUARD_RULES.map((rule) => `  counter ${rule} {}`),
    ...addressSet('addresses4', 'ipv4_addr', ipv4),
    ...addressSet('addresses6', 'ipv6_addr', ipv6),
    ...(passes.length > 0 ? ['  counter passed {}', '  chain rules {'] : []),
    ...passes.map((line) => `    ${line}`),
    ...(passes.length > 0 ? ['  }'] : []),
    '  chain ingress {',
    `    type filter hook ingress ${devicesOf(options)} priority ${PRIORITY}; policy accept;`,
    ...linkRules(options),
    ...(passes.length > 0
      ? ['    ip daddr @addresses4 jump rules', '    ip6 daddr @addresses6 jump rules']
      : []),
    '    ip daddr @addresses4 counter name ipv4 drop',
    '    ip6 daddr @addresses6 counter name ipv6 drop',
    '    arp operation request arp daddr ip @addresses4 counter name resolution4 drop',
    ...whenAny(ipv4, `meta protocol { 0x8100, 0x88a8 } @nh,16,16 0x0800 @nh,160,32`, 'stacked'),
    ...whenAny(ipv6, `meta protocol { 0x8100, 0x88a8 } @nh,16,16 0x86dd @nh,224,128`, 'stacked'),
    ...whenAny(ipv6, 'icmpv6 type nd-neighbor-solicit @th,64,128', 'resolution6'),
    '  }',
    '}',
    '',
  ].join('\n');
}

function devicesOf({ interfaces }: CheckedOptions): string {
  const names = interfaces.map((name) => `"${name}"`);
  return names.length === 1 ? `device ${names[0]}` : `devices = { ${names.join(', ')} }`;
}

// Heartbeats go to the same MAC address, with an EtherType of their own, and must come through.
function linkRules({ gateway }: CheckedOptions): string[] {
  if (gateway === null) return [];
  const to = [...new Set(gateway.linkAddresses)].join(', ');
  const ip = 'meta protocol { ip, ip6, 0x8100, 0x88a8 }';
  return [`    ether daddr { ${to} } ${ip} counter name link drop`];
}

function addressSet(name: string, type: string, addresses: readonly ClusterAddress[]): string[] {
  const elements = addresses.map((each) => each.address).join(', ');
  const filled = elements === '' ? '' : ` elements = { ${elements} };`;
  return [`  set ${name} { type ${type};${filled} }`];
}

// Raw payload is compared with integers, and a set of those cannot be a named one.
function whenAny(addresses: readonly ClusterAddress[], match: string, rule: GuardRule): string[] {
  if (addresses.length === 0) return [];
  const integers = addresses.map(integerOf);
  return [`    ${match} { ${integers.join(', ')} } counter name ${rule} drop`];
}

// As it stands in a packet: an IPv4 address is the last four bytes of the sixteen.
function integerOf({ address, family }: ClusterAddress): string {
  const bytes = Buffer.from(addressBytes(address)).subarray(family === 4 ? 12 : 0);
  return `0x${bytes.toString('hex')}`;
}

const listingSchema = z.object({
  nftables: z.array(
    z.looseObject({
      chain: z.looseObject({ name: z.string(), hook: z.string().optional() }).optional(),
      counter: z
        .looseObject({ name: z.string(), packets: z.number(), bytes: z.number() })
        .optional(),
    }),
  ),
});

/** Asks the kernel for the guard and its counters. */
export async function guardStatus(cluster: string): Promise<GuardStatus> {
  let listed: string;
  try {
    listed = await run('nft', ['-j', 'list', 'table', 'netdev', tableName(cluster)]);
  } catch (error) {
    // What else nft could complain about here is that there is no such table.
    if (error instanceof ProgramError) return { installed: false, dropped: count([]) };
    throw error;
  }
  const { nftables } = listingSchema.parse(JSON.parse(listed));
  return {
    installed: nftables.some(({ chain }) => chain?.name === 'ingress' && chain.hook === 'ingress'),
    dropped: count(nftables.flatMap(({ counter }) => (counter === undefined ? [] : [counter]))),
  };
}

function count(
  counters: readonly (GuardCounter & { name: string })[],
): Record<GuardRule, GuardCounter> {
  const of = (rule: GuardRule): GuardCounter => {
    const found = counters.find((each) => each.name === rule);
    return { packets: found?.packets ?? 0, bytes: found?.bytes ?? 0 };
  };
  return {
    ipv4: of('ipv4'),
    ipv6: of('ipv6'),
    stacked: of('stacked'),
    link: of('link'),
    resolution4: of('resolution4'),
    resolution6: of('resolution6'),
  };
}
