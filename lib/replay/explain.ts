import { type ResolvedRule, ruleText } from '../config/index.js';
import {
  addressText,
  awaitNative,
  type Flow,
  type NativeExplained,
  type NativeQuicId,
  protocolName,
  readFlow,
  vocabulary,
} from '../native/index.js';
import { openReplay, type ReplayInput, type ReplayOptions } from './setup.js';

/** One packet and why it was decided as it was. */
export interface ExplainedPacket {
  /** Its number in the capture, from 1. */
  readonly number: number;
  /** Seconds, on the capture's clock. */
  readonly time: number;
  readonly bytes: number;
  /** From the outer IP header; null when there is none. */
  readonly from: string | null;
  readonly to: string | null;
  /** What it is, in words: `tcp SYN`, `udp`, `ICMP error about tcp`, `later fragment` … */
  readonly what: string;
  /** The connection in the packet's own direction; null when it has none. */
  readonly flow: Flow | null;
  readonly verdict: 'pass' | 'deliver' | 'discard' | 'forward' | 'held' | 'dropped';
  /** 1 … 6, or null for a packet of no class. */
  readonly class: number | null;
  readonly owner: string | null;
  /** The bytes that were hashed, in hexadecimal, and what they gave; null where no bucket decided. */
  readonly hashed: string | null;
  readonly hash: string | null;
  readonly bucket: number | null;
  /** The rule for its connection, counted from 1; null where none matches. */
  readonly rule: number | null;
  /** One sentence. */
  readonly why: string;
}

/** Why a connection id on a QUIC port names no node, and the four-tuple decides. */
const NAMES_NOBODY: Readonly<Partial<Record<NativeQuicId, string>>> = {
  clientChosen: 'The client has chosen its connection id, or may have.',
  unconfigured: 'The config id of its connection id is not configured.',
  length: 'Its connection id is too short, or not as long as it says.',
  nobody: 'Its connection id names no living member.',
};

const TCP_FLAG_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [0x02, 'SYN'],
  [0x01, 'FIN'],
  [0x04, 'RST'],
  [0x10, 'ACK'],
  [0x08, 'PSH'],
  [0x20, 'URG'],
];

/**
 * Tells for every packet of a capture, or for one frame, what was read in it and why the
 * decision fell as it did.
 *
 * @throws FlowsieveError as replay() does
 */
export async function* explain(
  input: ReplayInput,
  options: ReplayOptions = {},
): AsyncGenerator<ExplainedPacket, void, undefined> {
  const { native, names, rules } = openReplay(input, options);
  for (;;) {
    const packets = await awaitNative(native.explain());
    if (packets.length === 0) return;
    for (const packet of packets) yield explained(packet, names, rules);
  }
}

function explained(
  packet: NativeExplained,
  names: readonly string[],
  rules: readonly ResolvedRule[],
): ExplainedPacket {
  const decided = packet.packetClass !== 0;
  const known = packet.kind === 'flow' || packet.kind === 'error';
  const flow = known && packet.drop === 'none' ? readFlow(packet.flow) : null;
  const rule = rules[packet.rule];
  const isHashed = packet.byBucket && (rule === undefined || rule.do === 'distribute');
  const owner = decided || packet.tracked ? (names[packet.owner] ?? null) : null;
  return {
    number: packet.number,
    time: Number(packet.timeNs) / 1e9,
    bytes: packet.wireBytes,
    from: packet.ip ? outerAddress(packet.ipSource) : null,
    to: packet.ip ? outerAddress(packet.ipDestination) : null,
    what: whatIs(packet, flow),
    flow,
    verdict: packet.drop !== 'none' ? 'dropped' : packet.held ? 'held' : packet.verdict,
    class: decided ? packet.packetClass : null,
    owner,
    hashed: isHashed ? packet.hashed.toString('hex') : null,
    hash: isHashed ? `0x${packet.hash.toString(16)}` : null,
    bucket: isHashed ? packet.bucket : null,
    rule: rule ? packet.rule + 1 : null,
    why: why(packet, owner, rule),
  };
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

// The outer header's family is not said apart: a mapped address is an IPv4 one, as no IPv6 packet
// on a wire carries one.
function outerAddress(bytes: Buffer): string {
  return addressText(bytes, bytes.subarray(0, 12).equals(MAPPED));
}

function whatIs(packet: NativeExplained, flow: Flow | null): string {
  // What could not be read to its end has no kind yet.
  if (packet.kind === 'nonIp') {
    return packet.ip ? 'IP' : packet.drop === 'none' ? 'no IP' : 'unreadable';
  }
  if (packet.kind === 'control') return 'link-local control';
  if (packet.kind === 'fragment') return 'later fragment';
  if (!flow) return 'IP';
  const name = protocolName(flow.protocolNumber);
  const protocol = name === 'other' ? `protocol ${flow.protocolNumber}` : name;
  if (packet.kind === 'error') return `ICMP error about ${protocol}`;
  const flags = TCP_FLAG_NAMES.filter(([bit]) => (packet.tcpFlags & bit) !== 0);
  const words = [protocol, ...flags.map(([, flag]) => flag)];
  if (packet.isFragment) words.push('fragment');
  return words.join(' ');
}

/** `Rule 2 (tcp 443: single node-2)`. */
function named(packet: NativeExplained, rule: ResolvedRule | undefined): string {
  return rule ? `Rule ${packet.rule + 1} (${ruleText(rule)})` : 'A rule';
}

/** Where a rule decided, what it says. */
function whyByRule(
  packet: NativeExplained,
  owner: string | null,
  rule: ResolvedRule | undefined,
): string | undefined {
  if (packet.drop === 'refused') return `${named(packet, rule)} refuses it.`;
  if (packet.passed) {
    const on = packet.verdict === 'deliver' ? '; the guard cannot tell it apart' : '';
    return `${named(packet, rule)} leaves it to the kernel of every node${on}.`;
  }
  if (rule?.do !== 'single' || !packet.byBucket) return undefined;
  return `No table has its connection; ${named(packet, rule)} gives it to ${owner}.`;
}

function why(
  packet: NativeExplained,
  owner: string | null,
  rule: ResolvedRule | undefined,
): string {
  if (packet.byId) {
    const elsewhere = packet.tracked ? '' : ', whatever is noted of its four-tuple';
    return `It has a connection id of ${owner}${elsewhere}.`;
  }
  const nobody = NAMES_NOBODY[packet.quic];
  const otherwise = whyElse(packet, owner, rule);
  return nobody === undefined ? otherwise : `${otherwise} ${nobody}`;
}

function whyElse(
  packet: NativeExplained,
  owner: string | null,
  rule: ResolvedRule | undefined,
): string {
  const byRule = whyByRule(packet, owner, rule);
  if (byRule !== undefined) return byRule;
  if (packet.drop !== 'none') {
    const text = vocabulary.drops.find(({ name }) => name === packet.drop)?.text ?? packet.drop;
    return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  }
  if (packet.kind === 'nonIp') return 'Not IP: none of the cluster.';
  if (packet.kind === 'control') return 'Link-local control traffic is never a connection.';
  if (packet.held) return 'Waits for the first fragment of its datagram.';
  const connection = packet.kind === 'error' ? 'the connection that it quotes' : 'its connection';
  switch (packet.packetClass) {
    case 0:
      return packet.tracked
        ? `Sent by the server side of a connection of ${owner}.`
        : 'Not for a cluster address.';
    case 1:
    case 3:
      return `It opens a connection, and bucket ${packet.bucket}${by(packet, rule)} is ${owner}'s.`;
    case 2:
      return packet.verdict === 'forward'
        ? `The table has ${connection}, and ${owner} as its owner.`
        : `The own table has ${connection}.`;
    case 4:
      return `The others table has ${connection}, and ${owner} as its owner.`;
    default:
      return `No table has ${connection}; bucket ${packet.bucket}${by(packet, rule)} is ${owner}'s.`;
  }
}

function by(packet: NativeExplained, rule: ResolvedRule | undefined): string {
  return rule ? ` by rule ${packet.rule + 1} (${ruleText(rule)})` : '';
}
