import assert from 'node:assert/strict';
import {
  assertUnbroken,
  type Cluster,
  FAMILIES,
  liveCluster,
  note,
  sumOfClass,
} from './support.js';
import { Capture, type Opening, openingsIn } from './wire.js';

// Ten allocations; node-1 loses everything once, and gains everything once.
const CHANGES = [
  [3, 1, 1],
  [0, 1, 1],
  [1, 2, 3],
  [1, 0, 0],
  [1, 1, 1],
  [5, 1, 3],
  [0, 0, 1],
  [2, 3, 1],
  [1, 4, 0],
  [1, 1, 1],
];

interface Window {
  readonly from: number;
  readonly to: number;
}

interface Account {
  settled: number;
  readonly between: { opened: number; failed: number };
  readonly windows: Window[];
}

describe('an allocation that changes ten times under 300 open connections', () => {
  const live = liveCluster({ weights: [1, 1, 1] });

  it('breaks none of them, and each opening is taken exactly once, also while it changes', async function () {
    this.timeout(120_000);
    const { lab, cluster, client } = live();
    const capture = await Capture.start(lab, 'client', 'handshakes');
    for (const { address, family } of FAMILIES) {
      await client.hold('lines', `lines ${family}`, address, 75);
      await client.hold('streams', `streams ${family}`, address, 75);
      await client.hold('flows', `flows ${family}`, address, 30);
    }
    // 150 of either family, and 60 flows of datagrams.
    const account: Account = { settled: 300 + 60, between: { opened: 0, failed: 0 }, windows: [] };
    for (const weights of CHANGES) await changeUnderTraffic(weights, account);

    let messages = 0;
    for (const { family } of FAMILIES) {
      for (const kind of ['lines', 'streams', 'flows']) {
        const fared = await client.release(`${kind} ${family}`);
        assertUnbroken(fared);
        messages += fared.messages;
      }
    }
    note(`300 connections and 60 flows unbroken, ${messages} messages`);
    judgeWire(openingsIn(await capture.stop()), account);
    assert.equal(
      sumOfClass(await cluster.quiet(), '5'),
      0,
      'no packet in the middle of an unknown connection',
    );
  });

  async function changeUnderTraffic(weights: readonly number[], account: Account): Promise<void> {
    const { cluster, client } = live();
    const from = Date.now();
    const during = FAMILIES.map(({ address }) => client.short(address, 30, 3, 2_500));
    await cluster.reweigh(weights);
    await cluster.settled(weights);
    const opened = await Promise.all(during);
    account.windows.push({ from, to: Date.now() });
    account.between.opened += opened.reduce((sum, one) => sum + one.opened, 0);
    account.between.failed += opened.reduce((sum, one) => sum + one.failed, 0);
    account.settled += await openSettled(cluster);
  }

  /** Opens with a settled allocation, and compares the nodes' counters with the client's count. */
  async function openSettled(cluster: Cluster): Promise<number> {
    const { client } = live();
    const before = await cluster.quiet();
    let openings = 0;
    for (const { address } of FAMILIES) {
      const short = await client.short(address, 40);
      assert.deepEqual(short.errors, {});
      const udp = await client.datagrams(address, { count: 10, each: 3, size: 100 });
      const { answered, twice, wrong, moved } = udp;
      assert.deepEqual(
        { answered, twice, wrong, moved },
        { answered: 30, twice: 0, wrong: 0, moved: 0 },
      );
      openings += 50;
    }
    const after = await cluster.quiet();
    assert.equal(
      sumOfClass(after, '1') - sumOfClass(before, '1'),
      openings,
      'each taken by one node',
    );
    assert.equal(
      sumOfClass(after, '3') - sumOfClass(before, '3'),
      openings * 2,
      'each left by the others',
    );
    return openings;
  }

  function judgeWire(openings: readonly Opening[], account: Account): void {
    const between = openings.filter(({ timeMs }) =>
      account.windows.some(({ from, to }) => timeMs >= from && timeMs <= to),
    );
    const settled = openings.filter((opening) => !between.includes(opening));
    const answered = (set: readonly Opening[], times: number): number =>
      set.filter(({ answers }) => answers.size === times).length;
    assert.equal(answered(settled, 1), settled.length, 'settled: each answered once on the wire');
    assert.ok(settled.length >= 300 + CHANGES.length * 80, 'the wire saw them all');
    assert.equal(answered(between, 1), between.length, 'changing: each answered once on the wire');
    const { opened, failed } = account.between;
    note(
      `settled: ${settled.length} TCP openings on the wire, ${answered(settled, 2)} answered twice, ` +
        `${answered(settled, 0)} not at all`,
    );
    note(
      `while the allocation changed: ${between.length} TCP openings, ${answered(between, 2)} answered twice, ` +
        `${answered(between, 0)} not at all; ${opened} connections came about, ${failed} did not`,
    );
  }
});
