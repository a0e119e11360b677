import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Lab } from '../../lib/cli/demo/lab.js';
import {
  assertUnbroken,
  Child,
  CLUSTER_IPV4,
  FAMILIES,
  liveCluster,
  nodeOf,
  until,
} from './support.js';

describe('the laboratory, with the cluster address in one kernel', () => {
  const live = liveCluster({ daemons: false });

  beforeEach(async () => {
    const { cluster } = live();
    await cluster.giveToKernel(nodeOf(cluster, 'node-1'));
  });

  afterEach(async () => {
    const { cluster } = live();
    for (const node of cluster.nodes) await cluster.takeFromKernel(node).catch(() => {});
  });

  for (const { address, family } of FAMILIES) {
    it(`finds nothing wrong where nothing is, over ${family}`, async function () {
      this.timeout(20_000);
      const { client } = live();
      const short = await client.short(address, 50);
      assert.deepEqual(short.nodes, { 'node-1': 50 });
      for (const kind of ['lines', 'streams', 'flows'] as const) {
        assert.equal((await client.hold(kind, kind, address, 10)).opened, 10);
      }
      assert.ok((await client.upload(address, 1_000_000)).correct);
      assert.ok((await client.download(address, 1_000_000)).correct);
      for (const kind of ['lines', 'streams', 'flows']) assertUnbroken(await client.release(kind));
    });
  }

  it('notices connections that break and flows that move when another node takes the address', async function () {
    this.timeout(60_000);
    const { lab, cluster, client } = live();
    for (const kind of ['lines', 'streams', 'flows'] as const) {
      await client.hold(kind, kind, CLUSTER_IPV4, 5, 100);
    }
    await cluster.takeFromKernel(nodeOf(cluster, 'node-1'));
    await cluster.giveToKernel(nodeOf(cluster, 'node-2'));
    await lab.ip('client', ['neigh flush all']);
    await until('a reset of every line', async () => (await client.look('lines')).broken === 5);
    await until(
      'a flow answered by another node',
      async () => (await client.look('flows')).moved === 5,
    );
    assert.equal((await client.release('streams')).broken, 5);
    assert.deepEqual((await client.release('lines')).errors, { ECONNRESET: 5 });
    assert.deepEqual((await client.short(CLUSTER_IPV4, 5)).nodes, { 'node-2': 5 });
  });

  it('notices datagrams that nobody answers', async function () {
    this.timeout(20_000);
    const { cluster, client } = live();
    await cluster.takeFromKernel(nodeOf(cluster, 'node-1'));
    const order = { count: 2, each: 2, size: 10 };
    assert.equal((await client.datagrams(CLUSTER_IPV4, order, 200)).answered, 0);
  });
});

describe('a laboratory that ends', () => {
  it('can be closed twice and leaves no namespace', async () => {
    const lab = await Lab.open();
    await lab.namespace('short');
    const child = lab.spawn('short', ['sleep', '60']);
    await Promise.all([lab.close(), lab.close()]);
    assert.equal(child.running, false);
    await assert.rejects(access(lab.directory));
    assert.throws(() => lab.spawn('short', ['true']), /open laboratory/);
  });

  it('takes its programs with it when its process is killed', async function () {
    this.timeout(20_000);
    const url = new URL('../../lib/cli/demo/lab.js', import.meta.url);
    const program = `
      const { Lab } = await import(${JSON.stringify(url.href)});
      const lab = await Lab.open();
      await lab.namespace('doomed');
      const child = lab.spawn('doomed', ['sleep', '60']);
      console.log(child.pid);
    `;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
    const pid = Number(said);
    const alive = (): boolean => {
      try {
        process.kill(pid, 0);
        return true;
      } catch {
        return false;
      }
    };
    assert.ok(alive());
    owner.kill('SIGKILL');
    await until('the end of its program', () => !alive());
  });

  it('is refused where there is an Ethernet interface', async () => {
    const { stdout } = await run(['ip', 'link', 'add', 'veth-a', 'type', 'veth', 'peer', 'veth-b']);
    assert.equal(stdout, '');
    await assert.rejects(Lab.open(), /private network namespace/);
    await run(['ip', 'link', 'del', 'veth-a']);
  });
});

async function run(argv: readonly string[]): Promise<{ stdout: string }> {
  const child = new Child(argv.join(' '), argv);
  await child.ended;
  return { stdout: child.stdout.join('\n') };
}
