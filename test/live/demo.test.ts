import assert from 'node:assert/strict';
import { flowsieve } from '../../lib/cli/demo/cluster.js';
import { Lab } from '../../lib/cli/demo/lab.js';

describe('flowsieve demo', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.open();
    await lab.namespace('host');
  });

  after(async () => {
    await lab.close();
  });

  it('passes its own audit, in under a minute and a half also on a busy machine', async function () {
    this.timeout(100_000);
    const said = await lab.run('host', flowsieve('demo'), { deadlineMs: 90_000, mayFail: true });
    assert.equal(said.code, 0, `${said.stdout}\n${said.stderr}`);
    assert.match(
      said.stdout,
      /ok {4}[\d,]+ opening packets on the client's wire: 0 answered twice/,
    );
    assert.match(said.stdout, /ok {4}0 conversations broken on the nodes that lived/);
    const lines = ['node-4 joined', 'node-2 drained', 'node-3 was killed'];
    for (const line of lines) assert.ok(said.stdout.includes(line), line);
  });

  it('runs as root of a user namespace, without privilege outside of it, and leaves nothing', async function () {
    this.timeout(100_000);
    const argv = ['unshare', '--user', '--map-root-user', '--', ...flowsieve('demo')];
    const said = await lab.run('host', argv, { deadlineMs: 90_000, mayFail: true });
    assert.equal(said.code, 0, `${said.stdout}\n${said.stderr}`);
    const left = await lab.run('host', ['sh', '-c', 'ip -o link | grep -v lo:; ls /run'], {
      mayFail: true,
    });
    assert.doesNotMatch(left.stdout, /veth|br0/);
  });

  it('ends with code 3 and a sentence that names the device when there is no TUN device', async function () {
    this.timeout(20_000);
    const hidden = ['sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
    const said = await lab.run('host', [...hidden, ...flowsieve('demo')], { mayFail: true });
    assert.equal(said.code, 3, said.stderr);
    assert.match(said.stderr, /^Expected [^\n]*\/dev\/net\/tun[^\n]*\.$/);
  });
});
