import type { Configuration, DeepReadonly, FieldName } from './configuration.js';
import { FIELDS } from './leaves.js';
import { NETWORK, type ParsedRule } from './schema-rules.js';

// Port rules in one spelling, as nodes tell them to each other and as the native layer takes them.
// docs/decisions/port-rules.md says what they mean.

/** A rule as a configuration has it. */
export type RuleConfiguration = DeepReadonly<ParsedRule>;
/** What is done with a rule's packets. */
export type RuleAction = RuleConfiguration['do'];

/** Leading bits of an address that count. */
export interface PrefixBits {
  readonly ipv4: number;
  readonly ipv6: number;
}

/** Which header fields of a rule's packets are hashed. */
export interface RuleHash {
  readonly fields: readonly FieldName[];
  readonly prefixes: { readonly source: PrefixBits; readonly destination: PrefixBits };
}

/** A rule in its one spelling. */
export interface ResolvedRule {
  readonly do: RuleAction;
  /** Cluster addresses, sorted; empty: all. */
  readonly addresses: readonly string[];
  /** IANA numbers, ascending; empty: all. */
  readonly protocols: readonly number[];
  /** First and last, ascending, neither overlapping nor adjoining; empty: all. */
  readonly ports: readonly (readonly [first: number, last: number])[];
  /** Of `distribute`; null for the others. */
  readonly hash: RuleHash | null;
  /** Of `single`, in the order of priority. */
  readonly nodes: readonly string[];
}

/** The protocols that have ports, by IANA number. */
export const PORT_PROTOCOLS: readonly number[] = [6, 17, 132];

const PROTOCOL_NUMBERS = { any: [], tcp: [6], udp: [17], sctp: [132], icmp: [1, 58] } as const;
const WHOLE: PrefixBits = { ipv4: 32, ipv6: 128 };

/** The numbers that a rule's `protocol` means; none: all. */
export function protocolNumbers(protocol: RuleConfiguration['protocol']): readonly number[] {
  return typeof protocol === 'number' ? [protocol] : PROTOCOL_NUMBERS[protocol];
}

function mergedPorts(ranges: RuleConfiguration['ports']): [first: number, last: number][] {
  const merged: [number, number][] = [];
  for (const { first, last } of [...(ranges ?? [])].sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

/** A prefix says something only of an address that is hashed. */
export function effectivePrefixes(
  fields: readonly FieldName[],
  { source, destination }: RuleHash['prefixes'],
): RuleHash['prefixes'] {
  const bits = (field: FieldName, { ipv4, ipv6 }: PrefixBits) =>
    fields.includes(field) ? { ipv4, ipv6 } : { ...WHOLE };
  return { source: bits('source', source), destination: bits('destination', destination) };
}

function hashOf(
  rule: RuleConfiguration,
  { fields, prefixes }: Configuration['distribution'],
): RuleHash {
  const whole = { source: WHOLE, destination: WHOLE };
  switch (rule.affinity) {
    case undefined:
      return { fields: FIELDS.filter((field) => fields.includes(field)), prefixes };
    case 'none':
      return {
        fields: FIELDS.filter((field) => field !== 'protocol'),
        prefixes: whole,
      };
    case 'source':
      return { fields: ['source'], prefixes: whole };
    case 'network':
      return {
        fields: ['source'],
        prefixes: { source: rule.prefix ?? NETWORK, destination: WHOLE },
      };
  }
}

function resolveRule(rule: RuleConfiguration, config: Configuration): ResolvedRule {
  const named = [...new Set(rule.addresses ?? [])].sort();
  const hash = rule.do === 'distribute' ? hashOf(rule, config.distribution) : null;
  return {
    do: rule.do,
    addresses: config.addresses.every((address) => named.includes(address)) ? [] : named,
    protocols: protocolNumbers(rule.protocol),
    ports: mergedPorts(rule.ports),
    hash: hash && {
      fields: hash.fields,
      prefixes: effectivePrefixes(hash.fields, hash.prefixes),
    },
    nodes: rule.do === 'single' ? [...(rule.nodes ?? [])] : [],
  };
}

/** The rules of a configuration, in their order. */
export function resolveRules(config: Configuration): ResolvedRule[] {
  return config.rules.map((rule) => resolveRule(rule, config));
}

/** The priority lists of the rules that give to a single node, in the order of the rules. */
export function singlesOf(rules: readonly ResolvedRule[]): (readonly string[])[] {
  return rules.filter((rule) => rule.do === 'single').map(({ nodes }) => nodes);
}

/**
 * The place of the first rule that matches; -1: none does. The plain twin of
 * native/allocation/rules.h.
 *
 * @param address - destination, in canonical spelling
 * @param port - destination port, as a key has it
 */
export function matchingRule(
  rules: readonly ResolvedRule[],
  address: string,
  protocol: number,
  port: number,
): number {
  return rules.findIndex(({ addresses, protocols, ports }) => {
    if (addresses.length > 0 && !addresses.includes(address)) return false;
    if (protocols.length > 0 && !protocols.includes(protocol)) return false;
    if (ports.length === 0) return true;
    return (
      PORT_PROTOCOLS.includes(protocol) &&
      ports.some(([first, last]) => first <= port && port <= last)
    );
  });
}

/**
 * The places of rules that no packet can reach, since those before take all. Asked are one packet
 * of every kind between which the rules can tell: an address, a protocol, and the ports at which a
 * range begins or behind which one ends.
 */
export function unreachable(
  rules: readonly ResolvedRule[],
  addresses: readonly string[],
): number[] {
  const naming = (address: string): string =>
    rules.map(({ addresses: named }) => (named.includes(address) ? '1' : '0')).join('');
  const kinds = [...new Map(addresses.map((address) => [naming(address), address])).values()];
  const named = new Set([...PORT_PROTOCOLS, ...rules.flatMap(({ protocols }) => protocols)]);
  const other = [...Array(256).keys()].find((number) => !named.has(number));
  const protocols = [...named, ...(other === undefined ? [] : [other])];
  const ranges = rules.flatMap(({ ports }) => ports);
  const ports = new Set([0, ...ranges.flatMap(([first, last]) => [first, last + 1])]);
  const reached = new Set<number>();
  for (const address of kinds) {
    for (const protocol of protocols) {
      for (const port of PORT_PROTOCOLS.includes(protocol) ? ports : [0]) {
        if (port <= 65_535) reached.add(matchingRule(rules, address, protocol, port));
      }
    }
  }
  return [...rules.keys()].filter((index) => !reached.has(index));
}

const PROTOCOL_NAMES: Readonly<Record<string, string>> = {
  '': 'everything',
  '6': 'tcp',
  '17': 'udp',
  '132': 'sctp',
  '1,58': 'icmp',
};

/** A rule in words: `tcp 443,8000-8099 on 192.0.2.100: single node-2, node-1`. */
export function ruleText(rule: ResolvedRule): string {
  const { addresses, protocols, ports, nodes, hash } = rule;
  const list = ports.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  const any = ports.length > 0 && protocols.length === 0 ? 'any' : undefined;
  const what = [
    any ?? PROTOCOL_NAMES[protocols.join()] ?? `protocol ${protocols.join()}`,
    ...(list.length > 0 ? [shortened(list, ',')] : []),
    ...(addresses.length > 0 ? [`on ${shortened(addresses, ', ')}`] : []),
  ].join(' ');
  const how = {
    distribute: () => ` by ${hashText(hash)}`,
    single: () => (nodes.length > 0 ? ` ${shortened(nodes, ', ')}` : ''),
    refuse: () => '',
    pass: () => '',
  }[rule.do]();
  return `${what}: ${rule.do}${how}`;
}

function shortened(list: readonly string[], separator: string): string {
  const shown = list.slice(0, 8).join(separator);
  return list.length > 8 ? `${shown}${separator}…` : shown;
}

function hashText(hash: RuleHash | null): string {
  if (!hash) return '';
  const names = hash.fields.map((field) => {
    if (field !== 'source' && field !== 'destination') return field;
    const { ipv4, ipv6 } = hash.prefixes[field];
    return ipv4 === 32 && ipv6 === 128 ? field : `${field} /${ipv4}, /${ipv6}`;
  });
  return names.join(', ');
}
