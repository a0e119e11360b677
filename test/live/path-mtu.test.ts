import assert from 'node:assert/strict';
import { assertUnbroken, FAMILIES, liveCluster, note } from './support.js';

describe('a router with a smaller MTU between client and cluster', () => {
  const live = liveCluster({ routerMtu: 1_400 });

  beforeEach('nodes forget what they learned of the path', async () => {
    const { lab, cluster } = live();
    for (const { name } of cluster.nodes) {
      await lab.ip(name, ['route flush cache']);
      await lab.run(name, ['ip', '-6', 'route', 'flush', 'cache']);
    }
  });

  afterEach('the buckets are shared again', async () => {
    const { cluster } = live();
    await cluster.reweigh([1, 1, 1]);
    await cluster.settled([1, 1, 1]);
  });

  for (const { address, family } of FAMILIES) {
    it(`reaches the owner of the connection over ${family}, so that the download completes`, async function () {
      this.timeout(30_000);
      const { cluster, client } = live();
      const before = await errorsFollowed();
      for (let i = 0; i < 6; i += 1) {
        const one = await client.download(address, 5_000_000);
        assert.ok(one.correct, `download ${i} from ${one.node}`);
      }
      const followed = (await errorsFollowed()) - before;
      assert.ok(followed > 0, 'errors followed the connections that they quote');
      note(
        `${followed} ICMP errors, seen by ${cluster.nodes.length} nodes, followed their connections`,
      );
    });

    it(`reaches the owner over ${family} also when the bucket is no longer the owner's`, async function () {
      this.timeout(40_000);
      const { cluster, client } = live();
      await client.hold('late', 'late', address, 12);
      const { nodes } = await client.look('late');
      assert.ok(
        (nodes['node-1'] ?? 0) + (nodes['node-2'] ?? 0) > 0,
        'some belong to the nodes that lose their buckets',
      );
      await cluster.reweigh([0, 0, 1]);
      await cluster.settled([0, 0, 1]);
      const before = await errorsFollowed();
      assertUnbroken(await client.release('late'));
      assert.ok((await errorsFollowed()) > before, 'there were such errors');
    });
  }

  async function errorsFollowed(): Promise<number> {
    const statuses = await live().cluster.quiet();
    return statuses.reduce((sum, status) => sum + (status.counters['errorsFollowed'] ?? 0), 0);
  }
});
