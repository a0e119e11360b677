import { type Problem, show } from '../errors/index.js';
import { checkGateway, checkNetworks, checkReserved, clusterAddresses } from './check-gateway.js';
import { checkRules } from './check-rules.js';
import { type Checkable, problem, repeated, usableAddress, usableLinkAddress } from './checking.js';
import { linkOf } from './configuration.js';
import { SOCKET_PATH_MAX } from './leaves.js';
import { serverIdOf } from './quic.js';
import { QUIC_PLAINTEXT_MAX } from './schema.js';

// What no single key can say: the checks that compare several. They run on the valid parts of a
// configuration, so that one bad value does not hide what else is wrong.

function* checkAddresses({ addresses = [] }: Checkable): Generator<Problem> {
  for (const [index, address] of addresses.entries()) {
    yield* usableAddress(`addresses[${index}]`, address);
  }
  for (const [index, address] of repeated(addresses)) {
    yield problem(`addresses[${index}]`, 'an address that is not in the list yet', show(address));
  }
}

function* checkSyncAddresses(
  nodes: NonNullable<Checkable['nodes']>,
  addresses: readonly (string | undefined)[],
): Generator<Problem> {
  const path = (index: number) => `nodes[${index}].sync`;
  for (const [index, node] of nodes.entries()) {
    yield* usableAddress(path(index), node?.sync);
    if (node?.sync !== undefined && addresses.includes(node.sync)) {
      yield problem(path(index), 'an address that is not a cluster address', show(node.sync));
    }
  }
  // Where a node has no address for itself, its node address is meant, and clashes as well.
  const effective = nodes.map((node) => node?.sync ?? node?.address);
  for (const [index, address] of repeated(effective)) {
    if (nodes.some((node) => node?.sync === address)) {
      yield problem(path(index), 'a sync address that no other node has', show(address));
    }
  }
}

function* checkNodes(config: Checkable): Generator<Problem> {
  const { nodes, node, topology } = config;
  if (!nodes || nodes.length === 0) return;
  const addresses = clusterAddresses(config);
  const names = nodes.map((each) => each?.name);
  for (const [index, name] of repeated(names)) {
    yield problem(`nodes[${index}].name`, 'a name that no other node has', show(name));
  }
  const own = nodes.map((each) => each?.address);
  for (const [index, address] of own.entries()) {
    const path = `nodes[${index}].address`;
    yield* usableAddress(path, address);
    if (address !== undefined && addresses.includes(address)) {
      yield problem(path, 'an address that is not a cluster address', show(address));
    }
  }
  for (const [index, address] of repeated(own)) {
    yield problem(`nodes[${index}].address`, 'an address that no other node has', show(address));
  }
  yield* checkSyncAddresses(nodes, addresses);
  // A node whose name is itself unusable may be the one that is meant: its own problem says enough.
  if (names.every((name) => name !== undefined)) {
    if (topology !== 'dispatcher' && !names.includes(node)) {
      yield problem('node', `one of the nodes ${names.join(', ')}`, show(node));
    }
    if (nodes.every((each) => each?.weight === 0)) {
      yield problem('nodes', 'at least one node with a weight above 0', 'no such node');
    }
  }
}

/** A check that says too little to be carried out. */
function* checkHealth(path: string, health: Checkable['health']): Generator<Problem> {
  const { type, port, command } = health ?? {};
  if ((type === 'tcp' || type === 'http') && port === undefined) {
    yield problem(`${path}.port`, `a port with type ${type}`, 'nothing');
  }
  if (type === 'command' && command === undefined) {
    yield problem(`${path}.command`, 'a program with type command', 'nothing');
  }
}

function* checkElements(config: Checkable, nodes: readonly unknown[]): Generator<Problem> {
  const { dispatcher, node } = config;
  const elements = dispatcher?.elements;
  if (elements === undefined) return;
  const named = elements.map((element) => element?.name);
  for (const [index, name] of repeated(named)) {
    yield problem(`dispatcher.elements[${index}].name`, 'a name that no other has', show(name));
  }
  if (named.every((name) => name !== undefined) && !named.includes(node)) {
    yield problem('node', `one of the dispatchers ${named.join(', ')}`, show(node));
  }
  for (const [index, element] of elements.entries()) {
    const path = `dispatcher.elements[${index}]`;
    yield* usableAddress(`${path}.address`, element?.address);
    yield* usableAddress(`${path}.sync`, element?.sync);
    if (elements.length > 1 && element && !element.address && !element.sync) {
      yield problem(`${path}.address`, 'an address of each of two dispatchers', 'nothing');
    }
    if (element?.name !== undefined && nodes.includes(element.name)) {
      yield problem(`${path}.name`, 'a name that no node has', show(element.name));
    }
  }
}

function* checkDispatcher(config: Checkable): Generator<Problem> {
  const { topology, dispatcher, nodes, node, health, quorum } = config;
  if (topology === 'filter') {
    if (dispatcher !== undefined) {
      yield problem('dispatcher', 'nothing with topology filter', 'a section');
    }
    return;
  }
  if (topology !== 'dispatcher') return;
  if (!nodes) {
    yield problem('nodes', 'the nodes behind the dispatcher', 'nothing');
    return;
  }
  const names = nodes.map((each) => each?.name);
  yield* checkElements(config, names);
  if (dispatcher?.elements === undefined && names.includes(node)) {
    yield problem('node', 'a name that no node has', show(node));
  }
  yield* checkHealth('health', health);
  for (const [index, each] of nodes.entries()) {
    const path = `nodes[${index}]`;
    if (each && each.address === undefined) {
      yield problem(`${path}.address`, 'an address with topology dispatcher', 'nothing');
    }
    if (each?.health) yield* checkHealth(`${path}.health`, { ...health, ...each.health });
  }
  if (quorum === 'majority' && dispatcher?.elements?.length === 2) {
    yield problem('quorum', 'paths with two dispatchers, so that one goes on alone,', 'majority');
  }
}

function* checkLink(config: Checkable): Generator<Problem> {
  const { linkAddress } = config;
  if (linkAddress) yield* usableLinkAddress('linkAddress', linkOf(config), linkAddress);
}

/** How many bytes of key each hash function uses. */
export const KEY_BYTES = { siphash: 16, toeplitz: 40, crc32c: 4, jhash: 4 } as const;

function* checkDistribution({ distribution = {} }: Checkable): Generator<Problem> {
  const { hash, fields = [], key, symmetric, prefixes } = distribution;
  for (const [index, field] of repeated(fields)) {
    yield problem(`distribution.fields[${index}]`, 'a field that is not in the list yet', field);
  }
  if (hash && key !== undefined && key.length / 2 < KEY_BYTES[hash]) {
    const bytes = `${key.length / 2} bytes`;
    yield problem('distribution.key', `at least ${KEY_BYTES[hash]} bytes with hash ${hash}`, bytes);
  }
  if (!symmetric || fields.includes(undefined)) return;
  // With only one side's field the two directions of a connection hash different values,
  // whatever their order.
  const pairs = [
    ['source', 'destination'],
    ['sourcePort', 'destinationPort'],
  ] as const;
  for (const [one, other] of pairs) {
    if (fields.includes(one) !== fields.includes(other)) {
      const expected = `${one} and ${other} together or neither with symmetric true`;
      yield problem('distribution.fields', expected, `the list ${fields.join(', ')}`);
    }
  }
  const { source, destination } = prefixes ?? {};
  for (const family of ['ipv4', 'ipv6'] as const) {
    if (source?.[family] !== destination?.[family]) {
      const path = `distribution.prefixes.destination.${family}`;
      const expected = `${source?.[family]}, as for source, with symmetric true`;
      yield problem(path, expected, show(destination?.[family]));
    }
  }
}

type QuicConfigs = NonNullable<NonNullable<Checkable['quic']>['configs']>;

function* checkQuicConfigs(configs: QuicConfigs): Generator<Problem> {
  for (const [index, config] of configs.entries()) {
    const { serverIdLength, nonceLength, encrypted, keyFile } = config ?? {};
    const path = `quic.configs[${index}]`;
    const length = (serverIdLength ?? 0) + (nonceLength ?? 0);
    if (length > QUIC_PLAINTEXT_MAX) {
      const expected = `at most ${QUIC_PLAINTEXT_MAX} together with serverIdLength`;
      yield problem(`${path}.nonceLength`, expected, `${length}`);
    }
    if (encrypted === false && keyFile !== undefined) {
      yield problem(`${path}.keyFile`, 'nothing with encrypted false', show(keyFile));
    }
  }
  for (const [index, id] of repeated(configs.map((config) => config?.id?.toString()))) {
    yield problem(`quic.configs[${index}].id`, 'a config id that no other config has', id);
  }
}

function* checkServerIds(nodes: NonNullable<Checkable['nodes']>, length: number) {
  const ids = nodes.map((node) => {
    if (node?.name === undefined) return undefined;
    return serverIdOf({ name: node.name, serverId: node.serverId });
  });
  for (const [index, id] of ids.entries()) {
    if (id === undefined || id.length >= length) continue;
    const expected = `at least ${length} octets, as quic.configs ask for,`;
    yield problem(`nodes[${index}].serverId`, expected, `${id.length}`);
  }
  const used = ids.map((id) => id?.subarray(0, length).toString('hex'));
  for (const [index, id] of repeated(used)) {
    const expected = `a server id whose first ${length} octets no other node has`;
    yield problem(`nodes[${index}].serverId`, expected, id);
  }
}

function* checkQuic({ quic, nodes = [] }: Checkable): Generator<Problem> {
  if (!quic) return;
  const { ports = [], configs = [] } = quic;
  for (const [index, port] of repeated(ports.map((each) => each?.toString()))) {
    yield problem(`quic.ports[${index}]`, 'a port that is not in the list yet', port);
  }
  yield* checkQuicConfigs(configs);
  // The shortest tells most about clashes, the longest about what is too short.
  const lengths = configs.flatMap((config) => config?.serverIdLength ?? []);
  for (const length of new Set([Math.min(...lengths), Math.max(...lengths)])) {
    if (Number.isFinite(length)) yield* checkServerIds(nodes, length);
  }
}

function* checkSizes({ tables, workers, sync, fragments }: Checkable): Generator<Problem> {
  if (tables?.connections && tables.openingShare && workers) {
    const perWorker = Math.floor((tables.connections / workers) * tables.openingShare);
    if (perWorker < 1) {
      const expected = 'a share that leaves every worker room for an opening connection';
      yield problem('tables.openingShare', expected, show(tables.openingShare));
    }
  }
  if (sync?.heartbeat && sync.failAfter && sync.failAfter < 2 * sync.heartbeat) {
    const expected = `at least two heartbeats, ${2 * sync.heartbeat},`;
    yield problem('sync.failAfter', expected, show(sync.failAfter));
  }
  if (sync?.guard && sync.hold && sync.guard >= sync.hold) {
    // A hold lasts longer than the guard: everything that is held would be dropped.
    yield problem('sync.guard', `less than sync.hold, ${sync.hold},`, show(sync.guard));
  }
  if (
    fragments?.held &&
    fragments.heldBytes !== undefined &&
    fragments.heldBytes < fragments.held
  ) {
    const expected = `at least a byte for each held fragment, ${fragments.held},`;
    yield problem('fragments.heldBytes', expected, show(fragments.heldBytes));
  }
}

function* checkPlaces(config: Checkable): Generator<Problem> {
  const { interface: wire, deliver, quorum, nodes, admin } = config;
  if (wire !== undefined && wire === deliver?.device) {
    yield problem('deliver.device', 'a device other than interface', show(wire));
  }
  if (quorum === 'paths' && config.topology !== 'dispatcher' && nodes && nodes.length > 2) {
    const received = `paths with ${nodes.length} nodes`;
    yield problem('quorum', 'majority unless there are at most two nodes', received);
  }
  if (admin?.socket !== undefined && Buffer.byteLength(admin.socket) > SOCKET_PATH_MAX) {
    const received = `one of ${Buffer.byteLength(admin.socket)} bytes`;
    yield problem('admin.socket', `a path of at most ${SOCKET_PATH_MAX} bytes`, received);
  }
}

function* checkBypass({ bypass, topology, role }: Checkable): Generator<Problem> {
  // A dispatcher has no packets of others, and a gateway's connections run both ways.
  if (!bypass || (topology !== 'dispatcher' && role !== 'gateway')) return;
  const received = topology === 'dispatcher' ? 'a dispatcher' : 'a gateway';
  yield problem('bypass', 'a cluster of servers', received);
}

function* checkOs({ os }: Checkable): Generator<Problem> {
  for (const [index, field] of repeated(os?.match ?? [])) {
    yield problem(`os.match[${index}]`, 'an identifier that is not in the list yet', field);
  }
}

/** Everything that is wrong between the keys. */
export function crossCheck(config: Checkable): Problem[] {
  return [
    ...checkNetworks(config),
    ...checkGateway(config),
    ...checkAddresses(config),
    ...checkNodes(config),
    ...checkReserved(config),
    ...checkDispatcher(config),
    ...checkLink(config),
    ...checkDistribution(config),
    ...checkRules(config),
    ...checkQuic(config),
    ...checkSizes(config),
    ...checkPlaces(config),
    ...checkBypass(config),
    ...checkOs(config),
  ];
}
