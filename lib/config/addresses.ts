import { createHash } from 'node:crypto';
import { BlockList, isIPv4, isIPv6, SocketAddress } from 'node:net';

/** `ipv4` or `ipv6`. */
export type AddressFamily = 'ipv4' | 'ipv6';

/** True for an IPv4 or IPv6 address in text, without a zone. */
export function isAddress(text: string): boolean {
  return isIPv4(text) || (isIPv6(text) && !text.includes('%'));
}

/** The family of an address that {@link isAddress} accepts. */
export function familyOf(address: string): AddressFamily {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}

/**
 * The one spelling of an address (RFC 5952 for IPv6), so that equal addresses are equal strings.
 */
export function canonicalAddress(address: string): string {
  return new SocketAddress({ address, family: familyOf(address) }).address;
}

// Addresses that no node can own, with the word that the problem's sentence uses for them.
const UNUSABLE: readonly [what: string, network: string, bits: number, family: AddressFamily][] = [
  ['an unspecified address', '0.0.0.0', 8, 'ipv4'],
  ['a loopback address', '127.0.0.0', 8, 'ipv4'],
  ['a multicast address', '224.0.0.0', 4, 'ipv4'],
  ['the broadcast address', '255.255.255.255', 32, 'ipv4'],
  ['an unspecified address', '::', 128, 'ipv6'],
  ['a loopback address', '::1', 128, 'ipv6'],
  ['a multicast address', 'ff00::', 8, 'ipv6'],
  ['an IPv4-mapped address', '::ffff:0:0', 96, 'ipv6'],
];

const UNUSABLE_LISTS = UNUSABLE.map(([what, network, bits, family]) => {
  const list = new BlockList();
  list.addSubnet(network, bits, family);
  return { what, family, list };
});

/** What makes `address` impossible for a cluster or a node, or undefined when it can be used. */
export function unusableAs(address: string): string | undefined {
  const family = familyOf(address);
  // A list would also match an IPv4 subnet against a mapped IPv6 address: compare within
  // the family only.
  return UNUSABLE_LISTS.find(
    (entry) => entry.family === family && entry.list.check(address, family),
  )?.what;
}

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** True for a MAC address written as six pairs of hexadecimal digits with colons. */
export function isLinkAddress(text: string): boolean {
  return MAC.test(text);
}

/** True when the MAC address has the group bit: frames to it reach every port. */
export function isGroupLinkAddress(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

/**
 * The MAC address that all nodes derive alike from what their configurations share.
 *
 * `multicast`: 01:00:5e and the low 23 bits of the first IPv4 cluster address, as RFC 1112 6.4 maps
 * groups, so that switches flood it; without an IPv4 address the 23 bits come from the digest
 * below. `unicast`: 02 (locally administered) and five bytes of the digest, SHA-256 of the
 * cluster's name, a zero byte and the first address.
 */
export function deriveLinkAddress(
  link: 'multicast' | 'unicast',
  cluster: string,
  addresses: readonly string[],
): string {
  const digest = createHash('sha256')
    .update(`${cluster}\0${addresses[0] ?? ''}`)
    .digest();
  if (link === 'unicast') return macText([0x02, ...digest.subarray(0, 5)]);
  const ipv4 = addresses.find((address) => isIPv4(address));
  const low = ipv4 ? ipv4.split('.').slice(1).map(Number) : [...digest.subarray(0, 3)];
  return macText([0x01, 0x00, 0x5e, (low[0] ?? 0) & 0x7f, low[1] ?? 0, low[2] ?? 0]);
}

function macText(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
