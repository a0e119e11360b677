import assert from 'node:assert/strict';
import { Asker, servePorts } from './ports.js';
import { FAMILIES, liveCluster, nodeOf, note, type Status, until } from './support.js';

const SINGLE = 9001;
const REFUSED = 9002;
const BY_SOURCE = 9003;
const PASSED = 9004;
const BY_NETWORK = 9010;
const RULES = [
  { protocol: 'tcp', ports: [SINGLE], do: 'single', nodes: ['node-2', 'node-1'] },
  { ports: [REFUSED], do: 'refuse' },
  { protocol: 'tcp', ports: [BY_SOURCE], affinity: 'source' },
  { ports: [PASSED], do: 'pass' },
  { protocol: 'tcp', ports: ['9010-9019'], affinity: 'network' },
];
// Other clients, in one /24 and one /64.
const OTHERS = Array.from({ length: 20 }, (_, i) => 201 + i);

describe('port rules', () => {
  const live = liveCluster({ sections: { rules: RULES } });

  let client: Asker;

  const singleAt = (status: Status): string | null => status.rules[0]?.owner ?? null;
  const nodesOf = async (address: string, port: number, count: number, source: string[] = []) =>
    (await client.ask({ address, port }, count, source)).map(
      ({ node, failed }) => node ?? failed ?? '',
    );

  before(async function () {
    this.timeout(120_000);
    const { lab, cluster } = live();
    const ports = [SINGLE, REFUSED, BY_SOURCE, PASSED, BY_NETWORK, BY_NETWORK + 1];
    await Promise.all(cluster.nodes.map(({ name }) => servePorts(lab, name, ports)));
    client = new Asker(lab, 'client');
    await lab.ip('client', [
      ...OTHERS.map((last) => `address add 192.0.2.${last}/24 dev eth0`),
      ...OTHERS.map((last) => `address add 2001:db8::${last}/64 dev eth0 nodad`),
    ]);
  });

  for (const { family, address } of FAMILIES) {
    const other = (last: number): string =>
      family === 'IPv4' ? `192.0.2.${last}` : `2001:db8::${last}`;

    it(`keep a client at one node by its source over ${family}, and clients apart`, async function () {
      this.timeout(120_000);
      const ofOne = await nodesOf(address, BY_SOURCE, 24);
      assert.equal(new Set(ofOne).size, 1, `24 connections: ${ofOne}`);
      assert.match(ofOne[0] ?? '', /^node-/);
      const ofOthers = new Set<string>();
      for (const last of OTHERS) {
        const [one, again] = await nodesOf(address, BY_SOURCE, 2, [other(last)]);
        assert.equal(one, again);
        ofOthers.add(one ?? '');
      }
      assert.ok(ofOthers.size > 1, `${OTHERS.length} clients: ${[...ofOthers]}`);
    });

    it(`keep the clients of one network together over ${family}, at every port of a range`, async function () {
      this.timeout(120_000);
      const seen = new Set<string>();
      for (const last of OTHERS) {
        const port = BY_NETWORK + (last % 2);
        for (const node of await nodesOf(address, port, 2, [other(last)])) seen.add(node);
      }
      assert.equal(seen.size, 1, [...seen].join());
      assert.match([...seen][0] ?? '', /^node-/);
    });

    it(`are silent at a refused port over ${family}`, async function () {
      this.timeout(120_000);
      assert.deepEqual(await nodesOf(address, REFUSED, 2), ['silent', 'silent']);
      assert.deepEqual(await client.datagram(address, REFUSED, 100), []);
      for (const { drops } of await live().cluster.quiet()) {
        assert.ok((drops['refused'] ?? 0) > 0, 'every node has counted it');
      }
    });

    it(`leave a passed port to the kernel of every node over ${family}, fragments too`, async function () {
      this.timeout(120_000);
      for (const size of [100, 4_000]) {
        const answers = await client.datagram(address, PASSED, size);
        const expected = [1, 2, 3].map((number) => `node-${number} ${size}`);
        assert.deepEqual(answers, expected);
      }
      const { counters } = (await live().cluster.quiet())[0] as Status;
      assert.ok((counters['passedOn'] ?? 0) >= 2, 'later fragments were handed in');
    });
  }

  it('let one node answer a passed TCP port where the others are kept silent', async function () {
    this.timeout(120_000);
    const { lab } = live();
    const silence = [
      'add table inet silent',
      'add chain inet silent in { type filter hook input priority 0; }',
      `add rule inet silent in tcp dport ${PASSED} drop`,
    ].join('\n');
    for (const name of ['node-1', 'node-3']) {
      await lab.run(name, ['nft', '-f', '-'], { input: `${silence}\n` });
    }
    for (const { address } of FAMILIES) {
      assert.deepEqual(await nodesOf(address, PASSED, 4), Array(4).fill('node-2'));
    }
  });

  it('give a single port to the first node that can have it; its connections stay when it drains', async function () {
    this.timeout(120_000);
    const { cluster } = live();
    for (const { address } of FAMILIES) {
      assert.deepEqual(await nodesOf(address, SINGLE, 8), Array(8).fill('node-2'));
    }
    for (const { family, address } of FAMILIES) {
      assert.equal(await client.hold(family, address, SINGLE), 'node-2');
    }
    const stand = async (): Promise<void> => {
      for (const { family } of FAMILIES) assert.equal(await client.echo(family), 'still there?');
    };
    await cluster.command(nodeOf(cluster, 'node-2'), ['drain', '--deadline', '60']);
    await cluster.agreed('the rule at node-1', (status) => singleAt(status) === 'node-1');
    for (const { address } of FAMILIES) {
      assert.deepEqual(await nodesOf(address, SINGLE, 8), Array(8).fill('node-1'));
    }
    await stand();
    const buckets = (await cluster.statuses())[0]?.members.map((member) => member.buckets) ?? [];
    assert.equal(
      buckets.reduce((sum, count) => sum + count, 0),
      256,
      'buckets are counted without it',
    );
    await cluster.command(nodeOf(cluster, 'node-2'), ['resume']);
    await cluster.agreed('the rule back at node-2', (status) => singleAt(status) === 'node-2');
    await stand();
    const said = await cluster.command(nodeOf(cluster, 'node-1'), ['allocation']);
    assert.match(said.stdout, /rule 1 .*single node-2, node-1; now at node-2/);
  });

  it('give it to the next node when that one is killed', async function () {
    this.timeout(120_000);
    const { cluster } = live();
    const [{ address }] = FAMILIES;
    assert.deepEqual(await nodesOf(address, SINGLE, 2), ['node-2', 'node-2']);
    const killed = Date.now();
    nodeOf(cluster, 'node-2').daemon?.signal('SIGKILL');
    const first = await until('an answer from node-1', async () => {
      const [node] = await nodesOf(address, SINGLE, 1);
      return node === 'node-1' && Date.now();
    });
    note(`node-1 had answered ${first - killed} ms after the kill`);
    assert.deepEqual(await nodesOf(address, SINGLE, 8), Array(8).fill('node-1'));
  });
});
