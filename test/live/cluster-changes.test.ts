import assert from 'node:assert/strict';
import { assertNone, assertUndisturbed, ownersNow, Traffic } from './account.js';
import { others } from './faults.js';
import {
  bucketsOf,
  CLUSTER_IPV4,
  CLUSTER_IPV6,
  liveCluster,
  namesOf,
  nodeOf,
  note,
  type Status,
  stateOf,
} from './support.js';

// What an operator does to a cluster, under traffic that must not notice.

/** How long an opening may take while the cluster changes as planned. */
const SLOWEST_MS = 100;
const OTHER_KEY = 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff';

describe('a cluster of four under traffic', () => {
  const live = liveCluster({ nodes: 4, started: 3, syncNetwork: true });

  it('takes a fourth node in', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const newcomer = nodeOf(cluster, 'node-4');
    const traffic = await Traffic.start(live());
    await traffic.flow(500);
    const start = performance.now();
    await cluster.startDaemons([newcomer]);
    await cluster.agreed('node-4 with buckets', (status) => bucketsOf(status, 'node-4') === 64);
    note(`from its start to its 64 buckets: ${(performance.now() - start).toFixed(0)} ms`);
    await traffic.flow(1_000);
    const account = await traffic.stop();
    assertUndisturbed('join', account, { living: namesOf(cluster.nodes), slowestMs: SLOWEST_MS });
    const taken = account.openings.filter(({ node }) => node === 'node-4');
    assert.ok(taken.length > 5, 'the newcomer opens connections');
  });

  it('drains a node, whose connections stay, and lets it resume', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const node = nodeOf(cluster, 'node-2');
    const traffic = await Traffic.start(live());
    await cluster.command(node, ['drain', '--deadline', '60']);
    const drained = (status: Status): boolean =>
      bucketsOf(status, 'node-2') === 0 && stateOf(status, 'node-2') === 'draining';
    await cluster.agreed('node-2 draining without buckets', drained);
    const from = Date.now();
    await traffic.flow(1_500);
    const until = Date.now();
    const kept = (await traffic.look('lines')).filter((fate) => fate.node === 'node-2');
    assert.ok(kept.length > 10);
    await cluster.command(node, ['resume']);
    await cluster.agreed('node-2 with buckets', (status) => bucketsOf(status, 'node-2') === 64);
    await traffic.flow(1_000);
    const account = await traffic.stop();
    assertUndisturbed('drain and resume', account, {
      living: namesOf(cluster.nodes),
      slowestMs: SLOWEST_MS,
    });
    const meanwhile = account.openings.filter(({ at }) => at > from && at < until);
    assert.ok(meanwhile.length > 50);
    assert.ok(
      meanwhile.every((one) => one.node !== 'node-2'),
      'a draining node opens nothing',
    );
    assert.ok(account.openings.some(({ at, node }) => at > until && node === 'node-2'));
  });

  it('follows a changed weight', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const traffic = await Traffic.start(live());
    for (const [weight, buckets] of [
      ['5', 160],
      ['0', 0],
      ['1', 64],
    ] as const) {
      await cluster.command(nodeOf(cluster, 'node-1'), ['weight', 'node-3', weight]);
      const wanted = (status: Status): boolean => bucketsOf(status, 'node-3') === buckets;
      await cluster.agreed(`${buckets} buckets of node-3`, wanted);
      await traffic.flow(500);
    }
    const account = await traffic.stop();
    assertUndisturbed('three changes of a weight', account, {
      living: namesOf(cluster.nodes),
      slowestMs: SLOWEST_MS,
    });
  });

  it('hands the same buckets over twenty times while 200 connections a second are opened', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const traffic = await Traffic.start(live(), { connections: 10, flows: 5, perSecond: 200 });
    for (let round = 0; round < 20; round += 1) {
      const weight = round % 2;
      await cluster.reweigh([1, 1, weight, 1]);
      const wanted = (status: Status): boolean => bucketsOf(status, 'node-3') === 64 * weight;
      await cluster.agreed(`weight ${weight} of node-3`, wanted);
      // Else reloading takes the processors, and the client comes to its connections too late.
      await traffic.flow(200);
    }
    const account = await traffic.stop();
    const held = (await cluster.statuses()).reduce((sum, { handover }) => sum + handover.held, 0);
    note(`${held} packets were held so far`);
    assertUndisturbed('twenty handovers', account, {
      living: namesOf(cluster.nodes),
      slowestMs: SLOWEST_MS,
    });
  });

  it('changes the criteria, when the nodes’ configurations were changed one after the other', async function () {
    this.timeout(60_000);
    const { cluster, client } = live();
    const before = await ownersNow(live());
    const [{ epoch } = { epoch: 0 }] = await cluster.statuses();
    const traffic = await Traffic.start(live());
    await cluster.configure([], { distribution: { key: OTHER_KEY } });
    for (const node of cluster.nodes) {
      node.daemon?.signal('SIGHUP');
      await traffic.flow(300);
    }
    await cluster.agreed('a later view', (status) => status.epoch > epoch);
    await traffic.flow(1_000);
    const account = await traffic.stop();
    assertUndisturbed('change of the hash key', account, {
      living: namesOf(cluster.nodes),
      slowestMs: SLOWEST_MS,
    });
    const owner = await ownersNow(live());
    await client.steady('after', [CLUSTER_IPV4, CLUSTER_IPV6], 100);
    await traffic.flow(1_000);
    const after = await client.settle('after');
    const otherwise = after.filter((one) => one.node !== owner(one));
    assertNone('openings that the new key does not decide', otherwise);
    assert.ok(after.some((one) => before(one) !== owner(one)));
  });
});

describe('a rolling restart', () => {
  const live = liveCluster({
    nodes: 4,
    syncNetwork: true,
    sections: { drain: { deadline: 1, then: 'leave' } },
  });

  it('loses nothing but what the node held that is restarted', async function () {
    this.timeout(150_000);
    const { cluster } = live();
    for (const node of cluster.nodes) {
      const traffic = await Traffic.start(live(), { connections: 40 });
      await traffic.flow(300);
      const end = await node.daemon?.stop('SIGTERM', 10_000);
      assert.deepEqual(end, { code: 0, signal: null });
      await cluster.startDaemons([node]);
      await cluster.agreed('four shares', (status) => bucketsOf(status, node.name) === 64);
      await traffic.flow(300);
      assertUndisturbed(`restart of ${node.name}`, await traffic.stop(), {
        living: namesOf(others(cluster, node)),
        slowestMs: SLOWEST_MS,
      });
    }
  });
});
