import { createHash } from 'node:crypto';
import {
  type Configuration,
  criteriaSettings,
  HASH_LAYOUT_VERSION,
  type NetworkConfiguration,
  resolveDistribution,
  singlesOf,
  syncAddressOf,
  syncSecrets,
} from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
import type { HostOptions } from '../host/index.js';
import type { Logger } from '../log/index.js';
import {
  addon,
  addressBytes,
  addressText,
  awaitNative,
  callNative,
  type NativeEngine,
  type NodeIndexes,
  nativeAddresses,
  nativeWorkerOptions,
} from '../native/index.js';
import {
  Peers,
  type PeersConfiguration,
  type PeersOptions,
  type WirePath,
} from '../peers/index.js';
import type { Configured } from '../protocol/index.js';
import { noCriteria } from './plane.js';
import { joinWires } from './wires.js';

// What a node is put together from, made out of its configuration.

const CLASH_WAIT_MS = 300;
const SAMPLE_EVERY = 64;

/** The capture interface, which `run` cannot do without; of a gateway the first. */
export function captureInterface(config: Configuration): string {
  if (config.interface !== undefined) return config.interface;
  throw new FlowsieveError(
    'FLOWSIEVE_CONFIGURATION',
    'Expected the name of the capture interface for interface but received nothing.',
    { path: 'interface' },
  );
}

/** Nobody but the cluster may have the cluster's addresses. */
export async function refuseClashes(config: Configuration): Promise<void> {
  await Promise.all(config.interfaces.map(refuseClashesOn));
}

async function refuseClashesOn(network: NetworkConfiguration): Promise<void> {
  const { name: captured, addresses, linkAddress } = network;
  if (linkAddress === null) return;
  const [clash] = await awaitNative(
    addon.findClashes(captured, nativeAddresses(addresses), linkAddress, CLASH_WAIT_MS),
  );
  if (clash === undefined) return;
  const address = addresses.find((text) => clash.address.equals(Buffer.from(addressBytes(text))));
  throw new FlowsieveError(
    'FLOWSIEVE_CLASH',
    `Expected nobody else to have the cluster address ${address ?? addressText(clash.address, false)} on ` +
      `${captured} but received an answer from ${clash.linkAddress}.`,
    { path: 'addresses' },
  );
}

/**
 * A heartbeat that waits for a processor may cost a node its lease, and its clients their
 * connections; a packet that waits is late.
 */
export function runInRealTime(logger: Logger): void {
  try {
    callNative(() => addon.runInRealTime());
  } catch (error) {
    logger.info(
      { err: error },
      'not in real time: on a busy machine heartbeats and packets may be late',
    );
  }
}

function nativeNetworks({ interfaces }: Configuration) {
  return interfaces.map(({ name, linkAddress, addresses }) => ({
    interface: name,
    linkAddress: linkAddress ?? '',
    addresses: nativeAddresses(addresses),
  }));
}

/** What the host has to set for this configuration. */
export function hostOptions(
  config: Configuration,
  captured: string,
): Pick<HostOptions, 'cluster' | 'addresses' | 'interface' | 'gateway' | 'device' | 'source'> {
  const { cluster, addresses, interfaces, deliver, role } = config;
  const gateway = {
    interfaces: interfaces.map(({ name }) => name),
    linkAddresses: interfaces.flatMap(({ linkAddress }) => linkAddress ?? []),
  };
  return {
    cluster,
    addresses,
    interface: captured,
    gateway: role === 'gateway' ? gateway : undefined,
    device: deliver.device,
    source: deliver.source,
  };
}

/** An engine that takes nothing for its own yet. */
export function openEngine(
  config: Configuration,
  captured: string,
  indexes: NodeIndexes,
): NativeEngine {
  const worker = nativeWorkerOptions(config, config.node, indexes, {
    everything: false,
    bothDirections: false,
    sampleEvery: SAMPLE_EVERY,
  });
  const options = {
    worker,
    workers: config.workers,
    interface: captured,
    device: config.deliver.device,
    link: config.link,
    linkAddress: config.linkAddress ?? '',
    networks: config.role === 'gateway' ? nativeNetworks(config) : null,
    dispatch: config.topology === 'dispatcher',
    bypass: config.bypass,
    gatherMicroseconds: config.gatherMicroseconds,
  };
  const engine = callNative(() => new addon.Engine(options, noCriteria(config, indexes)));
  engine.setOpenUntil(0n);
  return engine;
}

/** What the configuration says to the protocol. */
export function configuredOf(config: Configuration): Configured {
  const { elements: nodes, node, distribution } = config;
  const singles = singlesOf(resolveDistribution(config).rules);
  return {
    nodes: nodes.map(({ name }) => name),
    weight: nodes.find(({ name }) => name === node)?.weight ?? 1,
    criteria: {
      ...criteriaSettings(config),
      buckets: distribution.buckets,
      ...(singles.length > 0 ? { singles } : {}),
    },
  };
}

/** Who the nodes are, where they are spoken to, and by what they know each other. */
export function peersConfiguration(config: Configuration): PeersConfiguration {
  const nodes = config.elements.map((node) => {
    const address = syncAddressOf(node);
    if (address !== undefined) return { name: node.name, address };
    throw new FlowsieveError(
      'FLOWSIEVE_CONFIGURATION',
      `Expected an address of every node of a cluster of several but received none of ${node.name}.`,
      { path: 'nodes' },
    );
  });
  return { nodes, secrets: syncSecrets(config) };
}

/** Where there is no cluster MAC address: a multicast address of the cluster's own. */
function probeAddress(config: Configuration): string {
  const digest = createHash('sha256').update(`flowsieve ${config.cluster}`).digest('hex');
  return ['03', ...(digest.slice(0, 10).match(/../g) ?? [])].join(':');
}

/** Every network of the cluster: a server has one. */
function wirePath(config: Configuration): WirePath {
  const opened: WirePath[] = [];
  try {
    for (const { name, linkAddress } of config.interfaces) {
      opened.push(wireOn(name, linkAddress ?? probeAddress(config)));
    }
  } catch (error) {
    for (const wire of opened) wire.close();
    throw error;
  }
  return joinWires(opened);
}

function wireOn(captured: string, linkAddress: string): WirePath {
  let take: (payload: Buffer, source: string) => void = () => {};
  const channel = callNative(
    () =>
      new addon.WireChannel({
        interface: captured,
        linkAddress,
        onFrame: (payload, source) => take(payload, source),
      }),
  );
  return {
    send: (payload) => channel.send(payload),
    onFrame: (taker) => {
      take = taker;
    },
    close: () => channel.close(),
  };
}

/** What reaches a node from its peers. */
export type FromPeers = Pick<PeersOptions, 'onHeartbeat' | 'onMessage' | 'onList'>;

/** The way to the peers; null for a node that is its whole cluster. */
export async function startPeers(
  config: Configuration,
  incarnation: number,
  logger: Logger,
  take: FromPeers,
): Promise<Peers | null> {
  if (config.elements.length === 1) return null;
  const known = peersConfiguration(config);
  const wire = wirePath(config);
  try {
    return await Peers.start({
      ...known,
      ...take,
      cluster: config.cluster,
      self: { name: config.node, incarnation },
      port: config.sync.port,
      wire,
      hashLayoutVersion: HASH_LAYOUT_VERSION,
      logger,
    });
  } catch (error) {
    wire.close();
    throw error;
  }
}
