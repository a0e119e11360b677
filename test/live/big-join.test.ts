import assert from 'node:assert/strict';
import { RawSender } from './raw.js';
import {
  bucketsOf,
  CLUSTER_IPV4,
  type ClusterNode,
  type Live,
  liveCluster,
  nodeOf,
  note,
  type Status,
} from './support.js';

const CONNECTIONS = 1_000_000;
const PROBES = 6;
const EVERY_S = 0.002;
/** A packet that is not decided for longer is a gap, where the machine has time for its nodes. */
const GAP_MS = 10;
/**
 * A shared machine stops all of its programs for that long at times, without a join as well. A gap
 * of flowsieve's own making is there in each join.
 */
const TRIES = 3;
/** Who has a dead node's buckets must have asked the others for a third of a million connections. */
const TAKEOVER_MS = 10_000;

describe('a node among a million connections', () => {
  const live = liveCluster({
    nodes: 3,
    started: 2,
    syncNetwork: true,
    sections: { tables: { connections: 1_200_000 } },
  });

  beforeEach(function () {
    if (process.env['FLOWSIEVE_BIG'] === '1' || process.env['CI'] === 'true') return;
    note('SKIPPED: takes 80 s and a machine to itself; FLOWSIEVE_BIG=1 runs it, and CI does');
    this.skip();
  });

  it('that joins knows them all before it has buckets, and keeps no packet waiting', async function () {
    this.timeout(300_000);
    const { lab, cluster } = live();
    const [first, second] = cluster.nodes;
    const newcomer = nodeOf(cluster, 'node-3');
    assert.ok(first && second);
    const sender = new RawSender(lab);
    const members = [first, second];
    // What a ring on a busy machine could not take the first time is said again.
    for (let turn = 0; turn < 4; turn += 1) {
      const counts = (await cluster.statuses(members)).map(known);
      if (Math.min(...counts) >= CONNECTIONS) break;
      await sender.establish(CONNECTIONS, 60_000);
      await cluster.quiet();
    }
    const before = await cluster.statuses(members);
    note(`connections in the tables before: ${before.map(known).join(', ')}`);
    assert.ok(before.every((status) => known(status) >= CONNECTIONS));

    const gaps: number[] = [];
    while (gaps.length < TRIES && Math.min(...gaps) >= GAP_MS) {
      if (gaps.length > 0) await dead(live(), newcomer);
      gaps.push(await join(live(), newcomer));
    }
    assert.ok(Math.min(...gaps) < GAP_MS, `a packet waited for ${gaps.join(' and ')} ms`);
  });

  it('that dies leaves its own to the others', async function () {
    this.timeout(60_000);
    const ms = await dead(live(), nodeOf(live().cluster, 'node-3'));
    note(`from its death to its buckets with the others: ${ms.toFixed(0)} ms`);
    assert.ok(ms < TAKEOVER_MS);
  });
});

function known({ tables }: Status): number {
  return tables.own + tables.others;
}

/** A join under echo requests; the longest that one of them took, in milliseconds. */
async function join(live: Live, newcomer: ClusterNode): Promise<number> {
  const { cluster } = live;
  const undisturbed = await probe(live, 10);
  const bytesBefore = await syncBytes(live);
  const probing = probe(live, 10);
  const start = performance.now();
  await cluster.startDaemons([newcomer]);
  await cluster.agreed(
    'node-3 with its share',
    (status) => bucketsOf(status, 'node-3') >= 85,
    cluster.nodes,
    60_000,
  );
  const ms = performance.now() - start;
  const bytes = (await syncBytes(live)) - bytesBefore;
  const after = await cluster.statuses();
  const disturbed = await probing;
  note(`from its start to its buckets: ${ms.toFixed(0)} ms, ${(bytes / 1e6).toFixed(1)} MB to it`);
  for (const status of after) {
    const { residentBytes, heapBytes } = status.memory;
    const mega = [residentBytes, heapBytes].map((one) => (one / 1e6).toFixed(0));
    note(
      `${status.node}: ${known(status)} connections, resident ${mega[0]} MB, heap ${mega[1]} MB`,
    );
  }
  note(`slowest of ${PROBES} pings every 2 ms: ${disturbed.slowestMs} ms, ${disturbed.lost} lost`);
  note(`the same without a join: ${undisturbed.slowestMs} ms, ${undisturbed.lost} lost`);
  assert.ok(known(after[2] as Status) >= CONNECTIONS, 'the newcomer knows them all');
  assert.equal(disturbed.lost, 0);
  return disturbed.slowestMs;
}

/** Ends a node without a word; the milliseconds until the others have its buckets. */
async function dead({ cluster }: Live, node: ClusterNode): Promise<number> {
  const start = performance.now();
  const others = cluster.nodes.filter((each) => each !== node);
  await node.daemon?.stop('SIGKILL');
  await cluster.agreed(
    `${node.name} gone`,
    (status) => bucketsOf(status, node.name) <= 0,
    others,
    30_000,
  );
  return performance.now() - start;
}

/**
 * Echo requests of several flows through the nodes, each answered by a kernel and timed by it: the
 * longest that one took, and how many never came back.
 */
async function probe({ lab }: Live, seconds: number): Promise<{ slowestMs: number; lost: number }> {
  const count = String(Math.round(seconds / EVERY_S));
  const argv = ['ping', '-q', '-i', String(EVERY_S), '-c', count, '-W', '1', CLUSTER_IPV4];
  const options = { mayFail: true, deadlineMs: seconds * 3_000 + 5_000 };
  const pings = Array.from({ length: PROBES }, () => lab.run('client', argv, options));
  const results = (await Promise.all(pings)).map(({ stdout }) => {
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
    const slowest = /= [\d.]+\/[\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
    assert.ok(slowest, stdout);
    return { slowestMs: Number(slowest), lost: Number(sent) - Number(received) };
  });
  return {
    slowestMs: Math.max(...results.map(({ slowestMs }) => slowestMs)),
    lost: results.reduce((sum, { lost }) => sum + lost, 0),
  };
}

/** Bytes that the newcomer has received on the sync network. */
async function syncBytes({ lab }: Live): Promise<number> {
  const said = await lab.run('node-3', ['cat', '/sys/class/net/eth1/statistics/rx_bytes'], {
    mayFail: true,
  });
  return Number(said.stdout.trim());
}
