import { expectedSentence, type Problem, show } from '../errors/index.js';
import { isGroupLinkAddress, unusableAs } from './addresses.js';
import type { Salvaged } from './problems.js';
import type { ParsedConfiguration } from './schema.js';

// What the checks between keys (check.ts, check-gateway.ts) are made of.

/** The parts of a configuration that are valid by themselves, and the node's name. */
export type Checkable = Salvaged<ParsedConfiguration> & { readonly node: string };

/** What is wrong at `path`. */
export function problem(path: string, expected: string, received: string): Problem {
  return { path, message: expectedSentence(expected, path, received) };
}

/** The elements that are there a second time, with their place. */
export function repeated(
  values: readonly (string | undefined)[],
): [index: number, value: string][] {
  const seen = new Set<string>();
  return values.flatMap((value, index): [number, string][] => {
    if (value === undefined) return [];
    if (seen.has(value)) return [[index, value]];
    seen.add(value);
    return [];
  });
}

/** The problem of an address that nobody can have. */
export function* usableAddress(path: string, address: string | undefined): Generator<Problem> {
  const unusable = address && unusableAs(address);
  if (unusable) yield problem(path, 'a unicast address', `${unusable}, ${show(address)}`);
}

/** The problem of a cluster MAC address that does not do for `link`. */
export function* usableLinkAddress(
  path: string,
  link: ParsedConfiguration['link'],
  linkAddress: string,
): Generator<Problem> {
  if (link === 'none') {
    yield problem(path, 'nothing with link none', show(linkAddress));
  } else if (isGroupLinkAddress(linkAddress) !== (link === 'multicast')) {
    const kind = link === 'multicast' ? 'a group MAC address' : 'a unicast MAC address';
    yield problem(path, `${kind} with link ${link}`, show(linkAddress));
  } else if (linkAddress === 'ff:ff:ff:ff:ff:ff' || linkAddress === '00:00:00:00:00:00') {
    yield problem(path, 'a MAC address of its own', show(linkAddress));
  }
}
