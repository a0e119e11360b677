import assert from 'node:assert/strict';
import { Lab } from '../../lib/cli/demo/lab.js';
import {
  counted,
  FAMILIES,
  GatewayCluster,
  GatewayHost,
  type GatewayNode,
  HOST,
  makeNetworks,
  portsOf,
  route,
} from './gateway-lab.js';
import { assertUnbroken, note } from './support.js';

const BULK_BYTES = 50_000_000;
const A = { name: 'a', number: 1, nodes: 3, networks: [1, 2] } as const;

/** Connections and datagrams from one host to the server of another, all answered once. */
async function converse(from: GatewayHost, to: GatewayHost, count = 60): Promise<void> {
  const traffic = from.traffic();
  for (const family of FAMILIES) {
    const address = to.address(family);
    const { opened, failed, errors } = await traffic.short(address, count);
    assert.deepEqual({ opened, failed, errors }, { opened: count, failed: 0, errors: {} });
    const datagrams = await traffic.datagrams(address, { count, each: 2, size: 200 });
    const { answered, twice, wrong } = datagrams;
    assert.deepEqual({ answered, twice, wrong }, { answered: 2 * count, twice: 0, wrong: 0 });
    assert.deepEqual(await from.ping(address), { received: 5, twice: 0 });
  }
  await traffic.close();
}

/** Rules that translate sources on both sides of a node, and count whatever is translated. */
function translation(of: (device: string, network: number) => string[]): string[] {
  const [first, second] = A.networks;
  return [
    'table inet lab {',
    '  chain post { type nat hook postrouting priority srcnat;',
    ...of('eth0', first),
    ...of('eth1', second),
    '  }',
    '}',
  ];
}

describe('a cluster of three gateways', () => {
  let lab: Lab;
  let cluster: GatewayCluster;
  let client: GatewayHost;
  let server: GatewayHost;

  before(async function () {
    this.timeout(120_000);
    lab = await Lab.open();
    await makeNetworks(lab, A.networks);
    cluster = await GatewayCluster.wire(lab, A);
    [client, server] = await Promise.all([
      GatewayHost.plugIn(lab, 'client', 1),
      GatewayHost.plugIn(lab, 'server', 2),
    ]);
    await route(lab, 'client', 'default', 1, A);
    await route(lab, 'server', 'default', 2, A);
    await cluster.start().catch((error: unknown) => {
      cluster.printLogs();
      throw error;
    });
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed') cluster.printLogs();
  });
  after(async function () {
    this.timeout(20_000);
    await lab?.close();
  });

  it('forwards TCP, UDP and ping in both directions, each packet by one node', async function () {
    this.timeout(60_000);
    await converse(client, server);
    await converse(server, client);
    const delivered = await counted(cluster, 'delivered');
    note(`packets that each node forwarded: ${delivered.join(', ')}`);
    assert.ok(Math.min(...delivered) > 100, 'all nodes take part');
    for (const { host, tables } of await cluster.statuses()) {
      assert.ok((host.guard?.dropped.link.packets ?? 0) > 500, 'the kernel got nothing of it');
      assert.equal(tables.own + tables.others > 300, true);
    }
  });

  it('answers for its addresses on both sides, and for what is asked of a node', async function () {
    this.timeout(30_000);
    for (const { at } of FAMILIES) {
      assert.deepEqual(await client.ping(at(1, 101)), { received: 5, twice: 0 });
      assert.deepEqual(await server.ping(at(2, 101)), { received: 5, twice: 0 });
      // The far side's address, and a node's own far address: by way of the cluster.
      assert.deepEqual(await client.ping(at(2, 101)), { received: 5, twice: 0 });
      assert.deepEqual(await client.ping(at(2, 12)), { received: 5, twice: 0 });
    }
    const reserved = await counted(cluster, 'reserved');
    assert.ok(Math.min(...reserved) >= 10, 'all know whose that is');
  });

  it('carries bulk both ways, super-packets whole', async function () {
    this.timeout(60_000);
    const traffic = client.traffic();
    for (const family of FAMILIES) {
      const down = await traffic.download(server.address(family), BULK_BYTES);
      const up = await traffic.upload(server.address(family), BULK_BYTES);
      assert.ok(down.correct && up.correct, 'every byte is right');
      const rates = [down, up].map(({ bytes, seconds }) =>
        ((bytes * 8) / seconds / 1e9).toFixed(2),
      );
      note(`${family.family}: down ${rates[0]}, up ${rates[1]} Gbit/s`);
    }
    await traffic.close();
    assert.ok((await counted(cluster, 'superPackets')).every((large) => large > 0));
    for (const { drops } of await cluster.statuses()) {
      const { deliverFailed = 0, ringTruncated = 0 } = drops;
      assert.deepEqual({ deliverFailed, ringTruncated }, { deliverFailed: 0, ringTruncated: 0 });
    }
  });

  it('translates to addresses of the nodes, opened from either side', async function () {
    this.timeout(60_000);
    // Replies to a node's own address do not pass flowsieve: the node forwards them by itself.
    for (const { name } of cluster.nodes) {
      await lab.sysctl(name, ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    }
    await cluster.rules(() =>
      translation((device) => [`iifname "flowsieve0" oifname "${device}" counter masquerade`]),
    );
    const before = await counted(cluster, 'reserved');
    await converse(client, server, 30);
    await converse(server, client, 30);
    assert.deepEqual(await counted(cluster, 'reserved'), before, 'no answer came by the cluster');
    await assertTranslated();
  });

  it('translates to its own addresses, with ports of each node', async function () {
    this.timeout(60_000);
    await cluster.rules((node) =>
      translation((device, network) => {
        const way = `iifname "flowsieve0" oifname "${device}"`;
        const [ipv4, ipv6] = FAMILIES.map(({ at }) => at(network, 101));
        const ports = portsOf(node);
        return [
          `${way} meta nfproto ipv4 meta l4proto { tcp, udp, icmp } counter snat ip to ${ipv4}:${ports}`,
          `${way} meta nfproto ipv6 meta l4proto { tcp, udp, ipv6-icmp } counter snat ip6 to [${ipv6}]:${ports}`,
        ];
      }),
    );
    const before = await counted(cluster, 'reserved');
    await converse(client, server, 100);
    await converse(server, client, 100);
    const after = await counted(cluster, 'reserved');
    assert.ok(
      after.every((count, i) => count - (before[i] ?? 0) > 500),
      'answers were reserved',
    );
    await assertTranslated();
    await cluster.rules(() => []);
  });

  /** Every node has translated. */
  async function assertTranslated(): Promise<void> {
    for (const { name } of cluster.nodes) {
      const { stdout } = await lab.run(name, ['nft', 'list', 'table', 'inet', 'lab']);
      const counts = [...stdout.matchAll(/packets (\d+)/g)].map((match) => Number(match[1]));
      assert.ok(
        counts.length >= 2 && counts.every((count) => count > 0),
        `${name} has translated: ${counts.join(', ')}`,
      );
    }
  }

  it('breaks nothing when a node drains and leaves, nor when one is killed', async function () {
    this.timeout(90_000);
    const [first, second, third] = cluster.nodes as [GatewayNode, GatewayNode, GatewayNode];
    // A firewall that knows connections: what it did not see begin it picks up, and what comes back
    // to it after another node had it is let through although it has not seen what was said there.
    // Connection tracking picks up nothing by a FIN, so the rules let ends through.
    for (const { name } of cluster.nodes) {
      await lab.sysctl(name, ['net.netfilter.nf_conntrack_tcp_be_liberal=1']);
      // Nothing is translated any more, and the client takes the same ports for its flows again.
      await lab.run(name, ['conntrack', '--flush']);
    }
    await cluster.rules(() => [
      'table inet lab {',
      '  chain forward {',
      '    type filter hook forward priority filter; policy drop;',
      '    ct state established,related,new accept',
      '    tcp flags & syn == 0 tcp flags & (fin | rst) != 0 accept',
      '  }',
      '}',
    ]);
    const traffic = client.traffic();
    const groups: string[] = [];
    for (const family of FAMILIES) {
      for (const kind of ['lines', 'flows'] as const) {
        const name = `${kind} ${family.family}`;
        const { failed } = await traffic.hold(kind, name, server.address(family), 40, 250);
        assert.equal(failed, 0);
        groups.push(name);
      }
    }
    const addresses = FAMILIES.map((family) => server.address(family));
    await traffic.steady('steady', addresses, 40);
    const own = (await cluster.statuses()).map(({ tables }) => tables.own);
    // At the deadline it leaves: what it still has goes on with the others.
    await cluster.command(second, 'drain', '--deadline', '1', '--wait');
    await cluster.agreed(
      ({ members }) => members.some(({ name, state }) => name === second.name && state === 'left'),
      [first, third],
    );
    await pause(500);
    await cluster.command(second, 'resume');
    await cluster.agreed(({ members }) => members.every(({ buckets }) => buckets > 0));
    await third.daemon?.stop('SIGKILL');
    await cluster.agreed(({ members }) => {
      return members.some(({ name, state }) => name === third.name && state === 'dead');
    });
    await pause(1500);
    const openings = await traffic.settle('steady');
    for (const name of groups) assertUnbroken(await traffic.release(name));
    const failed = openings.filter(({ error }) => error !== null);
    const slowest = Math.max(...openings.map(({ connectMs }) => connectMs ?? 0));
    note(
      `160 conversations, ${own.join(', ')} connections of the nodes; ${openings.length} openings, ` +
        `${failed.length} failed, slowest connect() ${slowest.toFixed(0)} ms`,
    );
    assert.deepEqual(failed, []);
    await traffic.close();
  });
});

describe('two clusters of gateways in a chain, one on each side of a network of servers', () => {
  const B = { name: 'b', number: 2, nodes: 2, networks: [2, 3] } as const;
  const first = { ...A, nodes: 2 };
  let lab: Lab;
  let clusters: GatewayCluster[] = [];

  before(async function () {
    this.timeout(120_000);
    lab = await Lab.open();
    await makeNetworks(lab, [1, 2, 3]);
    clusters = [await GatewayCluster.wire(lab, first), await GatewayCluster.wire(lab, B)];
    // Each cluster reaches the network behind the other by the other's address.
    const [left, right] = clusters as [GatewayCluster, GatewayCluster];
    for (const { name } of left.nodes) await route(lab, name, 3, 2, B);
    for (const { name } of right.nodes) await route(lab, name, 1, 2, first);
    for (const cluster of clusters) await cluster.start();
  });
  after(async function () {
    this.timeout(20_000);
    await lab?.close();
  });

  it('carries what is between the ends, and between each end and the servers', async function () {
    this.timeout(60_000);
    const near = await GatewayHost.plugIn(lab, 'near', 1);
    const server = await GatewayHost.plugIn(lab, 'server', 2);
    const far = await GatewayHost.plugIn(lab, 'far', 3);
    await route(lab, 'near', 'default', 1, first);
    await route(lab, 'far', 'default', 3, B);
    await route(lab, 'server', 1, 2, first);
    await route(lab, 'server', 3, 2, B);
    await converse(near, server, 20);
    await converse(far, server, 20);
    await converse(near, far, 40);
    await converse(far, near, 40);
    for (const cluster of clusters) {
      const delivered = await counted(cluster, 'delivered');
      assert.ok(Math.min(...delivered) > 100, `all nodes take part: ${delivered.join(', ')}`);
    }
    assert.equal(FAMILIES[0].at(3, HOST), far.address(FAMILIES[0]));
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
