import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flowsieve } from '../../lib/cli/demo/cluster.js';
import type { Said } from '../../lib/cli/demo/lab.js';
import { CLUSTER_IPV4, CLUSTER_IPV6, liveCluster } from './support.js';

describe('flowsieve run says in one sentence what is missing', () => {
  const live = liveCluster({ nodes: 1, daemons: false });

  /** Runs node-1 with that configuration changed, by that wrapper, and gives what it said. */
  async function attempt(
    change: Readonly<Record<string, unknown>> = {},
    wrapper: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Said> {
    const { lab, cluster } = live();
    await cluster.configure([], change);
    const argv = [...wrapper, ...flowsieve('run', '-c', join(lab.directory, 'node-1.yaml'))];
    return lab.run('node-1', argv, { mayFail: true, deadlineMs: 15_000, env });
  }

  function assertSentence(said: Said, code: number, words: RegExp): void {
    assert.equal(said.code, code, said.stderr);
    assert.doesNotMatch(said.stdout, /ready/);
    const lines = said.stderr.trim().split('\n');
    assert.equal(lines.length, 1, said.stderr);
    assert.match(said.stderr, words);
    assert.doesNotMatch(said.stderr, /\n\s+at /);
  }

  it('3 without the privilege', async function () {
    this.timeout(20_000);
    const wrapper = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--'];
    assertSentence(await attempt({}, wrapper), 3, /CAP_NET_ADMIN|CAP_NET_RAW|privilege|permi/i);
  });

  it('3 without the interface', async function () {
    this.timeout(20_000);
    assertSentence(await attempt({ interface: 'eth7' }), 3, /eth7/);
  });

  it('3 without nft in the PATH', async function () {
    this.timeout(20_000);
    const { lab } = live();
    const bin = join(lab.directory, 'bin');
    await mkdir(bin);
    const { stdout } = await lab.run('node-1', ['sh', '-c', 'command -v ip']);
    await symlink(stdout.trim(), join(bin, 'ip'));
    // The wrapper needs its own PATH; only the program itself gets the poor one.
    const said = await attempt({}, ['env', `PATH=${bin}`]);
    assertSentence(said, 3, /nft/);
  });

  it('3 without /dev/net/tun', async function () {
    this.timeout(20_000);
    // The program has a mount namespace of its own, so that this hides the device from nobody else.
    const wrapper = ['sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
    assertSentence(await attempt({}, wrapper), 3, /\/dev\/net\/tun/);
  });

  it('3 when this host has the cluster address already', async function () {
    this.timeout(20_000);
    const { lab } = live();
    await lab.ip('node-1', [`address add ${CLUSTER_IPV4}/32 dev eth0`]);
    const said = await attempt();
    await lab.ip('node-1', [`address del ${CLUSTER_IPV4}/32 dev eth0`]);
    assertSentence(said, 3, new RegExp(CLUSTER_IPV4.replaceAll('.', '\\.')));
  });

  for (const [family, address, length] of [
    ['IPv4', CLUSTER_IPV4, 32],
    ['IPv6', CLUSTER_IPV6, 128],
  ] as const) {
    it(`3 when another host on the link answers for the ${family} cluster address`, async function () {
      this.timeout(20_000);
      const { lab } = live();
      const nodad = family === 'IPv6' ? ' nodad' : '';
      await lab.ip('client', [`address add ${address}/${length} dev eth0${nodad}`]);
      const said = await attempt();
      await lab.ip('client', [`address del ${address}/${length} dev eth0`]);
      assertSentence(said, 3, /nobody else/);
      assert.ok(said.stderr.includes(address), said.stderr);
    });
  }

  it('2 for a configuration that is not valid', async function () {
    this.timeout(20_000);
    assertSentence(await attempt({ workers: 0 }), 2, /workers/);
  });

  it('2 for a file that is no configuration', async function () {
    this.timeout(20_000);
    const { lab } = live();
    const path = join(lab.directory, 'broken.yaml');
    await writeFile(path, 'cluster: [');
    const said = await lab.run('node-1', flowsieve('run', '-c', path), { mayFail: true });
    assert.equal(said.code, 2, said.stderr);
  });

  it('and leaves nothing behind in any of these cases', async () => {
    const { lab } = live();
    const { stdout } = await lab.run('node-1', [
      'sh',
      '-c',
      'nft list ruleset; find /run/flowsieve -type f; ip -o link show type tun',
    ]);
    assert.equal(stdout, '');
  });
});
