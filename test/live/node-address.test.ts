import assert from 'node:assert/strict';
import { hash, loadConfiguration } from '../../lib/index.js';
import { Asker, servePorts } from './ports.js';
import { CLUSTER_IPV4, CLUSTER_IPV6, type Live, liveCluster, nodeOf } from './support.js';

// Where the client listens, for connections that nodes open.
const OF_CLIENT = 9100;
const REFUSED = 9002;
const OWN_PORTS = 50_000;

const SIDES = [
  {
    family: 'IPv4',
    cluster: CLUSTER_IPV4,
    node: (n: number) => `192.0.2.${n}`,
    client: '192.0.2.200',
  },
  {
    family: 'IPv6',
    cluster: CLUSTER_IPV6,
    node: (n: number) => `2001:db8::${n}`,
    client: '2001:db8::200',
  },
] as const;

describe("a node's own address", () => {
  const rules = [
    { ports: [REFUSED], do: 'refuse' },
    { ports: ['50000-50099'], do: 'single', nodes: ['node-1'] },
  ];
  const live = liveCluster({ sections: { rules } });
  const askers = new Map<string, Asker>();
  const from = (name: string): Asker => {
    const asker = askers.get(name) ?? new Asker(live().lab, name);
    askers.set(name, asker);
    return asker;
  };

  before(async function () {
    this.timeout(120_000);
    const { lab, cluster } = live();
    await servePorts(lab, 'client', [OF_CLIENT]);
    await Promise.all(cluster.nodes.map(({ name }) => servePorts(lab, name, [REFUSED])));
  });

  for (const { family, cluster, node, client } of SIDES) {
    it(`has its packets to itself over ${family}, whatever the rules say of the cluster's`, async function () {
      this.timeout(120_000);
      const before = await live().cluster.quiet();
      for (const number of [1, 2, 3]) {
        const to = { address: node(number), port: REFUSED };
        const greeted = await from('client').ask(to, 3);
        assert.deepEqual(
          greeted.map((one) => one.node),
          Array(3).fill(`node-${number}`),
        );
      }
      const after = await live().cluster.quiet();
      assert.deepEqual(
        after.map(({ classes }) => classes),
        before.map(({ classes }) => classes),
        'nothing of it was decided',
      );
    });

    it(`is the source of connections over ${family} that ask for none`, async function () {
      this.timeout(120_000);
      for (const number of [1, 2, 3]) {
        const to = { address: client, port: OF_CLIENT };
        const [greeted] = await from(`node-${number}`).ask(to, 1);
        assert.deepEqual([greeted?.own, greeted?.seen], [node(number), node(number)]);
      }
    });

    it(`can be left for the cluster address over ${family}: answered where that bucket is its own`, async function () {
      this.timeout(120_000);
      const to = { address: client, port: OF_CLIENT };
      for (const own of [true, false]) {
        const port = await portInBucket(live(), client, cluster, own);
        const [greeted] = await from('node-1').ask(to, 1, [cluster, port]);
        if (own) assert.deepEqual([greeted?.node, greeted?.seen], ['client', cluster]);
        else assert.equal(greeted?.node, undefined, 'the answer went to the owner of its bucket');
      }
    });

    it(`can be left for the cluster address over ${family} at ports of which a rule says so`, async function () {
      this.timeout(120_000);
      const to = { address: client, port: OF_CLIENT };
      for (let port = OWN_PORTS; port < OWN_PORTS + 6; port += 1) {
        const [greeted] = await from('node-1').ask(to, 1, [cluster, port]);
        assert.deepEqual([greeted?.node, greeted?.seen], ['client', cluster], `port ${port}`);
      }
      const [other] = await from('node-2').ask(to, 1, [cluster, OWN_PORTS + 50]);
      assert.equal(other?.node, undefined);
    });
  }
});

/** A port of the cluster address with which a connection to the client is node-1's, or is not. */
async function portInBucket({ cluster }: Live, client: string, address: string, own: boolean) {
  const node = nodeOf(cluster, 'node-1');
  const config = loadConfiguration(node.configuration);
  const { names, owners } = await cluster.admin(node).allocation();
  for (let port = 40_000; port < 41_000; port += 1) {
    // As the answers run: from the client's port to the cluster address.
    const { bucket } = hash(config, {
      source: { address: client, port: OF_CLIENT },
      destination: { address, port },
      protocolNumber: 6,
    });
    if ((names[owners[bucket] ?? -1] === 'node-1') === own) return port;
  }
  throw new Error('no such port among a thousand');
}

// The capture interface has no address of its own here: the kernel has to look elsewhere for a
// source, and finds the cluster's device before the interface that has the node address.
for (const source of ['node', 'any'] as const) {
  describe(`a source for connections where the interface has none, deliver.source ${source}`, () => {
    const live = liveCluster({ nodes: 1, sections: { deliver: { source } } });
    let asker: Asker;

    before(async function () {
      this.timeout(120_000);
      const { lab } = live();
      await servePorts(lab, 'client', [OF_CLIENT]);
      asker = new Asker(lab, 'node-1');
      const shown = await lab.run('node-1', ['cat', '/sys/class/net/eth0/address']);
      const mac = shown.stdout.trim();
      await lab.ip('node-1', [
        'address del 192.0.2.1/24 dev eth0',
        'address del 2001:db8::1/64 dev eth0',
        'link add own0 type veth peer name own1',
        'link set own1 up',
        'link set own0 up',
        'address add 192.0.2.1/32 dev own0',
        'address add 2001:db8::1/128 dev own0 nodad',
        'route add 192.0.2.0/24 dev eth0',
        'route add 2001:db8::/64 dev eth0',
      ]);
      await lab.ip('client', [
        `neigh replace 192.0.2.1 lladdr ${mac} dev eth0 nud permanent`,
        `neigh replace 2001:db8::1 lladdr ${mac} dev eth0 nud permanent`,
      ]);
    });

    for (const { family, cluster, node, client } of SIDES) {
      const expected = source === 'node' ? node(1) : cluster;
      it(`is ${source === 'node' ? 'the node' : 'the cluster'} address over ${family}`, async function () {
        this.timeout(120_000);
        const [greeted] = await asker.ask({ address: client, port: OF_CLIENT }, 1);
        assert.equal(greeted?.seen, expected, JSON.stringify(greeted));
      });
    }
  });
}
