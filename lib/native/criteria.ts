import type { Allocation } from '../allocation/index.js';
import {
  type Configuration,
  type FieldName,
  PROTOCOLS,
  type ResolvedDistribution,
  resolveDistribution,
} from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
import type { Transition } from '../protocol/index.js';
import type {
  NativeCriteria,
  NativeDistribution,
  NativeTransition,
  NativeWorkerOptions,
} from './addon.js';
import { addressBytes } from './records.js';

// From the configuration's words to the addon's numbers.

// native/allocation/distribution.h: kFieldSource …
const FIELD_BITS: Readonly<Record<FieldName, number>> = {
  source: 1,
  destination: 2,
  sourcePort: 4,
  destinationPort: 8,
  protocol: 16,
};

/**
 * The indexes under which the native layer knows nodes. A name keeps its index as long as the
 * process lives, whatever happens to the list of nodes: records of connections carry the index.
 */
export class NodeIndexes {
  private readonly byName = new Map<string, number>();

  /** The index of a node, a new one when the name is new. */
  of(name: string): number {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const index = this.byName.size;
    if (index >= 0xffff) {
      throw new FlowsieveError(
        'FLOWSIEVE_STATE',
        `Expected at most 65535 different node names in the life of a process for ${name} but received one more.`,
      );
    }
    this.byName.set(name, index);
    return index;
  }

  /** All names, by index. */
  names(): readonly string[] {
    return [...this.byName.keys()];
  }
}

/** The criteria of the distribution as numbers. */
export function nativeDistribution(resolved: ResolvedDistribution): NativeDistribution {
  const { prefixes } = resolved;
  return {
    hash: resolved.hash,
    key: resolved.key,
    fields: resolved.fields.reduce((bits, field) => bits | FIELD_BITS[field], 0),
    sourcePrefixIpv4: prefixes.source.ipv4,
    sourcePrefixIpv6: prefixes.source.ipv6,
    destinationPrefixIpv4: prefixes.destination.ipv4,
    destinationPrefixIpv6: prefixes.destination.ipv6,
    symmetric: resolved.symmetric,
    buckets: resolved.buckets,
  };
}

/**
 * Everything that decisions of node `self` depend on besides the table.
 *
 * @param distribution - where the cluster's is not yet, or no more, that of the configuration
 */
export function nativeCriteria(
  config: Configuration,
  self: string,
  allocation: Allocation,
  indexes: NodeIndexes,
  distribution: ResolvedDistribution = resolveDistribution(config),
): NativeCriteria {
  const index = allocation.names.map((name) => indexes.of(name));
  return {
    distribution: nativeDistribution(distribution),
    epoch: allocation.epoch,
    self: indexes.of(self),
    owners: allocation.owners.map((owner) => index[owner] ?? 0),
    tracking: config.tracking,
    monitoring: config.monitoring,
    ...(config.topology === 'dispatcher' ? { dispatching: { down: [], candidates: [] } } : {}),
  };
}

/**
 * A transition of the protocol as the node's workers take it.
 *
 * @param distribution - what the next view's criteria ask for
 */
export function nativeTransition(
  transition: Transition,
  distribution: ResolvedDistribution,
  indexes: NodeIndexes,
): NativeTransition {
  const { allocation, epoch } = transition.next;
  const index = allocation.names.map((name) => indexes.of(name));
  return {
    distribution: nativeDistribution(distribution),
    epoch,
    owners: allocation.owners.map((owner) => index[owner] ?? 0),
    dead: transition.dead.map((name) => indexes.of(name)),
  };
}

/** What differs between the ways to use a worker. */
export interface WorkerUse {
  /** Every IP packet is the cluster's; without a configuration of its own. */
  everything: boolean;
  /** Both directions of the connections come from the source. */
  bothDirections: boolean;
  /** Keep one in so many connections as a sample; 0: none. */
  sampleEvery: number;
}

/** A worker of node `self`; with several workers each gets its part of the tables. */
export function nativeWorkerOptions(
  config: Configuration,
  self: string,
  indexes: NodeIndexes,
  use: WorkerUse,
): NativeWorkerOptions {
  const { tables, fragments, timeouts, sync } = config;
  return {
    capacity: tables.connections,
    openingShare: tables.openingShare,
    timeouts: PROTOCOLS.flatMap((protocol) => {
      const { opening, established, closing } = timeouts[protocol];
      return [opening, established, closing];
    }),
    nodes: 0xffff,
    self: indexes.of(self),
    addresses: use.everything
      ? null
      : Buffer.concat(config.addresses.map((address) => addressBytes(address))),
    bothDirections: use.bothDirections,
    sampleEvery: use.sampleEvery,
    countOwners: config.topology === 'dispatcher',
    fragments: {
      held: fragments.held,
      heldBytes: fragments.heldBytes,
      holdSeconds: fragments.holdSeconds,
    },
    holdBytes: sync.holdBytes,
    holdMs: sync.hold,
  };
}
