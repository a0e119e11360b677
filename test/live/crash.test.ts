import assert from 'node:assert/strict';
import type { Lab } from '../../lib/cli/demo/lab.js';
import { CLUSTER_IPV4, FAMILIES, type Live, liveCluster, nodeOf } from './support.js';
import { Capture } from './wire.js';

/** Everything on a host that flowsieve may touch. */
async function hostState({ lab }: Live, name: string): Promise<Record<string, string>> {
  const sysctls =
    'cd /proc/sys/net && grep -r . ipv4/conf ipv6/conf ipv4/ip_forward 2>/dev/null | grep -v stable_secret | sort';
  const say = async (...argv: string[]): Promise<string> => (await lab.run(name, argv)).stdout;
  return {
    sysctls: await say('sh', '-c', sysctls),
    ruleset: await say('nft', 'list', 'ruleset'),
    addresses: await say('sh', '-c', "ip -o addr | sed 's/valid_lft.*//'"),
    links: await say('sh', '-c', "ip -o link | sed 's/state .*//'"),
    memberships: await say('ip', 'maddr'),
    routes: await say('sh', '-c', 'ip route show table all; ip -6 route show table all'),
    leftovers: await say('sh', '-c', 'find /run/flowsieve -type f'),
  };
}

describe('a node', () => {
  // One node alone, so that whatever answers is that node.
  const live = liveCluster({ nodes: 1, daemons: false });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`leaves the host as it found it on ${signal}`, async function () {
      this.timeout(30_000);
      const { cluster, client } = live();
      const before = await hostState(live(), 'node-1');
      await cluster.startDaemons();
      assert.equal((await client.short(CLUSTER_IPV4, 5)).opened, 5);
      assert.notDeepEqual(await hostState(live(), 'node-1'), before);
      const end = await nodeOf(cluster, 'node-1').daemon?.stop(signal, 10_000);
      assert.deepEqual(end, { code: 0, signal: null });
      assert.deepEqual(await hostState(live(), 'node-1'), before);
    });
  }

  it('is silent for the cluster address after kill -9: no RST, no ARP or NDP answer, no ICMP', async function () {
    this.timeout(40_000);
    const { lab, cluster, client } = live();
    await cluster.startDaemons();
    await lab.ip('client', ['neigh flush all']);
    const alive = await answersTo(live(), () => client.short(CLUSTER_IPV4, 5));
    assert.ok(alive.length > 5, 'the measure sees what a living node says');
    await nodeOf(cluster, 'node-1').daemon?.stop('SIGKILL');

    // First as a client that still has the cluster's link address, then as one that has to ask,
    // then as one that knows the node's own.
    assert.deepEqual(await answersTo(live(), () => knock(live())), []);
    await lab.ip('client', ['neigh flush all']);
    assert.deepEqual(await answersTo(live(), () => knock(live())), []);
    await lab.ip('client', await neighbours(live()));
    assert.deepEqual(await answersTo(live(), () => knock(live())), []);
    await lab.ip(
      'client',
      FAMILIES.map(({ address }) => `neigh del ${address} dev eth0`),
    );
  });

  it('starts again after that, works, and then leaves the host as it was before the crash', async function () {
    this.timeout(40_000);
    const { lab, cluster, client } = live();
    await cluster.startDaemons();
    await lab.ip('client', ['neigh flush all']);
    for (const { address } of FAMILIES) assert.equal((await client.short(address, 10)).opened, 10);
    await cluster.stopDaemons();
    const { ruleset, leftovers } = await hostState(live(), 'node-1');
    assert.deepEqual({ ruleset, leftovers }, { ruleset: '', leftovers: '' });
  });
});

/**
 * The frames, as hexadecimal digits, in which somebody else than the client spoke of a cluster
 * address meanwhile.
 */
async function answersTo({ lab }: Live, during: () => Promise<unknown>): Promise<string[]> {
  const capture = await Capture.start(lab, 'client', 'all');
  await during();
  const client = await linkOf(lab, 'client');
  return (await capture.stop())
    .filter(({ bytes }) => bytes.subarray(6, 12).toString('hex') !== client.replaceAll(':', ''))
    .filter(({ bytes }) => mentionsCluster(bytes))
    .map(({ bytes }) => bytes.toString('hex'));
}

/** Everything that could draw an answer: SYNs, datagrams, echo requests. */
async function knock({ lab, client }: Live): Promise<void> {
  const tries = FAMILIES.flatMap(({ address }) => [
    client.short(address, 2, 2, 1_200).then(({ opened }) => opened),
    client
      .datagrams(address, { count: 2, each: 1, size: 50 }, 500)
      .then(({ answered }) => answered),
    lab
      .run('client', ['ping', '-c', '2', '-i', '0.2', '-W', '1', address], { mayFail: true })
      .then(({ stdout }) => {
        return stdout.includes('0 received') || stdout.includes(' 0% packet loss') === false
          ? 0
          : 1;
      }),
  ]);
  assert.deepEqual(
    await Promise.all(tries),
    tries.map(() => 0),
  );
}

async function linkOf(lab: Lab, name: string): Promise<string> {
  return (await lab.run(name, ['cat', '/sys/class/net/eth0/address'])).stdout.trim();
}

async function neighbours({ lab }: Live): Promise<string[]> {
  const link = await linkOf(lab, 'node-1');
  return FAMILIES.map(
    ({ address }) => `neigh replace ${address} lladdr ${link} dev eth0 nud permanent`,
  );
}

function mentionsCluster(frame: Buffer): boolean {
  return (
    frame.includes(Buffer.from('c0000264', 'hex')) ||
    frame.includes(Buffer.from(`${'20010db8'.padEnd(29, '0')}100`, 'hex'))
  );
}
