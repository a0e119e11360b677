import type { Allocation } from '../allocation/index.js';
import {
  type Configuration,
  type FieldName,
  PROTOCOLS,
  type ResolvedDistribution,
  type ResolvedQuic,
  type ResolvedRule,
  resolveDistribution,
  splitPorts,
} from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
import type { Transition } from '../protocol/index.js';
import type {
  NativeCriteria,
  NativeDistribution,
  NativeQuic,
  NativeReservation,
  NativeRule,
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

type Hashed = Pick<ResolvedDistribution, 'fields' | 'prefixes'>;

function nativeFields({ fields, prefixes }: Hashed) {
  return {
    fields: fields.reduce((bits, field) => bits | FIELD_BITS[field], 0),
    sourcePrefixIpv4: prefixes.source.ipv4,
    sourcePrefixIpv6: prefixes.source.ipv6,
    destinationPrefixIpv4: prefixes.destination.ipv4,
    destinationPrefixIpv6: prefixes.destination.ipv6,
  };
}

/** A rule as numbers; one that does not distribute carries the cluster's fields, which say nothing. */
function nativeRule(rule: ResolvedRule, base: Hashed): NativeRule {
  return {
    addresses: Buffer.concat(rule.addresses.map((address) => addressBytes(address))),
    protocols: [...rule.protocols],
    ports: Uint16Array.from(rule.ports.flat()),
    action: rule.do,
    ...nativeFields(rule.hash ?? base),
  };
}

/** The criteria of the distribution as numbers. */
export function nativeDistribution(resolved: ResolvedDistribution): NativeDistribution {
  return {
    hash: resolved.hash,
    key: resolved.key,
    ...nativeFields(resolved),
    symmetric: resolved.symmetric,
    buckets: resolved.buckets,
    rules: resolved.rules.map((rule) => nativeRule(rule, resolved)),
  };
}

/**
 * How connection ids name nodes.
 *
 * @param living - the members whose ids count; those of others name nobody
 */
export function nativeQuic(
  quic: ResolvedQuic | null,
  living: readonly string[],
  indexes: NodeIndexes,
): NativeQuic | null {
  if (quic === null) return null;
  return {
    ports: Uint16Array.from(quic.ports),
    configs: quic.configs.map((config) => ({ ...config })),
    servers: living.flatMap((name) => {
      const serverId = quic.serverIds.get(name);
      return serverId ? [{ serverId, node: indexes.of(name) }] : [];
    }),
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
    // What the operating system's list does to the table of `own` is done from outside.
    tracking: config.tracking === 'os' ? 'own' : config.tracking,
    monitoring: config.monitoring,
    forwards: config.role === 'gateway',
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

/**
 * What the configuration gives to one node, whatever tables and allocation say: ports of the cluster
 * addresses, and a gateway's node addresses, which also come by way of the cluster.
 */
export function nativeReservations(
  config: Configuration,
  indexes: NodeIndexes,
): NativeReservation[] {
  return config.nodes.flatMap(({ name, address, addresses = [], ports }) => {
    const owner = indexes.of(name);
    const range = ports === undefined ? undefined : splitPorts(ports);
    const shared = range
      ? config.addresses.map((each) => reservation(each, range.first, range.last, owner))
      : [];
    if (config.role !== 'gateway') return shared;
    const own = address === undefined ? addresses : [address, ...addresses];
    return [...shared, ...own.map((each) => reservation(each, 0, 0xffff, owner))];
  });
}

function reservation(address: string, firstPort: number, lastPort: number, owner: number) {
  return { address: Buffer.from(addressBytes(address)), firstPort, lastPort, owner };
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

/** Addresses as they cross: sixteen bytes each. */
export function nativeAddresses(addresses: readonly string[]): Buffer {
  return Buffer.concat(addresses.map((address) => addressBytes(address)));
}

/** A worker of node `self`; with several workers each gets its part of the tables. */
export function nativeWorkerOptions(
  config: Configuration,
  self: string,
  indexes: NodeIndexes,
  use: WorkerUse,
): NativeWorkerOptions {
  const { tables, fragments, timeouts, sync } = config;
  const gateway = config.role === 'gateway';
  const linkAddresses = config.interfaces.flatMap(({ linkAddress }) => linkAddress ?? []);
  return {
    capacity: tables.connections,
    openingShare: tables.openingShare,
    timeouts: PROTOCOLS.flatMap((protocol) => {
      const { opening, established, closing } = timeouts[protocol];
      return [opening, established, closing];
    }),
    nodes: 0xffff,
    self: indexes.of(self),
    addresses: use.everything || gateway ? null : nativeAddresses(config.addresses),
    linkAddresses: gateway && !use.everything ? linkAddresses : [],
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
