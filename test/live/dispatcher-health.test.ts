import assert from 'node:assert/strict';
import { until } from '../../lib/cli/demo/child.js';
import { type DispatcherLab, dispatcherLab } from './dispatcher.support.js';
import { assertUnbroken, note } from './support.js';

// A check that the test can let fail while the node goes on: it looks for a file in the folder of the
// laboratory, which is beside the dispatcher's configuration.
const HEALTH = {
  type: 'command',
  command: ['sh', '-c', 'test -e "$(ls -d /run/lab-*/healthy)/$NODE_NAME"'],
  interval: 100,
  timeout: 90,
  rise: 2,
  fall: 2,
};

async function fail(lab: DispatcherLab, node: string): Promise<number> {
  const since = performance.now();
  await lab.setHealthy(node, false);
  await lab.until(`${node} is down`, node, ({ down, buckets }) => down && buckets === 0);
  return performance.now() - since;
}

async function recover(lab: DispatcherLab, node: string): Promise<void> {
  await lab.setHealthy(node, true);
  await lab.until(`${node} is up`, node, ({ down, buckets }) => !down && buckets === 128);
}

for (const onFailure of ['stay', 'move'] as const) {
  describe(`a node whose health checks fail, when its connections ${onFailure}`, () => {
    const made = dispatcherLab({ near: 2, health: HEALTH, dispatcher: { onFailure } });

    it('loses its buckets, and gets them back', async function () {
      this.timeout(40_000);
      const lab = made();
      const client = lab.client();
      await client.hold('lines', 'open', '192.0.2.100', 40);
      const took = await fail(lab, 'n-1');
      assert.deepEqual((await client.short('192.0.2.100', 30)).nodes, { 'n-2': 30 });
      await until('the alarm', async () => {
        return (await lab.status()).alarms.some(({ name }) => name === 'nodeDown');
      });
      note(`down ${took.toFixed(0)} ms after the first check that could fail`);
      const fared = await client.release('open');
      const atFirst = fared.nodes['n-1'] ?? 0;
      assert.ok(atFirst > 0, 'n-1 had some');
      if (onFailure === 'stay') {
        assertUnbroken(fared);
      } else {
        // The other node resets what it does not know: the client learns at once.
        assert.equal(fared.broken, atFirst);
        const broken = fared.fates.filter((fate) => fate.broken !== null);
        assert.ok(broken.every(({ node }) => node === 'n-1'));
      }
      await recover(lab, 'n-1');
      assert.equal(Object.keys((await client.short('192.0.2.100', 60)).nodes).length, 2);
      await client.close();
    });
  });
}
