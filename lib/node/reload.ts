import {
  type Configuration,
  criteriaSettings,
  type NodeConfiguration,
  syncAddressOf,
  syncSecrets,
} from '../config/index.js';
import { expectedSentence, FlowsieveError } from '../errors/index.js';

// What a running node takes over of a configuration that was read again; everything else stays
// until it is started again.

/** The keys that a running node takes over. */
const RELOADED = [
  'nodes',
  'distribution',
  'rules',
  'quic',
  'secret',
  'rebalance',
  'drain',
  'health',
] as const;
const NO_RESTART: ReadonlySet<string> = new Set([...RELOADED, 'warnings']);

/** One of the keys that a running node takes over. */
export type ReloadedKey = (typeof RELOADED)[number];

/** What a new configuration of a running node asks for. */
export interface Reload {
  /**
   * What is to be taken over. `distribution` stands here whenever the criteria change: also when
   * it is the secret that gives the hash another key.
   */
  readonly changed: ReadonlySet<ReloadedKey>;
  /** Keys that differ and take effect only with the next start. */
  readonly needRestart: readonly string[];
}

function json(value: unknown): string | undefined {
  return JSON.stringify(value);
}

/** Of the two ways to say where the cluster is reached, the other one follows. */
function isDerived(key: string, { role }: Configuration): boolean {
  const networks = ['interface', 'addresses', 'linkAddress'];
  return role === 'gateway' ? networks.includes(key) : key === 'interfaces';
}

function secretDiffers(inForce: Configuration, next: Configuration): boolean {
  if (json(inForce.secret) !== json(next.secret)) return true;
  // The files can have the names that they had and another content.
  const before = syncSecrets(inForce);
  return syncSecrets(next).some(
    (secret, index) => !secret.equals(before[index] ?? Buffer.alloc(0)),
  );
}

function differs(key: ReloadedKey, inForce: Configuration, next: Configuration): boolean {
  if (key === 'secret') return secretDiffers(inForce, next);
  if (key !== 'distribution') return json(inForce[key]) !== json(next[key]);
  return criteriaSettings(inForce).digest !== criteriaSettings(next).digest;
}

function refuse(path: string, expected: string, received: string): never {
  const message = expectedSentence(expected, path, received);
  throw new FlowsieveError('FLOWSIEVE_STATE', message, { path });
}

function names(nodes: readonly NodeConfiguration[]): string[] {
  return nodes.map(({ name }) => name);
}

/** The least number of nodes that are more than half of so many. */
function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * While the change goes round, some nodes decide by the old list and some by the new one. Were
 * there two majorities without a common node, each could make a view that the other knows nothing
 * of. Two sets of nodes out of `all` must share one when together they are more than `all`.
 */
function checkQuorums(
  before: readonly NodeConfiguration[],
  after: readonly NodeConfiguration[],
): void {
  const all = new Set([...names(before), ...names(after)]).size;
  if (majorityOf(before.length) + majorityOf(after.length) > all) return;
  const known = new Set(names(before));
  const stays = new Set(names(after));
  const joined = names(after).filter((name) => !known.has(name));
  const left = names(before).filter((name) => !stays.has(name));
  const received = [...joined.map((name) => `+${name}`), ...left.map((name) => `-${name}`)];
  refuse(
    'nodes',
    'nodes that come and go one after the other, so that majorities before and after share one,',
    received.join(', '),
  );
}

/** Peers that are spoken to at another address in the midst would be lost to those who know it. */
function checkSyncAddresses(
  before: readonly NodeConfiguration[],
  after: readonly NodeConfiguration[],
): void {
  const known = new Map(before.map((node) => [node.name, syncAddressOf(node)]));
  for (const node of after) {
    const address = syncAddressOf(node);
    if (!known.has(node.name) || known.get(node.name) === address) continue;
    const expected = `the sync address that ${node.name} has had, ${known.get(node.name) ?? 'none'},`;
    refuse('nodes', expected, address ?? 'none');
  }
}

/**
 * Compares a new configuration with a running node's.
 *
 * @param started - what the node was started with
 * @param inForce - the last one that a reload took over; without any reload, `started`
 * @throws FlowsieveError FLOWSIEVE_STATE for a change that the nodes cannot go through together;
 * nothing of `next` is to be taken over then
 */
export function reloadOf(
  started: Configuration,
  inForce: Configuration,
  next: Configuration,
): Reload {
  if (next.cluster !== started.cluster) {
    refuse('cluster', `the cluster that is running, ${started.cluster},`, next.cluster);
  }
  checkSyncAddresses(inForce.elements, next.elements);
  checkQuorums(inForce.elements, next.elements);
  // Both: a key that was left out is no key of its configuration.
  const keys = Object.keys({ ...started, ...next }) as (keyof Configuration)[];
  // Elsewhere they are the nodes.
  const elementsMatter = next.topology === 'dispatcher';
  return {
    changed: new Set(RELOADED.filter((key) => differs(key, inForce, next))),
    needRestart: keys.filter(
      (key) =>
        !isDerived(key, next) &&
        !NO_RESTART.has(key) &&
        (key !== 'elements' || elementsMatter) &&
        json(started[key]) !== json(next[key]),
    ),
  };
}
