// A node's status as Prometheus reads it. The metrics of counters and drops are not listed here:
// their names and help texts come from the one list that the native rooms count by, so that a new
// counter is a new metric.
import { Counter, Gauge, Registry } from 'prom-client';
import type { DispatchNodeStatus, DispatchStatus } from '../dispatch/index.js';
import type { ClusterStatus, CounterVocabulary, Status } from '../node/types.js';

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [value: number, labels?: Labels];

/** The content type of {@link renderMetrics}' text. */
export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Renders a status in the text format of Prometheus; every name begins with `flowsieve_`. */
export function renderMetrics(
  status: Status & Partial<ClusterStatus>,
  vocabulary: CounterVocabulary,
): Promise<string> {
  const registry = new Registry();
  addCounted(registry, status, vocabulary);
  addTables(registry, status);
  addCluster(registry, status);
  addPeers(registry, status);
  if (status.dispatcher !== undefined) addDispatcher(registry, status.dispatcher);
  addProcess(registry, status);
  return registry.metrics();
}

/** `ringFull` → `ring_full`: the same words, as Prometheus writes them. */
export function metricWord(word: string): string {
  return word.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function addCounted(registry: Registry, status: Status, vocabulary: CounterVocabulary): void {
  for (const { name, text } of vocabulary.counters) {
    // The six classes are one metric, so that a query can add them up.
    if (/^class[1-6]$/.test(name)) continue;
    counter(registry, `${metricWord(name)}_total`, text, [[status.counters[name] ?? 0]]);
  }
  counter(
    registry,
    'class_packets_total',
    'packets by class of the decision: 1 opening, mine; 2 own table; 3 opening, of another; 4 others table; 5 unknown, mine; 6 unknown, of another',
    Object.entries(status.classes).map(([name, value]) => [value, { class: name }]),
  );
  counter(
    registry,
    'drops_total',
    'packets neither decided nor delivered, by reason',
    vocabulary.drops
      .filter(({ name }) => name !== 'none')
      .map(({ name }) => [status.drops[name] ?? 0, { reason: name }]),
  );
}

function addTables(registry: Registry, { tables }: Status): void {
  gauge(registry, 'connections', 'connections in the table, by who is responsible for them', [
    [tables.own, { table: 'own' }],
    [tables.others, { table: 'others' }],
  ]);
  gauge(registry, 'connections_status', 'connections in the table, by status', [
    [tables.opening, { status: 'OPENING' }],
    [tables.established, { status: 'ESTABLISHED' }],
    [tables.closing, { status: 'CLOSING' }],
  ]);
  gauge(registry, 'connections_capacity', 'connections that the table has room for', [
    [tables.capacity],
  ]);
}

function addCluster(registry: Registry, status: Status): void {
  const { members, handover } = status;
  gauge(registry, 'epoch', 'epoch of the allocation', [[status.epoch]]);
  gauge(registry, 'state', 'what this node is doing in its cluster', [
    [1, { state: status.state }],
  ]);
  gauge(
    registry,
    'member_buckets',
    'buckets of each member',
    members.map(({ name, buckets }) => [buckets, { member: name }]),
  );
  gauge(
    registry,
    'member_weight',
    'weight of each member',
    members.map(({ name, weight }) => [weight, { member: name }]),
  );
  gauge(
    registry,
    'member_state',
    'state of each member as this node sees it',
    members.map(({ name, state }) => [1, { member: name, state }]),
  );
  gauge(
    registry,
    'rule_owner',
    'which member has a rule that gives to a single node',
    status.rules.flatMap(({ number, owner }) =>
      owner === null ? [] : [[1, { rule: String(number), member: owner }]],
    ),
  );
  counter(registry, 'handovers_total', 'handovers, by how they ended', [
    [handover.completed, { outcome: 'completed' }],
    [handover.rolledBack, { outcome: 'rolledBack' }],
  ]);
  counter(registry, 'handover_held_total', 'packets held during handovers', [[handover.held]]);
  counter(registry, 'handover_held_dropped_total', 'packets dropped from the hold of handovers', [
    [handover.heldDropped],
  ]);
}

function addPeers(registry: Registry, status: Partial<ClusterStatus>): void {
  const { peers, drain, audit } = status;
  if (drain !== undefined) {
    gauge(registry, 'drain_connections', 'open connections that a drain waits for', [
      [drain?.connections ?? 0],
    ]);
  }
  if (peers !== undefined) {
    gauge(
      registry,
      'peer_connected',
      'messages to the peer would leave now',
      peers.map(({ name, connected }) => [connected ? 1 : 0, { peer: name }]),
    );
    gauge(
      registry,
      'peer_heard_timestamp_seconds',
      'when the peer was last heard, by path; 0: never',
      peers.flatMap(({ name, paths }): Sample[] => [
        [paths.sync ?? 0, { peer: name, path: 'sync' }],
        [paths.wire ?? 0, { peer: name, path: 'wire' }],
      ]),
    );
  }
  addExpectations(registry, status);
  if (audit === undefined) return;
  gauge(
    registry,
    'audit_epochs',
    'epochs of the audit, by what came of their opening packets',
    Object.entries(audit).map(([verdict, count]) => [count, { verdict }]),
  );
}

function addDispatcher(registry: Registry, { active, epoch, nodes }: DispatchStatus): void {
  const each = (name: string, help: string, value: (node: DispatchNodeStatus) => number): void =>
    gauge(
      registry,
      name,
      help,
      nodes.map((node) => [value(node), { node: node.name }]),
    );
  gauge(registry, 'dispatcher_active', 'this dispatcher forwards', [[active ? 1 : 0]]);
  gauge(registry, 'dispatcher_epoch', 'epoch of the allocation between the nodes', [[epoch]]);
  each('node_down', 'the health checks of the node fail', ({ down }) => Number(down));
  each('node_draining', 'the node gets no new connections', ({ draining }) => Number(draining));
  each('node_weight', 'weight of the node', ({ weight }) => weight);
  each('node_buckets', 'buckets of the node', ({ buckets }) => buckets);
  each('node_connections', 'connections of the node', ({ connections }) => connections);
  each('node_check_seconds', 'how long the last health check of the node took', (node) => {
    return (node.lastCheck?.milliseconds ?? 0) / 1000;
  });
  each('node_way_open', 'packets can be sent to the node', ({ way }) => {
    return Number(way?.state === 'open');
  });
  for (const what of ['packets', 'bytes'] as const) {
    counter(
      registry,
      `node_${what}_total`,
      `${what} forwarded to the node`,
      nodes.map((node) => [node[what], { node: node.name }]),
    );
  }
}

function addExpectations(registry: Registry, { expectations }: Partial<ClusterStatus>): void {
  if (expectations === undefined) return;
  const { own, others, registered, refused, ended } = expectations;
  gauge(registry, 'expectations', 'expected connections, by who expects them', [
    [own, { owner: 'own' }],
    [others, { owner: 'others' }],
  ]);
  counter(registry, 'expectations_registered_total', "this node's expectations that came about", [
    [registered],
  ]);
  counter(registry, 'expectations_refused_total', "this node's expectations that did not", [
    [refused],
  ]);
  counter(
    registry,
    'expectations_ended_total',
    "this node's expectations that are over, by why",
    Object.entries(ended).map(([why, count]) => [count, { why }]),
  );
}

function addProcess(registry: Registry, status: Status): void {
  const { memory, host } = status;
  gauge(registry, 'info', 'what is running', [
    [1, { cluster: status.cluster, node: status.node, version: status.version }],
  ]);
  gauge(registry, 'uptime_seconds', 'seconds since the start', [[status.uptime]]);
  gauge(registry, 'workers', 'worker threads', [[status.workers.length]]);
  gauge(registry, 'memory_bytes', 'memory of the process, by part', [
    [memory.residentBytes, { part: 'resident' }],
    [memory.heapBytes, { part: 'heap' }],
    [memory.nativeBytes, { part: 'native' }],
  ]);
  gauge(
    registry,
    'alarms',
    'alarms that are raised now',
    status.alarms.map(({ name }) => [1, { alarm: name }]),
  );
  if (host.guard === null) return;
  gauge(registry, 'guard_installed', 'the guard is in force', [[host.guard.installed ? 1 : 0]]);
  counter(
    registry,
    'guard_dropped_total',
    'packets that the guard kept from the kernel, by rule',
    Object.entries(host.guard.dropped).map(([rule, { packets }]) => [packets, { rule }]),
  );
}

function counter(registry: Registry, name: string, help: string, samples: readonly Sample[]): void {
  const metric = new Counter(describe(registry, name, help, samples));
  for (const [value, labels] of samples) metric.inc({ ...labels }, value);
}

function gauge(registry: Registry, name: string, help: string, samples: readonly Sample[]): void {
  const metric = new Gauge(describe(registry, name, help, samples));
  // Two alarms of one name are two.
  for (const [value, labels] of samples) metric.inc({ ...labels }, value);
}

function describe(registry: Registry, name: string, help: string, samples: readonly Sample[]) {
  const labelNames = Object.keys(samples[0]?.[1] ?? {});
  return { name: `flowsieve_${name}`, help, labelNames, registers: [registry] };
}
