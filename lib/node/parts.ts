import { createHash } from 'node:crypto';
import {
  type Configuration,
  criteriaSettings,
  HASH_LAYOUT_VERSION,
  syncAddressOf,
  syncSecrets,
} from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import {
  addon,
  addressBytes,
  addressText,
  awaitNative,
  callNative,
  type NativeEngine,
  type NodeIndexes,
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

// What a node is put together from, made out of its configuration.

const CLASH_WAIT_MS = 300;
const SAMPLE_EVERY = 64;

/** The capture interface, which `run` cannot do without. */
export function captureInterface(config: Configuration): string {
  if (config.interface !== undefined) return config.interface;
  throw new FlowsieveError(
    'FLOWSIEVE_CONFIGURATION',
    'Expected the name of the capture interface for interface but received nothing.',
    { path: 'interface' },
  );
}

/** Nobody but the cluster may have the cluster's addresses. */
export async function refuseClashes(config: Configuration, captured: string): Promise<void> {
  if (config.linkAddress === null) return;
  const addresses = Buffer.concat(config.addresses.map((address) => addressBytes(address)));
  const [clash] = await awaitNative(
    addon.findClashes(captured, addresses, config.linkAddress, CLASH_WAIT_MS),
  );
  if (clash === undefined) return;
  const address = config.addresses.find((text) =>
    clash.address.equals(Buffer.from(addressBytes(text))),
  );
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
    dispatch: config.topology === 'dispatcher',
  };
  const engine = callNative(() => new addon.Engine(options, noCriteria(config, indexes)));
  engine.setOpenUntil(0n);
  return engine;
}

/** What the configuration says to the protocol. */
export function configuredOf(config: Configuration): Configured {
  const { elements: nodes, node, distribution } = config;
  return {
    nodes: nodes.map(({ name }) => name),
    weight: nodes.find(({ name }) => name === node)?.weight ?? 1,
    criteria: { ...criteriaSettings(config), buckets: distribution.buckets },
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

/** The cluster MAC address; where there is none, a multicast address of the cluster's own. */
function probeAddress(config: Configuration): string {
  if (config.linkAddress !== null) return config.linkAddress;
  const digest = createHash('sha256').update(`flowsieve ${config.cluster}`).digest('hex');
  return ['03', ...(digest.slice(0, 10).match(/../g) ?? [])].join(':');
}

function wirePath(config: Configuration, captured: string): WirePath {
  let take: (payload: Buffer, source: string) => void = () => {};
  const channel = callNative(
    () =>
      new addon.WireChannel({
        interface: captured,
        linkAddress: probeAddress(config),
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
  captured: string,
  incarnation: number,
  logger: Logger,
  take: FromPeers,
): Promise<Peers | null> {
  if (config.elements.length === 1) return null;
  const known = peersConfiguration(config);
  const wire = wirePath(config, captured);
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
