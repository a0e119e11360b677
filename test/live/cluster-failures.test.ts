import assert from 'node:assert/strict';
import type { OpeningFate } from '../../lib/cli/demo/commands.js';
import {
  type Account,
  assertNone,
  assertUndisturbed,
  type OwnerOf,
  ownersNow,
  Traffic,
} from './account.js';
import { cut, kill, loseOnSync, mend, others, pause, threadsOf } from './faults.js';
import {
  bucketsOf,
  type ClusterNode,
  type Live,
  liveCluster,
  namesOf,
  nodeOf,
  note,
  retriedWhileOpen,
  type Status,
  stateOf,
} from './support.js';

// What happens to a cluster, under traffic that must not notice more than it has to.

const PLANNED_MS = 100;
const FAILURE_MS = 1_000;
/** From a failure to the first connection that somebody else accepts. */
const FIRST_MS = 500;

/** The connections that a failed node was asked for before anybody could know of its failure. */
function askedBefore(victim: ClusterNode, at: number, owner: OwnerOf) {
  return (one: OpeningFate): boolean => one.at <= at && owner(one) === victim.name;
}

/**
 * From the failure to the first SYN-ACK in the victim's buckets, by the wire: on a machine that all
 * nodes share, the client itself may come to see it much later.
 */
function firstAccepted(account: Account, victim: ClusterNode, at: number, owner: OwnerOf): number {
  const accepted = account.wire
    .filter((one) => owner(one) === victim.name && (one.answeredMs ?? 0) > at)
    .map((one) => (one.answeredMs ?? 0) - at);
  return Math.min(...accepted);
}

/** From the failure to each reset of what the victim held, ascending. */
function resets(account: Account, victim: ClusterNode, at: number): number[] {
  const held = account.lines.filter(({ node }) => node === victim.name);
  assert.ok(held.length > 10, 'the node held something');
  const kinds = new Set(held.map(({ broken }) => broken));
  assert.deepEqual([...kinds], ['ECONNRESET'], 'each is reset');
  return held.map(({ brokenAt }) => (brokenAt ?? 0) - at).sort((a, b) => a - b);
}

function shares(buckets: number): (status: Status) => boolean {
  return (status) => status.members.every((member) => member.buckets === buckets);
}

/** Kills a node, has the others answer for it, and starts it again. */
async function surviveKill(live: Live, name: string, share: number): Promise<void> {
  const { cluster } = live;
  const victim = nodeOf(cluster, name);
  const owner = await ownersNow(live);
  const traffic = await Traffic.start(live, { perSecond: 150 });
  await traffic.flow(500);
  const at = await kill(victim);
  await cluster.agreed(`${name} dead`, (status) => {
    return stateOf(status, name) === 'dead' && bucketsOf(status, name) === 0;
  });
  await traffic.flow(2_000);
  const account = await traffic.stop();
  await cluster.startDaemons([victim]);
  await cluster.agreed('equal shares', shares(share));
  assertUndisturbed(`kill -9 of ${name}`, account, {
    living: namesOf(others(cluster, victim)),
    slowestMs: FAILURE_MS,
    excused: askedBefore(victim, at, owner),
  });
  const first = firstAccepted(account, victim, at, owner);
  const times = resets(account, victim, at);
  note(
    `first connection accepted in its buckets after ${first.toFixed(0)} ms; ` +
      `its ${times.length} clients were reset after ${times[0]} to ${times.at(-1)} ms`,
  );
  assert.ok(first < FIRST_MS, `the first connection came after ${first.toFixed(0)} ms`);
}

describe('a cluster of four in which a node fails', function () {
  retriedWhileOpen(this);
  const live = liveCluster({ nodes: 4, syncNetwork: true, timeWait: false });

  it('runs in real time, where that is allowed', async function () {
    const { lab, cluster } = live();
    const tried = await lab.run('node-1', ['chrt', '--rr', '1', 'true'], { mayFail: true });
    if (tried.code !== 0) this.skip();
    for (const node of cluster.nodes) {
      const threads = await threadsOf(node);
      assert.ok(threads.some(({ name }) => /^flowsieve-\d+$/.test(name)));
      assertNone(
        'threads that are not',
        threads.filter(({ realTime }) => !realTime),
      );
    }
  });

  it('answers for a killed node within half a second, and resets what it held', async function () {
    this.timeout(90_000);
    for (const name of ['node-4', 'node-1']) await surviveKill(live(), name, 64);
  });

  it('does without a node that is paused for five seconds, and takes it back', async function () {
    this.timeout(90_000);
    const { cluster } = live();
    const victim = nodeOf(cluster, 'node-3');
    const owner = await ownersNow(live());
    const traffic = await Traffic.start(live());
    await traffic.flow(500);
    const at = Date.now();
    await pause(victim, 5_000);
    await cluster.agreed('four shares', shares(64));
    await traffic.flow(1_000);
    const account = await traffic.stop();
    assertUndisturbed('SIGSTOP for 5 s', account, {
      living: namesOf(others(cluster, victim)),
      slowestMs: FAILURE_MS,
      excused: askedBefore(victim, at, owner),
    });
    assert.ok(firstAccepted(account, victim, at, owner) < 1_000);
    assert.equal(victim.daemon?.running, true);
  });

  it('goes on as before when a node is cut from the sync network alone', async function () {
    this.timeout(90_000);
    const { cluster } = live();
    const victim = nodeOf(cluster, 'node-2');
    const traffic = await Traffic.start(live());
    await cut(live(), victim, 'sync');
    await traffic.flow(4_000);
    await mend(live(), victim, 'sync');
    await traffic.flow(500);
    await cluster.agreed('four shares', shares(64));
    assertUndisturbed('sync network cut for 4 s', await traffic.stop(), {
      living: namesOf(cluster.nodes),
      slowestMs: PLANNED_MS,
    });
  });

  it('does without a node that is cut from both networks, and takes it back', async function () {
    this.timeout(90_000);
    const { cluster } = live();
    const victim = nodeOf(cluster, 'node-2');
    const rest = others(cluster, victim);
    const owner = await ownersNow(live());
    const traffic = await Traffic.start(live());
    const at = Date.now();
    await cut(live(), victim, 'sync', 'traffic');
    await cluster.agreed('node-2 dead', (status) => stateOf(status, 'node-2') === 'dead', rest);
    const { state } = await cluster.status(victim);
    assert.equal(state, 'fenced', 'it knows that it must not open connections');
    await traffic.flow(2_000);
    await mend(live(), victim, 'sync', 'traffic');
    await cluster.agreed('four shares', shares(64));
    await traffic.flow(1_000);
    assertUndisturbed('both networks cut', await traffic.stop(), {
      living: namesOf(rest),
      slowestMs: FAILURE_MS,
      excused: askedBefore(victim, at, owner),
    });
  });
});

describe('a pair of nodes that need no majority', () => {
  const live = liveCluster({ nodes: 2, syncNetwork: true, sections: { quorum: 'paths' } });

  it('goes on as one when the other is killed, and as two when it is back', async function () {
    this.timeout(90_000);
    for (const name of ['node-2', 'node-1']) await surviveKill(live(), name, 128);
  });
});

describe('a sync network that loses a fifth of everything', () => {
  const live = liveCluster({ nodes: 4, started: 3, syncNetwork: true });

  afterEach(() => loseOnSync(live(), 0));

  it('carries a join, a drain and its end all the same', async function () {
    this.timeout(120_000);
    const { cluster } = live();
    const [first] = cluster.nodes;
    assert.ok(first);
    const traffic = await Traffic.start(live(), { patienceMs: 16_000 });
    await loseOnSync(live(), 20);
    const start = performance.now();
    await cluster.startDaemons([nodeOf(cluster, 'node-4')]);
    await cluster.agreed('four shares', shares(64), cluster.nodes, 30_000);
    const joined = performance.now();
    await cluster.command(first, ['drain', '--deadline', '60']);
    const drained = (status: Status): boolean => bucketsOf(status, first.name) === 0;
    await cluster.agreed('node-1 without buckets', drained, cluster.nodes, 30_000);
    const emptied = performance.now();
    await cluster.command(first, ['resume']);
    await cluster.agreed('four shares', shares(64), cluster.nodes, 30_000);
    const spent = [joined - start, emptied - joined, performance.now() - emptied];
    note(`join, drain, resume: ${spent.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    await traffic.flow(500);
    assertUndisturbed('20 % loss on the sync network', await traffic.stop(), {
      living: namesOf(cluster.nodes),
      slowestMs: PLANNED_MS,
    });
  });
});
