import assert from 'node:assert/strict';
import { dispatcherLab } from './dispatcher.support.js';
import { FAMILIES, note } from './support.js';

for (const forward of ['ipip', 'gue'] as const) {
  for (const outer of [4, 6] as const) {
    describe(`a dispatcher that forwards by ${forward} over IPv${outer}, to nodes beyond a router`, () => {
      const made = dispatcherLab({
        far: 2,
        outer,
        dispatcher: { forward },
        health: { type: 'tcp', port: 8080, interval: 200, timeout: 150 },
      });

      for (const { family, address } of FAMILIES) {
        it(`carries ${family}, tells clients of the smaller MTU, and splits super-packets`, async function () {
          this.timeout(60_000);
          const lab = made();
          const client = lab.client();
          const short = await client.short(address, 30);
          assert.deepEqual([short.opened, short.failed, short.errors], [30, 0, {}]);
          assert.deepEqual(Object.keys(short.nodes).sort(), ['f-1', 'f-2']);
          const up = await client.upload(address, 2_000_000);
          const down = await client.download(address, 2_000_000);
          assert.ok(up.correct && down.correct, 'whole transfers');
          const datagrams = await client.datagrams(address, { count: 6, each: 2, size: 1200 });
          assert.deepEqual([datagrams.answered, datagrams.wrong, datagrams.twice], [12, 0, 0]);
          await client.close();
          const { counters, drops } = await lab.status();
          assert.ok((counters['tooBigSent'] ?? 0) > 0, 'ICMP errors were sent');
          assert.ok((drops['tooBig'] ?? 0) > 0, 'and counted');
          assert.ok((counters['split'] ?? 0) > 0, 'super-packets were split');
          assert.equal(drops['forwardUnfit'] ?? 0, 0);
        });
      }

      it('wears the headers that a second implementation expects', async () => {
        const seen = await Promise.all(['f-1', 'f-2'].map((node) => made().received(node)));
        const sum = (key: string): number =>
          seen.reduce((total, counts) => total + (counts[key] ?? 0), 0);
        const used = `${forward}${outer}`;
        assert.ok(sum('inner4') > 0 && sum('inner6') > 0);
        assert.equal(sum(used), sum('inner4') + sum('inner6'));
        const overhead = (outer === 4 ? 20 : 40) + (forward === 'gue' ? 12 : 0);
        const largest = Math.max(...seen.map(({ largest: each = 0 }) => each));
        assert.equal(largest, 1500 - overhead, 'the largest packet fills the way');
        note(`${sum(used)} packets, the largest inner one ${largest} bytes`);
      });
    });
  }
}
