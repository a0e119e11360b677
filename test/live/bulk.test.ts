import assert from 'node:assert/strict';
import type { BulkResult } from '../../lib/cli/demo/commands.js';
import { FAMILIES, type Live, liveCluster, note } from './support.js';

const BYTES = 300_000_000;

type Rates = Record<string, number>;

/** One download and one upload over each family; resolves with Gbit/s of each. */
async function transferAll({ client }: Live): Promise<Rates> {
  const rates: Rates = {};
  for (const { address, family } of FAMILIES) {
    const down = await client.download(address, BYTES);
    const up = await client.upload(address, BYTES);
    for (const [name, one] of [
      ['download', down],
      ['upload', up],
    ] as [string, BulkResult][]) {
      assert.ok(one.correct, `${name} over ${family}: every byte is right`);
      assert.equal(one.bytes, BYTES);
      rates[`${name}, ${family}`] = (one.bytes * 8) / one.seconds / 1e9;
    }
  }
  return rates;
}

describe('bulk transfers with the client’s offloads on', () => {
  const live = liveCluster({ daemons: false });
  let plain: Rates = {};

  before('the same transfers without flowsieve, one kernel having the address', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const [node] = cluster.nodes;
    assert.ok(node);
    await cluster.giveToKernel(node);
    plain = await transferAll(live());
    await cluster.takeFromKernel(node);
  });

  it('bring every byte in both directions', async function () {
    this.timeout(90_000);
    const { cluster } = live();
    await cluster.startDaemons();
    const rates = await transferAll(live());
    for (const [name, rate] of Object.entries(rates)) {
      const before = plain[name] ?? 0;
      note(
        `${name}: ${rate.toFixed(1)} Gbit/s, without flowsieve ${before.toFixed(1)} (${(rate / before).toFixed(2)})`,
      );
    }
    const statuses = await cluster.quiet();
    const large = statuses.reduce((sum, status) => sum + (status.counters['superPackets'] ?? 0), 0);
    assert.ok(large > 0, 'super-packets came along');
    for (const { drops } of statuses) {
      const refused = {
        deliverFailed: drops['deliverFailed'] ?? 0,
        ringTruncated: drops['ringTruncated'] ?? 0,
      };
      assert.deepEqual(refused, { deliverFailed: 0, ringTruncated: 0 });
    }
  });
});
