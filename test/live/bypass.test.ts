import assert from 'node:assert/strict';
import { assertUndisturbed, ownersNow, Traffic } from './account.js';
import { kill, others, pause } from './faults.js';
import { bucketsOf, liveCluster, namesOf, nodeOf, note, type Status, stateOf } from './support.js';

// A cluster whose kernels deliver and discard what belongs to busy connections: whatever becomes of the
// cluster, it must be as if every node had seen every packet.

const PLANNED_MS = 100;
const FAILURE_MS = 1_000;

const bypassed = (statuses: readonly Status[]): number[] =>
  statuses.map(({ counters }) => counters.bypassed ?? 0);

describe('a cluster of four with a bypass', () => {
  const live = liveCluster({
    nodes: 4,
    started: 3,
    syncNetwork: true,
    sections: { bypass: true },
  });

  const delivered = (statuses: readonly Status[]): number[] =>
    statuses.map(({ counters }) => counters.deliveredByKernel ?? 0);

  it('lets the kernel of every node deliver and discard, and counts it', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const traffic = await Traffic.start(live());
    await traffic.flow(6_000);
    const account = await traffic.stop();
    assertUndisturbed('no change', account, {
      living: namesOf(cluster.running),
      slowestMs: PLANNED_MS,
    });
    const statuses = await cluster.statuses();
    for (const [what, counts] of [
      ['discarded', bypassed(statuses)],
      ['delivered', delivered(statuses)],
    ] as const) {
      const shares = counts.map((count, i) => count / (statuses[i]?.counters[what] ?? 1));
      note(`of what each ${what}, by the kernel: ${shares.map((s) => s.toFixed(2)).join(', ')}`);
      assert.ok(shares.every((share) => share > 0.2));
    }
  });

  it('breaks nothing when a node joins, and one drains and resumes', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const [newcomer, drained] = [nodeOf(cluster, 'node-4'), nodeOf(cluster, 'node-2')];
    const traffic = await Traffic.start(live());
    await traffic.flow(3_000);
    await cluster.startDaemons([newcomer]);
    await cluster.agreed('node-4 with buckets', (status) => bucketsOf(status, 'node-4') === 64);
    await traffic.flow(1_500);
    await cluster.command(drained, ['drain', '--deadline', '60']);
    await cluster.agreed('node-2 without buckets', (status) => bucketsOf(status, 'node-2') === 0);
    await traffic.flow(2_000);
    await cluster.command(drained, ['resume']);
    await cluster.agreed('node-2 with buckets', (status) => bucketsOf(status, 'node-2') === 64);
    await traffic.flow(1_000);
    const account = await traffic.stop();
    assertUndisturbed('join, drain and resume', account, {
      living: namesOf(cluster.nodes),
      slowestMs: PLANNED_MS,
    });
  });

  it('breaks nothing at the others when a node is stopped for a while', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const victim = nodeOf(cluster, 'node-1');
    const owner = await ownersNow(live());
    const traffic = await Traffic.start(live());
    await traffic.flow(4_000);
    const before = delivered(await cluster.statuses());
    const at = Date.now();
    await pause(victim, 5_000);
    await cluster.agreed('node-1 with buckets', (status) => bucketsOf(status, 'node-1') === 64);
    await traffic.flow(1_000);
    const account = await traffic.stop();
    assertUndisturbed('SIGSTOP for 5 s', account, {
      living: namesOf(others(cluster, victim)),
      slowestMs: FAILURE_MS,
      excused: (one) => one.at <= at && owner(one) === victim.name,
    });
    assert.ok(before.every((count) => count > 0));
  });
});

// A new one, whose kernels have nothing left of earlier connections: one that inherits a connection with
// the ports of such would not reset it, but acknowledge what it has.
describe('a cluster of three with a bypass', () => {
  const live = liveCluster({ nodes: 3, syncNetwork: true, sections: { bypass: true } });

  it('breaks nothing at the others when a node is killed, and resets its clients', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const victim = nodeOf(cluster, 'node-3');
    const owner = await ownersNow(live());
    const traffic = await Traffic.start(live());
    await traffic.flow(4_000);
    const before = bypassed(await cluster.statuses());
    const at = await kill(victim);
    await cluster.agreed('node-3 dead', (status) => {
      return stateOf(status, 'node-3') === 'dead' && bucketsOf(status, 'node-3') === 0;
    });
    await traffic.flow(2_000);
    const account = await traffic.stop();
    assertUndisturbed('kill -9', account, {
      living: namesOf(others(cluster, victim)),
      slowestMs: FAILURE_MS,
      excused: (one) => one.at <= at && owner(one) === victim.name,
    });
    const held = account.lines.filter(({ node }) => node === victim.name);
    assert.ok(held.length > 10, 'it had conversations');
    const notReset = held.filter(({ broken }) => broken !== 'ECONNRESET');
    assert.deepEqual(notReset, [], 'each of its clients is reset');
    assert.ok(before.every((count) => count > 0));
  });
});
