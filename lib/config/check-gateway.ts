import { type Problem, show } from '../errors/index.js';
import { type Checkable, problem, repeated, usableAddress, usableLinkAddress } from './checking.js';
import { ADDRESSES_MAX, splitPorts } from './leaves.js';

// Checks between keys that say where the cluster is reached, what a gateway needs, and what is one
// node's alone.

/** The cluster addresses, of whatever network. */
export function clusterAddresses({ addresses, interfaces }: Checkable): (string | undefined)[] {
  return [...(addresses ?? []), ...(interfaces ?? []).flatMap((each) => each?.addresses ?? [])];
}

/** Where the cluster is reached: said in one of two ways, and each network once. */
export function* checkNetworks(config: Checkable): Generator<Problem> {
  const { interfaces, addresses, role, link, deliver } = config;
  if (!interfaces) {
    const expected = `a list of 1 to ${ADDRESSES_MAX} addresses`;
    if (!addresses) yield problem('addresses', expected, 'nothing');
    return;
  }
  if (role === 'server') yield problem('interfaces', 'nothing with role server', 'a list');
  for (const key of ['interface', 'addresses', 'linkAddress'] as const) {
    if (config[key] !== undefined) yield problem(key, 'nothing beside interfaces', 'a value');
  }
  for (const [index, name] of repeated(interfaces.map((each) => each?.name))) {
    const path = `interfaces[${index}].name`;
    yield problem(path, 'an interface that is not in the list yet', show(name));
  }
  const seen = new Set<string>();
  for (const [index, network] of interfaces.entries()) {
    const path = `interfaces[${index}]`;
    if (network?.name !== undefined && network.name === deliver?.device) {
      yield problem('deliver.device', 'a device other than interfaces', show(network.name));
    }
    if (network?.linkAddress && link) {
      yield* usableLinkAddress(`${path}.linkAddress`, link, network.linkAddress);
    }
    for (const [at, address] of (network?.addresses ?? []).entries()) {
      yield* usableAddress(`${path}.addresses[${at}]`, address);
      if (address === undefined) continue;
      if (seen.has(address)) {
        const expected = 'an address that no other network has';
        yield problem(`${path}.addresses[${at}]`, expected, show(address));
      }
      seen.add(address);
    }
  }
  if (seen.size > ADDRESSES_MAX) {
    yield problem('interfaces', `at most ${ADDRESSES_MAX} addresses in all`, `${seen.size}`);
  }
}

/** What a gateway cannot do without, and what it cannot have. */
export function* checkGateway({ role, link, distribution, drain }: Checkable): Generator<Problem> {
  if (role !== 'gateway') return;
  if (link === 'none') {
    // Its traffic goes to anybody's addresses: the MAC address is all that makes it the cluster's.
    yield problem('link', 'multicast or unicast with role gateway', 'none');
  }
  if (distribution?.symmetric === false) {
    yield problem('distribution.symmetric', 'true with role gateway', 'false');
  }
  if (drain?.then === 'reset') {
    const expected = 'leave or wait with role gateway, which has no sockets to reset';
    yield problem('drain.then', `${expected},`, 'reset');
  }
}

/** What is one node's alone is nobody else's. */
export function* checkReserved(config: Checkable): Generator<Problem> {
  const nodes = config.nodes ?? [];
  const cluster = clusterAddresses(config);
  const owners = new Map<string, number>();
  for (const [index, node] of nodes.entries()) {
    if (node?.address) owners.set(node.address, index);
  }
  for (const [index, node] of nodes.entries()) {
    for (const [at, address] of (node?.addresses ?? []).entries()) {
      const path = `nodes[${index}].addresses[${at}]`;
      yield* usableAddress(path, address);
      if (address === undefined) continue;
      if (cluster.includes(address)) {
        yield problem(path, 'an address that is not a cluster address', show(address));
      } else if (owners.has(address)) {
        yield problem(path, 'an address that is not in the list yet', show(address));
      }
      owners.set(address, index);
    }
  }
  const ranges = nodes.flatMap((node, index) => {
    const range = node?.ports === undefined ? undefined : splitPorts(node.ports);
    return range ? [{ ...range, index, text: node?.ports ?? '' }] : [];
  });
  for (const [at, range] of ranges.entries()) {
    const other = ranges
      .slice(0, at)
      .find(({ first, last }) => first <= range.last && range.first <= last);
    if (!other) continue;
    const expected = `ports that do not overlap with ${other.text} of nodes[${other.index}]`;
    yield problem(`nodes[${range.index}].ports`, expected, show(range.text));
  }
}
