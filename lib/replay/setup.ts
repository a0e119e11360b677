import { plan, planSingle, withSingles } from '../allocation/index.js';
import {
  type Configuration,
  parseConfiguration,
  type ResolvedRule,
  resolveDistribution,
  resolveQuic,
  singlesOf,
} from '../config/index.js';
import {
  addon,
  callNative,
  type NativeReplay,
  NodeIndexes,
  nativeCriteria,
  nativeQuic,
  nativeWorkerOptions,
} from '../native/index.js';

/** How a capture is read. */
export interface ReplayOptions {
  /**
   * The cluster; without it every IP packet is cluster traffic and the first packet's
   * sender is the client.
   */
  readonly config?: Configuration | undefined;
  /** That many nodes of equal weight, node-1 …, instead of the configuration's. */
  readonly nodes?: number | undefined;
}

/** What is read: a capture file, or one frame. */
export type ReplayInput =
  | { readonly path: string }
  | { readonly frame: Uint8Array; readonly link: 'ethernet' | 'raw' };

/** A replay and the names of the nodes, by index. */
export interface OpenReplay {
  readonly native: NativeReplay;
  readonly names: readonly string[];
  readonly rules: readonly ResolvedRule[];
}

// What a replay without a configuration distributes over: the addresses are never asked for.
const ANY_ADDRESS = '192.0.2.100';

/** Opens a replay as the configuration's node, or as node-1. */
export function openReplay(input: ReplayInput, options: ReplayOptions): OpenReplay {
  const config =
    options.config ??
    parseConfiguration(
      { cluster: 'replay', addresses: [ANY_ADDRESS], node: 'node-1', nodes: [{ name: 'node-1' }] },
      { subject: 'the replay' },
    );
  const members =
    options.nodes === undefined
      ? config.nodes
      : Array.from({ length: options.nodes }, (_, i) => ({ name: `node-${i + 1}`, weight: 1 }));
  const self = options.nodes === undefined ? config.node : 'node-1';
  const indexes = new NodeIndexes();
  for (const member of members) indexes.of(member.name);
  const planned = plan({ members, buckets: config.distribution.buckets });
  const { rules } = resolveDistribution(config);
  const able = members.map(({ name, weight }) => ({ name, rank: 0, weighted: weight > 0 }));
  const singles = singlesOf(rules).flatMap((priority) => planSingle(priority, able) ?? []);
  const allocation = withSingles(planned, singles);
  const worker = nativeWorkerOptions(config, self, indexes, {
    everything: options.config === undefined,
    bothDirections: true,
    sampleEvery: 0,
  });
  const names = members.map(({ name }) => name);
  const criteria = {
    ...nativeCriteria(config, self, allocation, indexes),
    quic: nativeQuic(resolveQuic(config, members), names, indexes),
  };
  const native = callNative(() => new addon.Replay(input, worker, criteria));
  return { native, names: indexes.names(), rules };
}
