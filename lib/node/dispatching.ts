import type { Allocation } from '../allocation/index.js';
import { bucketCounts, planSingle, withSingles } from '../allocation/index.js';
import {
  type Configuration,
  healthOf,
  resolveDistribution,
  resolveQuic,
  singlesOf,
} from '../config/index.js';
import {
  Dispatch,
  type DispatchEvent,
  type DispatchSettings,
  type Target,
  type TargetsState,
} from '../dispatch/index.js';
import type { Logger } from '../log/index.js';
import {
  awaitNative,
  type NativeEngine,
  type NodeIndexes,
  nativeCriteria,
  nativeQuic,
} from '../native/index.js';
import type { DispatcherPlane } from './dispatcher-plane.js';
import type { AllocationView } from './types.js';
import { viewsOfRules } from './views.js';

// What makes a dispatcher of a node: its configuration in the words of the room `dispatch`, and the
// engine and the other dispatcher behind it.

/** What the configuration says of the nodes and of how to reach them. */
export function dispatchSettings(config: Configuration): DispatchSettings {
  const { forward, select, onFailure, mtu, guePort } = config.dispatcher;
  return {
    nodes: config.nodes.map((node) => ({
      name: node.name,
      // Checked with the configuration.
      address: node.address ?? '',
      forward: node.forward ?? forward,
      weight: node.weight,
      health: healthOf(config, node),
    })),
    select,
    onFailure,
    mtu,
    port: guePort,
  };
}

/** What a dispatcher is made with. */
export interface DispatchingParts {
  readonly config: Configuration;
  readonly engine: NativeEngine;
  readonly indexes: NodeIndexes;
  readonly plane: DispatcherPlane;
  readonly logger: Logger;
  tell(state: TargetsState): void;
  fetch(from: string): Promise<void>;
  onEvent(event: DispatchEvent): void;
}

/** The dispatcher of a node with topology dispatcher. */
export function makeDispatch(parts: DispatchingParts): Dispatch {
  const { config, engine, indexes, plane } = parts;
  return new Dispatch(
    {
      ...parts,
      buckets: config.distribution.buckets,
      isActive: () => plane.isActive,
      active: () => plane.active,
      install: async ({ targets, candidates }) => {
        const owners = singleTargets(config, targets.nodes);
        const allocation = withSingles(targets.allocation, owners);
        const criteria = nativeCriteria(config, config.node, allocation, indexes);
        const down = targets.nodes.filter((node) => node.down).map(({ name }) => indexes.of(name));
        const weighed = candidates.map(({ name, weight }: Target): [number, number] => {
          return [indexes.of(name), weight];
        });
        const dispatching = { down, candidates: weighed };
        const up = targets.nodes.filter((node) => !node.down).map(({ name }) => name);
        const quic = nativeQuic(resolveQuic(config), up, indexes);
        await awaitNative(engine.replaceCriteria({ ...criteria, dispatching, quic }));
      },
    },
    dispatchSettings(config),
  );
}

/** Who has each rule that gives to a single node: the first that is up, or else that drains. */
function singleTargets(config: Configuration, nodes: readonly Target[]): string[] {
  const able = nodes.map(({ name, weight, draining, down }) => {
    return { name, rank: down ? 2 : draining ? 1 : 0, weighted: weight > 0 };
  });
  const singles = singlesOf(resolveDistribution(config).rules);
  return singles.flatMap((priority) => planSingle(priority, able) ?? []);
}

/** The allocation between the nodes behind a dispatcher. */
export function targetsView(
  config: Configuration,
  { allocation, nodes }: TargetsState,
): AllocationView {
  const buckets = bucketCounts(allocation as Allocation);
  return {
    epoch: allocation.epoch,
    buckets: allocation.owners.length,
    names: allocation.names,
    owners: [...allocation.owners],
    shares: nodes.map(({ name, weight }) => ({ name, weight, buckets: buckets.get(name) ?? 0 })),
    rules: viewsOfRules(resolveDistribution(config).rules, singleTargets(config, nodes)),
  };
}
