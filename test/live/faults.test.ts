import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { syncAddress } from '../../lib/cli/demo/cluster.js';
import { noteHandshakes, readHandshakes } from '../../lib/cli/demo/handshakes.js';
import { assertUndisturbed, ownersNow, Traffic } from './account.js';
import { cut, kill, loseOnSync, mend, pause } from './faults.js';
import { CLUSTER_IPV4, liveCluster, nodeOf, until } from './support.js';
import { Capture, openingsIn } from './wire.js';

// What the tests of the cluster rely on, proved where no cluster is needed.

describe('a laboratory with a sync network', () => {
  const live = liveCluster({ nodes: 2, syncNetwork: true, daemons: false });

  /** How many of so many pings from node-1 to node-2 came back. */
  async function pings(network: 'traffic' | 'sync', count: number): Promise<number> {
    const address = network === 'sync' ? syncAddress(2) : '192.0.2.2';
    const argv = ['ping', '-q', '-c', String(count), '-i', '0.002', '-W', '0.3', address];
    const said = await live().lab.run('node-1', argv, { mayFail: true });
    return Number(/(\d+) received/.exec(said.stdout)?.[1]);
  }

  it('cuts a node from one network, from both, and from none', async function () {
    this.timeout(20_000);
    const node = nodeOf(live().cluster, 'node-2');
    assert.deepEqual([await pings('traffic', 3), await pings('sync', 3)], [3, 3]);
    await cut(live(), node, 'sync');
    assert.deepEqual([await pings('traffic', 3), await pings('sync', 3)], [3, 0]);
    await cut(live(), node, 'traffic');
    assert.deepEqual([await pings('traffic', 3), await pings('sync', 3)], [0, 0]);
    await mend(live(), node, 'sync', 'traffic');
    assert.deepEqual([await pings('traffic', 3), await pings('sync', 3)], [3, 3]);
  });

  it('loses a fifth of the frames of the sync network, and none of the others', async function () {
    this.timeout(20_000);
    await loseOnSync(live(), 20);
    // There and back: 0.8 × 0.8 of 1000; six standard deviations are 91.
    const received = await pings('sync', 1000);
    assert.ok(received > 549 && received < 731, `${received} of 1000 came back`);
    assert.equal(await pings('traffic', 100), 100);
    await loseOnSync(live(), 0);
    assert.equal(await pings('sync', 100), 100);
  });
});

describe('a cluster address that two kernels have under one link address', () => {
  const live = liveCluster({ nodes: 2, daemons: false });
  const LINK = '02:00:00:00:00:99';

  before(async () => {
    const { lab, cluster } = live();
    for (const node of cluster.nodes) {
      const port = node.ports.traffic;
      await lab.run('switch', ['bridge', 'link', 'set', 'dev', port, 'learning', 'off']);
      await lab.ip(node.name, [`link set eth0 address ${LINK}`]);
      await cluster.giveToKernel(node);
    }
    // What the switch had learned before.
    await lab.run('switch', ['ip', 'link', 'set', 'br0', 'down']);
    await lab.run('switch', ['ip', 'link', 'set', 'br0', 'up']);
    await lab.ip('client', [`neigh replace ${CLUSTER_IPV4} lladdr ${LINK} dev eth0`]);
  });

  it('is seen to answer twice, by the capture and by the client’s kernel', async function () {
    this.timeout(20_000);
    const { lab, cluster, client } = live();
    await noteHandshakes(lab, 'client');
    const capture = await Capture.start(lab, 'client', 'handshakes');
    await client.short(CLUSTER_IPV4, 10, 2, 500);
    const twice = openingsIn(await capture.stop()).filter(({ answers }) => answers.size === 2);
    assert.equal(twice.length, 10);
    const counted = async () => {
      const { acceptors, ...counts } = await readHandshakes(lab, 'client');
      assert.deepEqual([...new Set([...acceptors.values()].flat())], [LINK]);
      return counts;
    };
    assert.deepEqual(await counted(), { asked: 10, twice: 10, never: 0 });

    await cluster.takeFromKernel(nodeOf(cluster, 'node-2'));
    await lab.ip('client', [`neigh replace ${CLUSTER_IPV4} lladdr ${LINK} dev eth0`]);
    await client.short(CLUSTER_IPV4, 10, 2, 500);
    assert.deepEqual(await counted(), { asked: 20, twice: 10, never: 0 });
    await cut(live(), nodeOf(cluster, 'node-1'), 'traffic');
    await client.short(CLUSTER_IPV4, 5, 2, 500);
    assert.deepEqual(await counted(), { asked: 25, twice: 10, never: 5 });
  });
});

describe('the account of a cluster’s traffic', () => {
  const live = liveCluster({ nodes: 3 });

  /** The state of a process as the kernel has it: S, R, T for stopped, … */
  async function stateOf(pid: number): Promise<string> {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2)[0] ?? '';
  }

  it('is clean where nothing happens, and knows whose each opening is', async function () {
    this.timeout(30_000);
    const owner = await ownersNow(live());
    const traffic = await Traffic.start(live());
    await traffic.flow(2_000);
    const account = await traffic.stop();
    assertUndisturbed('nothing', account, {
      living: ['node-1', 'node-2', 'node-3'],
      slowestMs: 100,
    });
    assert.equal(account.lines.length + account.flows.length, 190);
    assert.ok(account.wire.length >= 150 + account.openings.length, 'the wire saw them all');
    for (const one of account.openings) assert.equal(one.node, owner(one));
  });

  it('shows what is lost with a node that is paused and killed, and nothing of the others', async function () {
    this.timeout(60_000);
    const { cluster } = live();
    const victim = nodeOf(cluster, 'node-3');
    const traffic = await Traffic.start(live(), { connections: 30, flows: 10, patienceMs: 500 });
    const pausing = pause(victim, 100);
    const pid = victim.daemon?.pid ?? 0;
    await until('the stop of the process', async () => (await stateOf(pid)) === 'T');
    await pausing;
    assert.notEqual(await stateOf(pid), 'T');
    await kill(victim);
    await traffic.flow(1_000);
    const account = await traffic.stop();
    const all = [...account.lines, ...account.flows];
    const held = all.filter(({ node }) => node === 'node-3');
    assert.ok(held.length > 10);
    assert.equal(account.lost(['node-3']).length, held.length, 'all that it held is lost');
    assert.deepEqual(account.lost(['node-1', 'node-2']), []);
    await cluster.startDaemons([victim]);
    assert.equal((await live().client.short(CLUSTER_IPV4, 20)).opened, 20);
  });
});
