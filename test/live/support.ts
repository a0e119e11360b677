// What the live tests share: a cluster per describe block, and the client's wire.
import assert from 'node:assert/strict';
import { Child, until } from '../../lib/cli/demo/child.js';
import {
  CLUSTER_IPV4,
  CLUSTER_IPV6,
  Cluster,
  type ClusterNode,
  type ClusterOptions,
  type Sections,
} from '../../lib/cli/demo/cluster.js';
import type { Fared } from '../../lib/cli/demo/commands.js';
import type { Driver } from '../../lib/cli/demo/driver.js';
import { Lab } from '../../lib/cli/demo/lab.js';
import type { PacketClass, Status } from '../../lib/node/types.js';

export { Child, CLUSTER_IPV4, CLUSTER_IPV6, Cluster, type ClusterNode, type Status, until };

/** Both families' cluster addresses, with their names for titles. */
export const FAMILIES = [
  { family: 'IPv4', address: CLUSTER_IPV4 },
  { family: 'IPv6', address: CLUSTER_IPV6 },
] as const;

/** What {@link liveCluster} is asked for. */
export interface LiveOptions extends ClusterOptions {
  readonly weights?: readonly number[];
  readonly sections?: Sections;
  /** False when the test starts flowsieve itself. */
  readonly daemons?: boolean;
}

/** A cluster for the tests of one describe block. */
export interface Live {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly client: Driver;
}

/**
 * Makes a cluster before the tests of the surrounding describe block and takes it down after them.
 */
export function liveCluster(options: LiveOptions = {}): () => Live {
  let live: Live | undefined;
  let lab: Lab | undefined;
  before(async function () {
    this.timeout(60_000);
    lab = await Lab.open();
    const cluster = await Cluster.wire(lab, options);
    await cluster.configure(options.weights, options.sections);
    await cluster.startServers();
    if (options.daemons !== false) await cluster.startDaemons();
    live = { lab, cluster, client: cluster.traffic() };
  });
  after(async function () {
    this.timeout(20_000);
    await lab?.close();
  });
  return () => {
    assert.ok(live, 'the cluster stands');
    return live;
  };
}

/** The node of that name. */
export function nodeOf(cluster: Cluster, name: string): ClusterNode {
  const node = cluster.nodes.find((each) => each.name === name);
  assert.ok(node, `there is a ${name}`);
  return node;
}

/** The sum of a packet class over all nodes. */
export function sumOfClass(statuses: readonly Status[], number: PacketClass): number {
  return statuses.reduce((sum, status) => sum + status.classes[number], 0);
}

/** Asserts that conversations fared well: none broken, none moved. */
export function assertUnbroken(fared: Fared): void {
  const { broken, moved, errors } = fared;
  assert.deepEqual({ broken, moved, errors }, { broken: 0, moved: 0, errors: {} });
}

/** Prints a measured line below the test's title. */
export function note(line: string): void {
  console.log(`        ${line}`);
}
