import assert from 'node:assert/strict';
import { CLUSTER_IPV4, CLUSTER_IPV6, FAMILIES, type Live, liveCluster, nodeOf } from './support.js';
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

const TO_OR_FROM_CLUSTER = `arp or icmp or icmp6 or ((tcp or udp) and (src host ${CLUSTER_IPV4} or src host ${CLUSTER_IPV6}))`;

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
    assert.equal((await client.short(CLUSTER_IPV4, 5)).opened, 5);
    await nodeOf(cluster, 'node-1').daemon?.stop('SIGKILL');

    const capture = await Capture.start(lab, 'client', TO_OR_FROM_CLUSTER);
    // First as a client that still has the cluster's link address, then as one that has to ask, then as one that knows the node's own.
    await knock(live());
    await lab.ip('client', ['neigh flush all']);
    await knock(live());
    await lab.ip('client', await neighbours(live()));
    await knock(live());
    const own = await nodeLink(live());
    const said = (await capture.stop()).filter(
      ({ bytes }) => bytes.subarray(6, 12).toString('hex') === own,
    );
    // The node may speak for itself (its own neighbour discovery); it may not speak for the cluster.
    const forCluster = said.filter(({ bytes }) => mentionsCluster(bytes));
    assert.deepEqual(
      forCluster.map(({ bytes }) => bytes.toString('hex')),
      [],
    );
    await lab.ip('client', [
      `neigh del ${CLUSTER_IPV4} dev eth0`,
      `neigh del ${CLUSTER_IPV6} dev eth0`,
    ]);
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

async function nodeLink({ lab }: Live): Promise<string> {
  const { stdout } = await lab.run('node-1', ['cat', '/sys/class/net/eth0/address']);
  return stdout.trim().replaceAll(':', '');
}

async function neighbours(live: Live): Promise<string[]> {
  const link = (await nodeLink(live)).replace(/(..)(?=.)/g, '$1:');
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
