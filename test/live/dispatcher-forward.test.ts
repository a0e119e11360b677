import assert from 'node:assert/strict';
import { dispatcherLab } from './dispatcher.support.js';
import { assertUnbroken, FAMILIES, note } from './support.js';

describe('a dispatcher that forwards by MAC address', () => {
  const made = dispatcherLab({
    near: 2,
    health: {
      type: 'http',
      port: 8080,
      path: '/who',
      interval: 200,
      timeout: 150,
      rise: 2,
      fall: 2,
    },
  });

  for (const { family, address } of FAMILIES) {
    it(`shares connections between the nodes, and they answer directly, over ${family}`, async function () {
      this.timeout(40_000);
      const client = made().client();
      const short = await client.short(address, 60);
      assert.deepEqual([short.opened, short.failed, short.errors], [60, 0, {}]);
      assert.deepEqual(Object.keys(short.nodes).sort(), ['n-1', 'n-2']);
      const down = await client.download(address, 3_000_000);
      const up = await client.upload(address, 3_000_000);
      assert.ok(down.correct && up.correct, 'whole transfers');
      const datagrams = await client.datagrams(address, { count: 8, each: 3, size: 3000 });
      assert.deepEqual(
        [datagrams.answered, datagrams.twice, datagrams.wrong, datagrams.moved],
        [24, 0, 0, 0],
      );
      await client.close();
    });
  }

  it('counts what each node has got, and drops nothing', async () => {
    const { counters, drops, dispatcher } = await made().status();
    assert.equal(dispatcher?.active, true);
    const packets = dispatcher.nodes.reduce((sum, node) => sum + node.packets, 0);
    assert.equal(packets, counters['forwarded']);
    const reasons = ['deliverFailed', 'hopUnknown', 'tooBig', 'forwardUnfit'];
    assert.deepEqual(
      reasons.map((reason) => drops[reason] ?? 0),
      [0, 0, 0, 0],
    );
    assert.ok((counters['superPackets'] ?? 0) > 0, 'the client sent super-packets');
    note(`${packets} packets, ${counters['superPackets']} of them super-packets`);
  });

  it('keeps open connections where they are when weights change, and gives new ones to the others', async function () {
    this.timeout(30_000);
    const lab = made();
    const client = lab.client();
    await client.hold('lines', 'kept', '192.0.2.100', 40);
    await client.hold('flows', 'flows', '2001:db8::100', 20);
    await lab.command('d-1', ['weight', 'n-1', '0']);
    await lab.until('no buckets of n-1', 'n-1', ({ buckets }) => buckets === 0);
    const { nodes } = await client.short('192.0.2.100', 30);
    assert.deepEqual(nodes, { 'n-2': 30 });
    const kept = await client.release('kept');
    assert.ok((kept.nodes['n-1'] ?? 0) > 0, 'n-1 had some');
    assertUnbroken(kept);
    assertUnbroken(await client.release('flows'));
    await lab.command('d-1', ['weight', 'n-1', '3']);
    await lab.until('three quarters are n-1’s', 'n-1', ({ buckets }) => buckets === 192);
    await lab.command('d-1', ['weight', 'n-1', '1']);
    await client.close();
  });

  it('drains a node and takes it up again', async function () {
    this.timeout(30_000);
    const lab = made();
    const client = lab.client();
    await client.hold('lines', 'drained', '192.0.2.100', 40);
    await lab.command('d-1', ['drain', 'n-2']);
    assert.deepEqual((await client.short('192.0.2.100', 20)).nodes, { 'n-1': 20 });
    assert.ok((await lab.node('n-2')).connections > 0, 'its connections are still there');
    assertUnbroken(await client.release('drained'));
    await lab.command('d-1', ['resume', 'n-2']);
    await lab.until('buckets of n-2', 'n-2', ({ buckets }) => buckets === 128);
    const { nodes } = await client.short('192.0.2.100', 60);
    assert.equal(Object.keys(nodes).length, 2);
    await client.close();
  });

  it('finds a node ready, and what it lacks when it is not', async function () {
    this.timeout(30_000);
    const { lab } = made();
    const ready = await made().receiver('n-1');
    assert.deepEqual([ready.code, ready.stdout], [0, 'n-1 is ready to receive.']);
    await lab.sysctl('n-2', ['net.ipv4.conf.all.arp_announce=0']);
    const lacking = await made().receiver('n-2');
    assert.equal(lacking.code, 1);
    assert.match(lacking.stdout, /^Expected arp_announce 2 on eth0 .*sysctl -w/);
    await lab.sysctl('n-2', ['net.ipv4.conf.all.arp_announce=2']);
  });

  it('says what is wrong with a command', async () => {
    await assert.rejects(made().command('d-1', ['drain', 'n-9']), /one of the nodes n-1, n-2/);
  });
});
