import { expectedSentence, type Problem, show } from '../errors/index.js';
import type { Checkable } from './checking.js';
import { PORT_PROTOCOLS, protocolNumbers } from './rules.js';
import { BUCKETS_WITH_SINGLES_MAX, PORT_RANGES_MAX } from './schema-rules.js';

// What is wrong between the keys of a rule, and between the rules and the rest. That rules overlap
// is fine: the first one that matches decides.

type Rule = NonNullable<NonNullable<Checkable['rules']>[number]>;

function problem(path: string, expected: string, received: string): Problem {
  return { path, message: expectedSentence(expected, path, received) };
}

/** Which keys a rule may have besides what it matches, by what it does. */
const KEYS = {
  distribute: ['affinity', 'prefix'],
  single: ['nodes'],
  refuse: [],
  pass: [],
} as const satisfies Record<string, readonly (keyof Rule)[]>;

function* checkKeys(rule: Rule, path: string): Generator<Problem> {
  const { do: action, affinity, prefix } = rule;
  if (!action) return;
  const allowed: readonly string[] = KEYS[action];
  for (const key of ['affinity', 'prefix', 'nodes'] as const) {
    if (rule[key] === undefined || allowed.includes(key)) continue;
    yield problem(`${path}.${key}`, `nothing with do ${action}`, show(rule[key]));
  }
  if (action === 'distribute' && prefix && affinity !== 'network') {
    const received = affinity === undefined ? 'a prefix without' : `a prefix with ${affinity}`;
    yield problem(`${path}.prefix`, 'affinity network', received);
  }
}

function* checkMatch(rule: Rule, path: string, addresses: readonly unknown[]): Generator<Problem> {
  for (const [index, address] of (rule.addresses ?? []).entries()) {
    if (address === undefined || addresses.includes(address)) continue;
    yield problem(`${path}.addresses[${index}]`, 'one of the cluster addresses', show(address));
  }
  const numbers = rule.protocol === undefined ? [] : protocolNumbers(rule.protocol);
  if (rule.ports !== undefined && numbers.some((number) => !PORT_PROTOCOLS.includes(number))) {
    const expected = 'nothing for a protocol other than tcp, udp and sctp';
    yield problem(`${path}.ports`, expected, `ports with protocol ${rule.protocol}`);
  }
}

function* checkNodes(
  { nodes = [] }: Rule,
  path: string,
  names: readonly unknown[] | undefined,
): Generator<Problem> {
  for (const [index, name] of nodes.entries()) {
    if (name === undefined) continue;
    const at = `${path}.nodes[${index}]`;
    if (nodes.indexOf(name) < index) {
      yield problem(at, 'a node that is not in the list yet', show(name));
    } else if (names && !names.includes(undefined) && !names.includes(name)) {
      yield problem(at, `one of the nodes ${names.join(', ')}`, show(name));
    }
  }
}

function* checkTogether(config: Checkable, rules: readonly Rule[]): Generator<Problem> {
  const ranges = rules.flatMap(({ ports }) => ports ?? []).length;
  if (ranges > PORT_RANGES_MAX) {
    yield problem('rules', `at most ${PORT_RANGES_MAX} ports and ranges in all`, `${ranges}`);
  }
  const { buckets, symmetric } = config.distribution ?? {};
  if (symmetric && rules.length > 0) {
    // Neither side of a packet is the server's by itself, so no port is the service's.
    yield problem('rules', 'none with distribution.symmetric true', `${rules.length} rules`);
  }
  const singles = rules.filter((rule) => rule.do === 'single').length;
  if (buckets && singles > 0 && buckets > BUCKETS_WITH_SINGLES_MAX) {
    const expected = `at most ${BUCKETS_WITH_SINGLES_MAX} with rules for single nodes`;
    yield problem('distribution.buckets', expected, `${buckets}`);
  }
}

/** Everything that is wrong with the rules, beyond what a single key can say. */
export function* checkRules(config: Checkable): Generator<Problem> {
  const { rules = [], addresses = [], nodes, node } = config;
  const names = nodes === undefined ? [node] : nodes.map((each) => each?.name);
  for (const [index, rule] of rules.entries()) {
    if (!rule) continue;
    const path = `rules[${index}]`;
    if (!addresses.includes(undefined)) yield* checkMatch(rule, path, addresses);
    yield* checkKeys(rule, path);
    yield* checkNodes(rule, path, names);
  }
  yield* checkTogether(
    config,
    rules.filter((rule) => rule !== undefined),
  );
}
