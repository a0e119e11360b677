// What the guard lets through: packets that a port rule leaves to every node's own kernel. The chain
// `rules` goes through the rules in their order, as the worker does, and ends with the first that
// matches: accepted when that one passes, returned to the dropping rules otherwise.
//
// The guard judges by headers, one packet at a time. What it cannot judge so is dropped here like
// everything else, and handed in by the worker (native/worker/passing.cc), never by both:
//   later fragments                    have no ports
//   ICMP errors                        belong to the connection that they quote
//   behind an AH of IPv4               the kernel does not look behind it here, as it does for IPv6
//   behind two VLAN tags               do not come to this chain
// ICMP that is never a connection (router, neighbour and listener discovery) stays out, too.
//
// A frame to the cluster's MAC address is none to this host's, so that the kernel would let TCP fall
// (multicast) or everything (another's address): hence `pkttype set host`.
import type { ResolvedRule } from '../config/index.js';
import { familyOfAddress } from './options.js';

const NOT_JUDGED = [
  'ip frag-off & 0x1fff != 0 return',
  'frag frag-off != 0 return',
  'ip protocol 51 return',
  'ip protocol 1 icmp type { 3-5, 9-12 } return',
  'meta l4proto 58 icmpv6 type { 1-127, 130-138, 141-143, 148, 149, 151-153, 155, 157-159 } return',
];

/** The protocols that a rule's ports can mean. */
const WITH_PORTS = '{ 6, 17, 132 }';

function addressMatches({ addresses }: ResolvedRule): string[] {
  if (addresses.length === 0) return [''];
  const of = (family: 4 | 6) => addresses.filter((each) => familyOfAddress(each) === family);
  const set = (list: readonly string[]) => `{ ${list.join(', ')} }`;
  const [ipv4, ipv6] = [of(4), of(6)];
  return [
    ...(ipv4.length > 0 ? [`ip daddr ${set(ipv4)} `] : []),
    ...(ipv6.length > 0 ? [`ip6 daddr ${set(ipv6)} `] : []),
  ];
}

function transportMatch({ protocols, ports }: ResolvedRule): string {
  const numbers = protocols.length > 0 ? `{ ${protocols.join(', ')} }` : WITH_PORTS;
  if (ports.length === 0) return protocols.length > 0 ? `meta l4proto ${numbers} ` : '';
  const ranges = ports.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  return `meta l4proto ${numbers} th dport { ${ranges.join(', ')} } `;
}

/** The lines of the chain, or none when no rule passes anything. */
export function passLines(rules: readonly ResolvedRule[]): string[] {
  const last = rules.findLastIndex((rule) => rule.do === 'pass');
  if (last < 0) return [];
  const lines = rules.slice(0, last + 1).flatMap((rule) => {
    const what = rule.do === 'pass' ? 'meta pkttype set host counter name passed accept' : 'return';
    return addressMatches(rule).map((address) => `${address}${transportMatch(rule)}${what}`);
  });
  return [...NOT_JUDGED, ...lines];
}
