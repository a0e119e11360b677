import assert from 'node:assert/strict';
import { RawSender } from './raw.js';
import { assertUnbroken, FAMILIES, liveCluster, note } from './support.js';

const CAPACITY = 20_000;
const SHARE = 0.25;
const SECONDS = 6;

describe('a flood of SYNs from invented sources', () => {
  const live = liveCluster({
    sections: {
      tables: { connections: CAPACITY, openingShare: SHARE },
      timeouts: { tcp: { opening: 10 } },
    },
  });

  it('breaks no established connection, stays within its share of the table and raises an alarm', async function () {
    this.timeout(60_000);
    const { lab, cluster, client } = live();
    for (const { address, family } of FAMILIES) {
      await client.hold('lines', `lines ${family}`, address, 60);
      await client.hold('streams', `streams ${family}`, address, 40);
    }
    const senders = [new RawSender(lab), new RawSender(lab)];
    const began = performance.now();
    const floods = await Promise.all(senders.map((sender) => sender.flood(SECONDS, CAPACITY + 1)));
    const seconds = (performance.now() - began) / 1000;
    const under = await cluster.statuses();
    const sent = floods.reduce((sum, flood) => sum + flood.sent, 0);
    note(
      `${sent} SYNs in ${seconds.toFixed(1)} s; openings in the tables: ${under.map(({ tables }) => tables.opening).join(', ')}`,
    );
    assert.ok(sent > CAPACITY * 2, 'a flood, not a drizzle');

    for (const { node, tables, counters, alarms } of under) {
      assert.ok(tables.own + tables.others <= CAPACITY, `${node}: the table is bounded`);
      assert.ok(tables.opening <= CAPACITY * SHARE, `${node}: openings stay in their share`);
      assert.ok(
        (counters['openingUntracked'] ?? 0) > 0,
        `${node}: the rest is decided without an entry, and counted`,
      );
      assert.ok((alarms ?? []).length > 0, `${node}: an alarm is raised`);
    }
    for (const { family } of FAMILIES) {
      assertUnbroken(await client.release(`lines ${family}`));
      assertUnbroken(await client.release(`streams ${family}`));
    }
  });

  it('keeps nobody from connecting afterwards', async function () {
    this.timeout(30_000);
    const { cluster, client } = live();
    await cluster.quiet();
    for (const { address } of FAMILIES) {
      const { opened, errors } = await client.short(address, 60);
      assert.deepEqual({ opened, errors }, { opened: 60, errors: {} });
    }
  });
});
