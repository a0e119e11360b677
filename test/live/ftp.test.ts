import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Child } from '../../lib/cli/demo/child.js';
import type { ClusterStatus } from '../../lib/node/types.js';
import {
  bucketsOf,
  CLUSTER_IPV4,
  CLUSTER_IPV6,
  FAMILIES,
  type Live,
  liveCluster,
  nodeOf,
  note,
} from './support.js';

// FTP through a cluster: the data connections of a session belong to the node that has its control
// connection, whatever their buckets. Server and client are Python's (pyftpdlib, ftplib).

const SERVER = fileURLToPath(new URL('../../../test/live/ftp_server.py', import.meta.url));
const CLIENT = fileURLToPath(new URL('../../../test/live/ftp_client.py', import.meta.url));

// The one that Debian's packages are for.
const PYTHON = '/usr/bin/python3';

interface Transferred {
  readonly done: number;
  /** Transfers that another node than the control connection's has served. */
  readonly elsewhere: number;
  readonly nodes: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

type Mode = 'passive' | 'active';

async function startServers({ lab, cluster }: Live): Promise<Child[]> {
  const servers: Child[] = [];
  for (const { name } of cluster.nodes) {
    const folder = join(lab.directory, `${name}.ftp`);
    const server = lab.spawn(name, [PYTHON, SERVER, name, folder]);
    servers.push(server);
    await server.line((line) => line === 'listening', 20_000);
  }
  return servers;
}

async function transfer(
  { lab }: Live,
  address: string,
  mode: Mode,
  { sessions, transfers, timeout = 20 }: { sessions: number; transfers: number; timeout?: number },
): Promise<Transferred> {
  const counts = [sessions, transfers, timeout].map(String);
  const argv = [PYTHON, CLIENT, address, mode, ...counts];
  const said = await lab.run('client', argv, { deadlineMs: 90_000 });
  return JSON.parse(said.stdout) as Transferred;
}

async function statuses({ cluster }: Live): Promise<ClusterStatus[]> {
  return (await cluster.statuses()) as ClusterStatus[];
}

describe('FTP without the helper', () => {
  const live = liveCluster({ nodes: 3, syncNetwork: true });

  it('fails: most data connections have their bucket elsewhere', async function () {
    this.timeout(60_000);
    await startServers(live());
    const asked = { sessions: 6, transfers: 3, timeout: 2 };
    const { failures } = await transfer(live(), CLUSTER_IPV4, 'passive', asked);
    assert.ok(failures.length >= 2, `${failures.length} of 6 sessions failed`);
  });
});

describe('FTP with the helper', () => {
  const live = liveCluster({
    nodes: 3,
    syncNetwork: true,
    sections: { helpers: { ftp: { ports: [21] } } },
  });

  let servers: readonly Child[] = [];

  before(async function () {
    this.timeout(60_000);
    servers = await startServers(live());
  });

  afterEach(function () {
    if (this.currentTest?.state !== 'failed') return;
    for (const { stderr } of servers) {
      const wrong = stderr.filter((line) => !line.startsWith('[I '));
      for (const line of wrong.slice(-20)) console.log(`        a server: ${line}`);
    }
  });

  const served = new Set<string>();

  for (const { family, address } of FAMILIES) {
    for (const mode of ['passive', 'active'] as const) {
      const how = {
        IPv4: { passive: 'PASV', active: 'PORT' },
        IPv6: { passive: 'EPSV', active: 'EPRT' },
      };
      it(`${how[family][mode]} over ${family}: every transfer at the control connection’s node`, async function () {
        this.timeout(120_000);
        const began = performance.now();
        const came = await transfer(live(), address, mode, { sessions: 8, transfers: 6 });
        assert.deepEqual(came.failures, []);
        assert.deepEqual([came.done, came.elsewhere], [48, 0]);
        const ms = (performance.now() - began) / came.done;
        note(`48 transfers by ${JSON.stringify(came.nodes)}, ${ms.toFixed(0)} ms each`);
        for (const node of Object.keys(came.nodes)) served.add(node);
      });
    }
  }

  // Of all 32 sessions together: that one node has all eight of a test happens in one of 2,187.
  it('every node has had sessions', () => {
    assert.deepEqual([...served].sort(), ['node-1', 'node-2', 'node-3']);
  });

  it('during handovers of buckets nothing fails', async function () {
    this.timeout(180_000);
    const { cluster } = live();
    const running = Promise.all([
      transfer(live(), CLUSTER_IPV4, 'passive', { sessions: 8, transfers: 8 }),
      transfer(live(), CLUSTER_IPV6, 'active', { sessions: 8, transfers: 8 }),
    ]);
    let over = false;
    void running.finally(() => {
      over = true;
    });
    const node = nodeOf(cluster, 'node-1');
    let changes = 0;
    for (let weight = 3; !over && changes < 20; weight = 4 - weight) {
      const before = bucketsOf(await cluster.status(node), 'node-1');
      await cluster.admin(node).weight('node-1', weight);
      await cluster.agreed('other shares', (status) => bucketsOf(status, 'node-1') !== before);
      changes += 1;
    }
    const came = await running;
    for (const { done, elsewhere, failures } of came) {
      assert.deepEqual(failures, []);
      assert.deepEqual([done, elsewhere], [64, 0]);
    }
    assert.ok(changes >= 2, `${changes} handovers`);
    note(`128 transfers during ${changes} handovers`);
  });

  it('has held what it had to, and nothing for too long; and the audit agrees', async () => {
    const all = await statuses(live());
    const sum = (of: (status: ClusterStatus) => number) =>
      all.reduce((total, status) => total + of(status), 0);
    assert.equal(
      sum(({ ftp }) => ftp?.announced ?? -1),
      4 * 48 + 128,
    );
    assert.deepEqual(
      all.map(({ ftp }) => [ftp?.failed, ftp?.expired, ftp?.dropped, ftp?.foreign]),
      all.map(() => [0, 0, 0, 0]),
    );
    assert.ok(sum(({ ftp }) => ftp?.held ?? 0) > 0);
    assert.equal(
      sum(({ audit }) => audit.differs),
      0,
    );
    for (const { counters } of all) assert.ok((counters['expected'] ?? 0) >= 4 * 48 + 128);
  });

  it('an expectation that another process registers is with all nodes when the command ends', async function () {
    this.timeout(30_000);
    const { cluster } = live();
    const node = nodeOf(cluster, 'node-2');
    const words = [
      'expect',
      '--protocol',
      'tcp',
      '--client',
      '192.0.2.0/24',
      '--server',
      `${CLUSTER_IPV4}:8080`,
    ];
    const { stdout } = await cluster.command(node, words);
    const id = Number(stdout.trim());
    for (const each of cluster.nodes) {
      const known = await cluster.admin(each).expectations();
      const [found] = known.filter((one) => one.id === id);
      assert.deepEqual([found?.owner, found?.state], ['node-2', 'active']);
    }
    const { nodes, opened } = await live().client.short(CLUSTER_IPV4, 30);
    assert.deepEqual([opened, nodes['node-2']], [30, 30]);
    await cluster.command(node, ['unexpect', String(id)]);
    const after = await live().client.short(CLUSTER_IPV4, 30);
    assert.ok((after.nodes['node-2'] ?? 0) < 30);
  });
});
