import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { syncAddress } from '../../lib/cli/demo/cluster.js';
import { assertUndisturbed, Traffic } from './account.js';
import {
  bucketsOf,
  type Live,
  liveCluster,
  namesOf,
  nodeOf,
  note,
  type Status,
} from './support.js';
import { Capture } from './wire.js';

const HOSTILE = fileURLToPath(new URL('../../../test/live/tools/hostile.py', import.meta.url));
const PORT = '7946';

/** What must not change: who is a member in which life, who coordinates, and the epoch. */
function standing(statuses: readonly Status[]): unknown {
  return statuses.map(({ epoch, coordinator, members }) => {
    return [epoch, coordinator, members.map(({ name, state, buckets }) => [name, state, buckets])];
  });
}

describe('a secret that is changed on all nodes', () => {
  const live = liveCluster({ nodes: 3, syncNetwork: true });

  it('leaves no gap: nobody is declared dead and nothing is disturbed', async function () {
    this.timeout(90_000);
    const { cluster } = live();
    const before = await cluster.agreed('three shares', (status) => status.members.length === 3);
    const traffic = await Traffic.start(live());
    await cluster.writeSecret('secret-2', 'another one, of the same laboratory');
    const steps = [
      { file: 'secret', also: 'secret-2' },
      { file: 'secret-2', also: 'secret' },
      { file: 'secret-2' },
    ];
    for (const secret of steps) {
      await cluster.configure([], { secret });
      for (const node of cluster.nodes) {
        node.daemon?.signal('SIGHUP');
        // Longer than `failAfter`: a node that the others do not understand would be dead by then.
        await traffic.flow(600);
        assert.deepEqual(standing(await cluster.statuses()), standing(before));
      }
    }
    assertUndisturbed('rotation of the secret', await traffic.stop(), {
      living: namesOf(cluster.nodes),
      slowestMs: 100,
    });
    assert.deepEqual(standing(await cluster.statuses()), standing(before));
  });

  it('is the new one in the end: a node with the old one is not let in', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const [, , last] = cluster.nodes;
    assert.ok(last);
    const rest = cluster.nodes.filter((node) => node !== last);
    await cluster.stopDaemons([last]);
    await cluster.agreed('two shares', (status) => bucketsOf(status, last.name) < 1, rest);
    await cluster.configure([], { secret: { file: 'secret' } });
    await cluster.startDaemons([last]);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    assert.equal((await cluster.status(last)).allocation.own, 0);
    for (const status of await cluster.statuses(rest)) assert.ok(bucketsOf(status, last.name) < 1);
  });
});

describe('a hostile host on the networks of a cluster', () => {
  const live = liveCluster({ nodes: 4, started: 3, syncNetwork: true });
  const [SOURCES, TARGETS] = [
    [1, 2, 3, 4].map(syncAddress).join(),
    [1, 2, 3].map(syncAddress).join(),
  ];

  before(async () => {
    const { lab, cluster } = live();
    await lab.namespace('stranger');
    await cluster.plug('stranger', 'eth0', 'stranger0');
    await cluster.plug('stranger', 'eth1', 'stranger1', 'br1');
    await lab.ip('stranger', [`address add ${syncAddress(66)}/24 dev eth1`]);
  });

  /** Does it while there is traffic; nothing may change in the cluster. */
  async function changesNothing(what: string, attack: (live: Live) => Promise<void>) {
    const { cluster } = live();
    const running = cluster.nodes.slice(0, 3);
    const before = await cluster.agreed('rest', () => true, running);
    const traffic = await Traffic.start(live(), { connections: 30, flows: 10 });
    await attack(live());
    await traffic.flow(700);
    assertUndisturbed(what, await traffic.stop(), { living: namesOf(running), slowestMs: 1_000 });
    assert.deepEqual(standing(await cluster.statuses(running)), standing(before));
  }

  async function hostile({ lab }: Live, ...argv: string[]): Promise<Record<string, number>> {
    const options = { deadlineMs: 30_000 };
    const said = await lab.run('stranger', ['python3', HOSTILE, ...argv], options);
    note(`${argv[0]}: ${said.stdout}`);
    return JSON.parse(said.stdout) as Record<string, number>;
  }

  it('changes nothing by datagrams of random bytes with forged sources', async function () {
    this.timeout(60_000);
    await changesNothing('garbage', async (lived) => {
      const { sent } = await hostile(lived, 'garbage', '2', PORT, SOURCES, TARGETS);
      assert.ok((sent ?? 0) > 1_000);
    });
  });

  it('changes nothing by saying again what nodes have said, on either network', async function () {
    this.timeout(60_000);
    const recorded = await recordChange(live());
    await changesNothing('replay', async (lived) => {
      for (const { device, path, what } of recorded) {
        const { sent } = await hostile(lived, 'replay', device, path, what, '2');
        assert.ok((sent ?? 0) > 50);
      }
    });
  });

  /** What nodes said while one of them drained and came back: later it would do harm. */
  async function recordChange({ lab, cluster }: Live) {
    const networks = [
      { device: 'eth1', what: 'all' },
      // Not the clients' packets: those may be said again by anybody.
      { device: 'eth0', what: 'raw' },
    ];
    const captures = await Promise.all(
      networks.map(({ device }) => Capture.start(lab, 'node-1', 'all', device)),
    );
    const node = nodeOf(cluster, 'node-3');
    const rest = cluster.nodes.slice(0, 3);
    await cluster.command(node, ['drain', '--deadline', '60']);
    await cluster.agreed('node-3 drained', (one) => bucketsOf(one, 'node-3') === 0, rest);
    await cluster.command(node, ['resume']);
    await cluster.agreed('node-3 with its share', (one) => bucketsOf(one, 'node-3') > 80, rest);
    await Promise.all(captures.map((capture) => capture.stop()));
    return networks.map((network, i) => ({ ...network, path: captures[i]?.path ?? '' }));
  }

  it('changes nothing by hundreds of connections', async function () {
    this.timeout(60_000);
    await changesNothing('connections', async (lived) => {
      await hostile(lived, 'connections', '600', '1', PORT, TARGETS);
    });
  });

  it('gets nowhere as a node with another secret', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const impostor = nodeOf(cluster, 'node-4');
    await cluster.writeSecret('guessed', 'a guess at what the secret may be');
    await cluster.configure([], { secret: { file: 'guessed' } });
    await changesNothing('a node with another secret', async () => {
      await cluster.startDaemons([impostor]);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const { allocation } = await cluster.status(impostor);
      assert.equal(allocation.own, 0);
    });
    await cluster.stopDaemons([impostor]);
  });
});
