import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Child } from '../../lib/cli/demo/child.js';
import {
  bucketsOf,
  CLUSTER_IPV4,
  CLUSTER_IPV6,
  type ClusterNode,
  type Live,
  liveCluster,
  nodeOf,
  note,
  stateOf,
} from './support.js';

// Clients of QUIC connections change their address and port in the midst. There is no QUIC stack here: packets
// have the headers of QUIC version 1, and connection ids made by the API (quic.server.ts, quic.client.ts).

const PORT = 8443;
const PLAIN = 0;
const FOUR_PASS = 1;
const SINGLE_PASS = 2;
const UNROUTABLE = 7;
const QUIC = {
  ports: [PORT],
  configs: [
    { id: PLAIN, serverIdLength: 2, nonceLength: 4, encrypted: false },
    { id: FOUR_PASS },
    { id: SINGLE_PASS, serverIdLength: 4, nonceLength: 12 },
  ],
};
const PATHS = [
  { to: CLUSTER_IPV4, from: ['192.0.2.200', '192.0.2.201'] },
  { to: CLUSTER_IPV6, from: ['2001:db8::200', '2001:db8::201'] },
] as const;

interface Opened {
  readonly connection: number;
  readonly node: string;
}

interface Answers {
  readonly nodes: string[];
  readonly resets: string[];
}

function program(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Starts a node's server with a configuration of its own, which has the section already. */
async function startServer({ lab }: Live, node: ClusterNode): Promise<void> {
  const configuration = JSON.parse(await readFile(node.configuration, 'utf8')) as object;
  const file = join(lab.directory, `${node.name}-server.yaml`);
  await writeFile(file, JSON.stringify({ ...configuration, quic: QUIC }));
  const addresses = PATHS.flatMap(({ to }) => ['--address', to]);
  const argv = ['--configuration', file, '--port', String(PORT), ...addresses];
  const server = lab.spawn(node.name, [process.execPath, program('./quic.server.js'), ...argv]);
  await server.line((line) => line === 'listening', 90_000);
}

/** The client's program, one command at a time. */
class Client {
  private readonly child: Child;
  private asked = 0;

  constructor({ lab }: Live) {
    this.child = lab.spawn('client', [process.execPath, program('./quic.client.js')]);
  }

  async ask<Answer>(order: object): Promise<Answer> {
    const at = this.asked;
    this.asked += 1;
    let seen = 0;
    const line = this.child.line(() => {
      seen += 1;
      return seen > at;
    }, 30_000);
    this.child.write(JSON.stringify(order));
    return JSON.parse(await line) as Answer;
  }

  open(path: (typeof PATHS)[number], config: number): Promise<Opened> {
    return this.ask({ do: 'open', from: path.from[0], to: path.to, port: PORT, config });
  }

  say(connection: number): Promise<Answers> {
    return this.ask({ do: 'say', connection });
  }

  move(connection: number, from: string): Promise<Answers> {
    return this.ask({ do: 'move', connection, from });
  }
}

describe('QUIC connections whose clients change their address', () => {
  const live = liveCluster();
  let client: Client;

  before(async function () {
    this.timeout(120_000);
    const { lab, cluster } = live();
    await lab.ip('client', [
      'address add 192.0.2.201/24 dev eth0',
      'address add 2001:db8::201/64 dev eth0 nodad',
    ]);
    // Servers make ids before the cluster reads them, so that what the section changes can be seen.
    await Promise.all(cluster.nodes.map((node) => startServer(live(), node)));
    client = new Client(live());
  });

  /** Opens connections, moves each three times, and asserts that its node answers, alone. */
  async function assertTheyStay(config: number, count: number): Promise<Set<string>> {
    const nodes = new Set<string>();
    for (let i = 0; i < count; i += 1) {
      const path = PATHS[i % PATHS.length] as (typeof PATHS)[number];
      const { connection, node } = await client.open(path, config);
      nodes.add(node);
      const stays = { nodes: [node], resets: [] };
      assert.deepEqual(await client.say(connection), stays);
      for (const from of [path.from[1], path.from[1], path.from[0]]) {
        assert.deepEqual(await client.move(connection, from), stays);
        assert.deepEqual(await client.say(connection), stays);
      }
    }
    return nodes;
  }

  it('go where their new four-tuple belongs without the section', async function () {
    this.timeout(60_000);
    let elsewhere = 0;
    for (let i = 0; i < 16; i += 1) {
      const path = PATHS[i % PATHS.length] as (typeof PATHS)[number];
      const { connection, node } = await client.open(path, FOUR_PASS);
      assert.deepEqual(await client.say(connection), { nodes: [node], resets: [] });
      const { nodes, resets } = await client.move(connection, path.from[1]);
      assert.equal(nodes.length + resets.length, 1, 'one node answers');
      elsewhere += resets.length;
    }
    note(`${elsewhere} of 16 came to another node`);
    assert.ok(elsewhere > 0);
  });

  it('stay on their node as soon as the nodes have agreed on the section', async function () {
    this.timeout(120_000);
    const { cluster } = live();
    const [{ epoch } = { epoch: 0 }] = await cluster.statuses();
    await cluster.configure([], { quic: QUIC });
    for (const node of cluster.nodes) node.daemon?.signal('SIGHUP');
    await cluster.agreed('criteria with quic', (status) => status.epoch > epoch);
    // Until all of them know that all of them know, an opening may still wait on one for the others.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (const config of [PLAIN, FOUR_PASS, SINGLE_PASS]) {
      const nodes = await assertTheyStay(config, 12);
      assert.ok(nodes.size > 1, 'several nodes have connections');
    }
    const statuses = await cluster.quiet();
    for (const { node, counters, drops } of statuses) {
      // Each node has seen the same: 36 connections, three moves each, two packets a place.
      const { quicMigrated, quicById, quicClientChosen, quicElsewhere, quicNobody } = counters;
      assert.deepEqual(
        { quicMigrated, quicById, quicClientChosen, quicElsewhere, quicNobody },
        {
          quicMigrated: 3 * 36,
          quicById: 36 + 2 * 3 * 36,
          quicClientChosen: 36,
          quicElsewhere: 0,
          quicNobody: 0,
        },
        `${node}: ${JSON.stringify({ counters, drops })}`,
      );
    }
  });

  it('go by the four-tuple with ids that name nobody', async function () {
    this.timeout(60_000);
    let elsewhere = 0;
    for (let i = 0; i < 16; i += 1) {
      const path = PATHS[i % PATHS.length] as (typeof PATHS)[number];
      const { connection, node } = await client.open(path, UNROUTABLE);
      for (let packet = 0; packet < 3; packet += 1) {
        assert.deepEqual(await client.say(connection), { nodes: [node], resets: [] });
      }
      const { nodes, resets } = await client.move(connection, path.from[1]);
      assert.equal(nodes.length + resets.length, 1, 'one node answers');
      elsewhere += resets.length;
    }
    assert.ok(elsewhere > 0);
  });

  it('move to a draining node that has them, and none is opened there', async function () {
    this.timeout(90_000);
    const { cluster } = live();
    const kept: { connection: number; from: string }[] = [];
    while (kept.length < 3) {
      const path = PATHS[kept.length % PATHS.length] as (typeof PATHS)[number];
      const { connection, node } = await client.open(path, FOUR_PASS);
      if (node === 'node-2') kept.push({ connection, from: path.from[1] });
    }
    const draining = nodeOf(cluster, 'node-2');
    await cluster.command(draining, ['drain', '--deadline', '60']);
    await cluster.agreed('node-2 draining without buckets', (status) => {
      return bucketsOf(status, 'node-2') === 0 && stateOf(status, 'node-2') === 'draining';
    });
    for (const { connection, from } of kept) {
      assert.deepEqual(await client.move(connection, from), { nodes: ['node-2'], resets: [] });
    }
    assert.ok(!(await assertTheyStay(FOUR_PASS, 8)).has('node-2'));
    await cluster.command(draining, ['resume']);
    await cluster.agreed('node-2 with buckets', (status) => bucketsOf(status, 'node-2') > 0);
  });
});
