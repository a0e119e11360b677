import assert from 'node:assert/strict';
import { until } from '../../lib/cli/demo/child.js';
import { FAMILIES, type Live, liveCluster } from './support.js';

interface Neighbour {
  readonly dst: string;
  readonly lladdr?: string;
}

interface Learned {
  readonly mac: string;
  readonly state?: string;
}

async function neighbour({ lab }: Live, address: string): Promise<string> {
  return until(`a neighbour entry for ${address}`, async () => {
    const { stdout } = await lab.run('client', ['ip', '-j', 'neigh', 'show', address]);
    return (JSON.parse(stdout) as Neighbour[])[0]?.lladdr;
  });
}

async function learned({ lab }: Live): Promise<string[]> {
  const { stdout } = await lab.run('switch', [
    'bridge',
    '-j',
    'fdb',
    'show',
    'br',
    'br0',
    'dynamic',
  ]);
  return (JSON.parse(stdout) as Learned[]).map((entry) => entry.mac);
}

/** The group bit of a link address: set for multicast. */
function isGroup(link: string): boolean {
  return (Number.parseInt(link.slice(0, 2), 16) & 1) === 1;
}

/** The bit that says that a link address is locally administered. */
function isLocal(link: string): boolean {
  return (Number.parseInt(link.slice(0, 2), 16) & 2) === 2;
}

for (const link of ['multicast', 'unicast'] as const) {
  describe(`link: ${link}`, () => {
    const live = liveCluster({ sections: { link } });

    it('gives the client the cluster’s link address, and serves both families', async function () {
      this.timeout(30_000);
      const found: string[] = [];
      for (const { address } of FAMILIES) {
        assert.equal((await live().client.short(address, 60)).opened, 60);
        found.push(await neighbour(live(), address));
      }
      for (const mac of found) {
        if (link === 'multicast') assert.ok(isGroup(mac), `${mac} is a group address`);
        else assert.ok(!isGroup(mac) && isLocal(mac), `${mac} is locally administered`);
      }
    });

    it('lets no switch learn that address', async function () {
      this.timeout(30_000);
      const ports = await learned(live());
      assert.ok(ports.length >= 4, 'the switch learns the nodes and the client');
      for (const { address } of FAMILIES) {
        assert.ok(!ports.includes(await neighbour(live(), address)));
      }
    });
  });
}

describe('workers: 2', () => {
  const live = liveCluster({ sections: { workers: 2 } });

  it('take each opening once between them, and carry transfers', async function () {
    this.timeout(40_000);
    const { cluster, client } = live();
    for (const { address } of FAMILIES) {
      const { opened, errors } = await client.short(address, 150);
      assert.deepEqual({ opened, errors }, { opened: 150, errors: {} });
      const udp = await client.datagrams(address, { count: 30, each: 3, size: 6_000 });
      assert.deepEqual(
        { answered: udp.answered, twice: udp.twice, moved: udp.moved },
        { answered: 90, twice: 0, moved: 0 },
      );
      assert.ok((await client.download(address, 50_000_000)).correct);
    }
    const statuses = await cluster.quiet();
    const taken = statuses.reduce((sum, status) => sum + status.classes['1'], 0);
    assert.equal(taken, 2 * (150 + 30 + 1));
  });
});
