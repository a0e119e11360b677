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
import type { MemberState, MemberStatus, PacketClass, Status } from '../../lib/node/types.js';

export { Child, CLUSTER_IPV4, CLUSTER_IPV6, Cluster, type ClusterNode, type Status, until };

/** Both families' cluster addresses, with their names for titles. */
export const FAMILIES = [
  { family: 'IPv4', address: CLUSTER_IPV4 },
  { family: 'IPv6', address: CLUSTER_IPV6 },
] as const;

/** How much of each node's log is shown when a test fails. */
const LINES_OF_A_FAILURE = 30;

/** What {@link liveCluster} is asked for. */
export interface LiveOptions extends ClusterOptions {
  readonly weights?: readonly number[];
  readonly sections?: Sections;
  /** False when the test starts flowsieve itself. */
  readonly daemons?: boolean;
  /** How many of the nodes are started, the first ones; by default all. */
  readonly started?: number;
  /**
   * False: the kernels of the nodes keep no TIME-WAIT. Clients take the same ports again within its
   * minute here, and a node that inherits such a connection would not reset it: it would acknowledge
   * the end of the one before.
   */
  readonly timeWait?: boolean;
}

/** A cluster for the tests of one describe block. */
export interface Live {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly client: Driver;
}

async function withoutTimeWait(lab: Lab, { nodes }: Cluster): Promise<void> {
  const set = 'echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets';
  await Promise.all(nodes.map(({ name }) => lab.run(name, ['sh', '-c', set])));
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
    if (options.timeWait === false) await withoutTimeWait(lab, cluster);
    await cluster.startServers();
    live = { lab, cluster, client: cluster.traffic() };
    if (options.daemons === false) return;
    const started = cluster.nodes.slice(0, options.started);
    await cluster.startDaemons(started);
    await allMembers(cluster, started).catch((error: unknown) => {
      printLogs(cluster);
      throw error;
    });
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed' && live) printLogs(live.cluster);
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

/** Waits until all of these are members, and at rest. */
async function allMembers(cluster: Cluster, nodes: readonly ClusterNode[]): Promise<void> {
  const members = (status: Status): boolean =>
    nodes.every(({ name }) => stateOf(status, name) === 'member');
  await cluster.agreed('members', members);
  // Programs that have just started are busy with themselves for a moment.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await cluster.agreed('members', members);
}

/** Shows the end of each node's log. */
function printLogs(cluster: Cluster): void {
  for (const { name, daemon } of cluster.nodes) {
    const said = (daemon?.stderr ?? []).slice(-LINES_OF_A_FAILURE);
    for (const line of said) console.log(`        ${name}: ${line}`);
  }
}

/** The node of that name. */
export function nodeOf(cluster: Cluster, name: string): ClusterNode {
  const node = cluster.nodes.find((each) => each.name === name);
  assert.ok(node, `there is a ${name}`);
  return node;
}

/** The names of these nodes. */
export function namesOf(nodes: readonly ClusterNode[]): string[] {
  return nodes.map((node) => node.name);
}

function memberOf(status: Status, name: string): MemberStatus | undefined {
  return status.members.find((member) => member.name === name);
}

/** How many buckets a node has, as another one says; -1 when it does not know it. */
export function bucketsOf(status: Status, name: string): number {
  return memberOf(status, name)?.buckets ?? -1;
}

/** What a node is doing, as another one says. */
export function stateOf(status: Status, name: string): MemberState | undefined {
  return memberOf(status, name)?.state;
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

/**
 * The tests of the surrounding describe block are tried up to three times, and every further try
 * is printed. Known and open (docs/decisions/cluster-protocol.md, "What is open"): a node that comes
 * back after a pause can still have connections that all others have forgotten, and answers when
 * their clients take the same port again; and an heir that has no lease at the moment of a takeover
 * does not answer what the dead node had left, so that the client has to ask again.
 */
export function retriedWhileOpen(suite: Mocha.Suite): void {
  suite.retries(2);
  beforeEach(function () {
    const test = this.currentTest as (Mocha.Test & { currentRetry(): number }) | undefined;
    const tries = test?.currentRetry() ?? 0;
    if (tries > 0) note(`OPEN DEFECT, OR A BUSY MACHINE: try ${tries + 1} of this test`);
  });
}
