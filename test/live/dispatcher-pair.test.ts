import assert from 'node:assert/strict';
import { until } from '../../lib/cli/demo/child.js';
import { dispatcherLab } from './dispatcher.support.js';
import { assertUnbroken, note } from './support.js';

for (const select of ['bucket', 'leastConnections'] as const) {
  describe(`a pair of dispatchers that select by ${select}`, () => {
    const made = dispatcherLab({
      dispatchers: 2,
      near: 3,
      dispatcher: { select },
      health: { type: 'tcp', port: 8080, interval: 200, timeout: 150 },
    });

    async function activeOf(): Promise<string | undefined> {
      const lab = made();
      const running = lab.dispatchers.filter((name) => lab.daemons.get(name)?.running);
      const states = await Promise.all(
        running.map(async (name) => ({ name, active: (await lab.dispatch(name)).active })),
      );
      const active = states.filter((each) => each.active);
      assert.ok(active.length <= 1, 'at most one forwards');
      return active[0]?.name;
    }

    it('goes on without a broken connection when the active one is killed, twice', async function () {
      this.timeout(120_000);
      const lab = made();
      const client = lab.client();
      const first = await until('one is active', activeOf);
      // Connections that the buckets alone could not find again: of before a change of weights.
      await client.hold('lines', 'before', '192.0.2.100', 60);
      await lab.command(first, ['weight', 'n-1', '0']);
      await client.hold('lines', 'after', '2001:db8::100', 60);
      await client.hold('flows', 'flows', '192.0.2.100', 30);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      for (let round = 0; round < 2; round += 1) {
        const active = await until('one is active', activeOf);
        await lab.kill(active);
        const since = performance.now();
        await until('the other one is active', activeOf, 10_000);
        note(
          `${active} killed; the other one forwards after ${(performance.now() - since).toFixed(0)} ms`,
        );
        const { opened, failed } = await client.short('192.0.2.100', 30);
        assert.deepEqual([opened, failed], [30, 0]);
        for (const name of ['before', 'after', 'flows']) {
          const { broken, moved, errors } = await client.look(name);
          assert.deepEqual({ broken, moved, errors }, { broken: 0, moved: 0, errors: {} }, name);
        }
        await lab.start(active);
        assert.notEqual(await activeOf(), active, 'who comes back does not take over');
        const told = async () => (await lab.node('n-1', active)).weight === 0;
        await until('who comes back knows the weights', told);
        await new Promise((resolve) => setTimeout(resolve, 2500));
      }
      for (const name of ['before', 'after']) assertUnbroken(await client.release(name));
      const flows = await client.release('flows');
      assert.deepEqual([flows.broken, flows.moved], [0, 0]);
      await client.close();
    });
  });
}
