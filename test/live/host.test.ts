// The host's settings, against a real kernel: set, listed, given back; silence; what is missing.
// host.support.ts draws the wire.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { FlowsieveError } from '../../lib/errors/index.js';
import { SEND_TAGGED, WATCH } from './host.programs.js';
import {
  children,
  client,
  eventually,
  everyTestOnItsOwnWire,
  execute,
  HOST_MODULE,
  IPV4,
  IPV6,
  notices,
  options,
  prepare,
  refused,
  runDirectory,
  setting,
  sh,
  state,
  withPrograms,
} from './host.support.js';

describe('host, in a private network namespace', function () {
  this.timeout(30_000);
  everyTestOnItsOwnWire();

  describe('setting and giving back', () => {
    it('sets guard, settings and addresses, lists them, and undo leaves exactly what was there before', async () => {
      const before = await state();
      const host = await prepare();
      assert.deepEqual(
        host.list().map((each) => `${each.kind} ${each.target}: ${each.previous} -> ${each.set}`),
        [
          'nftTable netdev flowsieve_web: null -> drop for 192.0.2.100, 2001:db8::100 on cap0',
          'sysctl net/ipv4/conf/cap0/arp_ignore: 0 -> 1',
          'sysctl net/ipv4/conf/cap0/arp_announce: 0 -> 2',
        ],
      );
      await host.addTun();
      const list = host.list().slice(3);
      assert.deepEqual(
        list.filter((each) => each.kind !== 'sysctl').map((each) => `${each.kind} ${each.target}`),
        ['address tun0 192.0.2.100/32', 'address tun0 2001:db8::100/128', 'link tun0'],
      );
      for (const { kind, target, set } of host.list()) {
        if (kind === 'sysctl') assert.equal(await setting(target.slice(4)), set, target);
      }
      const shown = await sh('ip addr show dev tun0');
      assert.match(shown, /inet 192\.0\.2\.100\/32/);
      assert.match(shown, /inet6 2001:db8::100\/128/);
      assert.doesNotMatch(shown, /fe80|tentative/);
      assert.equal((await host.guardStatus()).installed, true);

      assert.deepEqual(await host.undo(), []);
      assert.deepEqual(await state(), before);
      assert.deepEqual(host.list(), []);
    });

    it('writes the journal before the change, with the previous value', async () => {
      const host = await prepare();
      await host.addTun();
      const journal = JSON.parse(await readFile(join(runDirectory, 'web.journal.json'), 'utf8'));
      assert.equal(journal.holder.pid, process.pid);
      assert.deepEqual(journal.changes, host.list());
    });

    it('undoes what is left when the TUN device has gone first', async () => {
      const host = await prepare();
      await host.addTun();
      await sh('ip link del tun0');
      assert.deepEqual(await host.undo(), []);
      assert.equal(await setting('ipv4/conf/cap0/arp_ignore'), '0');
      assert.equal(await sh('nft list ruleset'), '');
      await sh('ip tuntap add dev tun0 mode tun');
    });

    it('leaves a setting alone that somebody else has changed since, and says so', async () => {
      const host = await prepare();
      await writeFile('/proc/sys/net/ipv4/conf/cap0/arp_ignore', '8');
      await host.undo();
      assert.equal(await setting('ipv4/conf/cap0/arp_ignore'), '8');
      assert.match(notices.join(), /Expected 1 in .*arp_ignore but found 8/);
    });

    it('sets the TUN device to loose filtering where all interfaces are strict', async () => {
      await writeFile('/proc/sys/net/ipv4/conf/all/rp_filter', '1');
      const host = await prepare();
      await host.addTun();
      assert.equal(await setting('ipv4/conf/tun0/rp_filter'), '2');
    });

    it('puts the guard up before anything else, and takes it down after everything else', async () => {
      const folder = await mkdtemp('/run/path-');
      const [nft, ip] = (await sh('command -v nft; command -v ip')).split('\n');
      const look = `{ ip -o addr show dev tun0; cat /proc/sys/net/ipv4/conf/cap0/arp_ignore; } >> ${folder}/log`;
      const wrapper = `#!/bin/sh\ntest "$1" != -f || ${look}\nexec ${nft} "$@"\n`;
      await writeFile(join(folder, 'nft'), wrapper, { mode: 0o755 });
      const before = process.env['PATH'];
      process.env['PATH'] = `${folder}:${before}`;
      try {
        const host = await prepare();
        await host.addTun();
        assert.match(await sh(`${ip} -o addr show dev tun0`), /192\.0\.2\.100/);
        await host.undo();
      } finally {
        process.env['PATH'] = before;
      }
      // Both times no address, and the setting as it was.
      assert.equal(await readFile(join(folder, 'log'), 'utf8'), '0\n0\n');
    });

    it('touches nothing when another process has taken the cluster over', async () => {
      const host = await prepare();
      const journal = join(runDirectory, 'web.journal.json');
      const text = await readFile(journal, 'utf8');
      await writeFile(journal, text.replace(/"startTime": "\d+"/, '"startTime": "1"'));
      assert.match((await host.undo()).join(), /no running flowsieve for cluster web but found/);
      assert.equal((await host.guardStatus()).installed, true);
      assert.equal(await setting('ipv4/conf/cap0/arp_ignore'), '1');
      await writeFile(journal, text);
    });

    it('carries on with the rest when one setting cannot be put back, and keeps that one for the next start', async () => {
      const host = await prepare();
      await withPrograms(['ip'], async () => {
        const sentences = await host.undo();
        assert.equal(sentences.length, 1);
        assert.match(sentences.join(), /program nft \(Debian package nftables\)/);
      });
      assert.equal(await setting('ipv4/conf/cap0/arp_ignore'), '0');
      assert.deepEqual(
        host.list().map((each) => each.kind),
        ['nftTable'],
      );
      assert.deepEqual(await host.undo(), []);
    });

    it('gives two clusters on one interface a table and a journal each', async () => {
      const one = await prepare();
      const two = await prepare({ cluster: 'we-b', addresses: ['192.0.2.101'], device: 'tun1' });
      const tables = (await sh('nft list tables')).trim().split('\n').sort();
      assert.match(
        tables.join(),
        /^table netdev flowsieve_we_b_[0-9a-f]{8},table netdev flowsieve_web$/,
      );
      await one.undo();
      assert.equal((await two.guardStatus()).installed, true);
    });
  });

  describe('silence', () => {
    let server: Server;
    let capture: string[];

    beforeEach(async () => {
      server = createServer((socket) => socket.end()).listen(8080, '::');
      await once(server, 'listening');
      capture = [];
      const tap = spawn('python3', ['-c', WATCH], { stdio: ['ignore', 'pipe', 'inherit'] });
      children.push(tap);
      const lines = createInterface({ input: tap.stdout });
      assert.deepEqual(await once(lines, 'line'), ['listening']);
      lines.on('line', (line) => capture.push(line));
    });

    afterEach(async () => {
      server.close();
      await once(server, 'close');
    });

    /**
     * Tells the client where the cluster addresses are, so that its packets come although nobody
     * answers its questions.
     */
    async function reveal(): Promise<void> {
      const links = JSON.parse(await sh('ip -j link show cap0')) as { address: string }[];
      for (const address of [IPV4, IPV6]) {
        await sh(`ip -n client neigh replace ${address} lladdr ${links[0]?.address} dev peer0`);
      }
    }

    /** Waits for the line: the tap is another process, and behind. */
    async function sees(line: string): Promise<void> {
      const seen = await eventually(() => capture.includes(line));
      assert.ok(seen, `expected ${line} in:\n${capture.join('\n')}`);
    }

    const attempts = [
      ['ping', `ping -c1 -W1 ${IPV4}`],
      ['ping over IPv6', `ping -c1 -W1 ${IPV6}`],
      ['TCP', `timeout 1 bash -c '</dev/tcp/${IPV4}/8080'`],
      ['TCP over IPv6', `timeout 1 bash -c '</dev/tcp/${IPV6}/8080'`],
      ['TCP to a closed port', `timeout 1 bash -c '</dev/tcp/${IPV4}/9'`],
    ] as const;

    it('keeps the kernel from answering for a cluster address, while a tap still sees the packets', async () => {
      await reveal();
      await sh(
        `ip addr add ${IPV4}/32 dev tun0; ip addr add ${IPV6}/128 dev tun0 nodad; ip link set tun0 up`,
      );
      for (const [what, command] of attempts.slice(0, 4)) {
        const answered = await eventually(async () => (await client(command)) === 0);
        assert.ok(answered, `without the guard there is an answer: ${what}`);
      }
      const host = await prepare();
      await host.addTun();
      capture.length = 0;
      for (const [what, command] of attempts) {
        assert.notEqual(await client(command), 0, `with the guard there is none: ${what}`);
      }
      const { dropped } = await host.guardStatus();
      assert.ok(dropped.ipv4.packets >= 3 && dropped.ipv6.packets >= 2, JSON.stringify(dropped));
      for (const line of [
        '192.0.2.9 > 192.0.2.100 icmp',
        '2001:db8::9 > 2001:db8::100 icmp6',
        '192.0.2.9 > 192.0.2.100 tcp SYN',
        '2001:db8::9 > 2001:db8::100 tcp SYN',
      ]) {
        await sees(line);
      }
      assert.doesNotMatch(
        capture.join('\n'),
        /^(192\.0\.2\.100|2001:db8::100) > /m,
        'nothing from a cluster address',
      );
      assert.equal(await client('ping -c1 -W2 192.0.2.1'), 0, 'the node itself still answers');
      assert.equal(await client('ping -c1 -W2 2001:db8::1'), 0, 'over IPv6 as well');
    });

    it('answers no question for the link address of a cluster address, not even where all of ARP is loosened', async () => {
      await writeFile('/proc/sys/net/ipv4/conf/all/arp_ignore', '3');
      const host = await prepare();
      await host.addTun();
      await client(`ping -c1 -W1 ${IPV4}`);
      await client(`ping -c1 -W1 ${IPV6}`);
      await sees('ARP request 192.0.2.100');
      await sees('NS 2001:db8::100');
      assert.doesNotMatch(capture.join('\n'), /ARP reply 192\.0\.2\.100|NA 2001:db8::100/);
      const { dropped } = await host.guardStatus();
      assert.ok(dropped.resolution4.packets > 0 && dropped.resolution6.packets > 0);
    });

    it('is silenced by the ARP setting alone as well: the kernel leaks its own MAC without', async () => {
      await sh(`ip addr add ${IPV4}/32 dev tun0; ip link set tun0 up`);
      await client(`ping -c1 -W1 ${IPV4}`);
      await sees('ARP reply 192.0.2.100');
      await sh('ip -n client neigh flush all; echo 1 > /proc/sys/net/ipv4/conf/cap0/arp_ignore');
      capture.length = 0;
      await client(`ping -c1 -W1 ${IPV4}`);
      await sees('ARP request 192.0.2.100');
      assert.ok(!capture.includes('ARP reply 192.0.2.100'));
    });

    it('drops neighbour solicitations where the kernel is a proxy for the cluster address', async () => {
      await sh(`echo 1 > /proc/sys/net/ipv6/conf/cap0/proxy_ndp; echo 1 > /proc/sys/net/ipv6/conf/cap0/forwarding
        echo 0 > /proc/sys/net/ipv6/neigh/cap0/proxy_delay
        ip link set tun0 up; ip -6 route add ${IPV6}/128 dev tun0; ip -6 neigh add proxy ${IPV6} dev cap0`);
      await client(`ping -c1 -W1 ${IPV6}`);
      await sees('NA 2001:db8::100');
      await sh('ip -n client neigh flush all');
      await prepare();
      capture.length = 0;
      await client(`ping -c1 -W1 ${IPV6}`);
      await sees('NS 2001:db8::100');
      assert.ok(!capture.includes('NA 2001:db8::100'));
    });

    it('drops packets to a cluster address behind one VLAN tag and behind two', async () => {
      const host = await prepare();
      const before = (await host.guardStatus()).dropped;
      await writeFile(join(runDirectory, 'send.py'), SEND_TAGGED);
      await sh(`ip netns exec client python3 ${runDirectory}/send.py`);
      await eventually(async () => (await host.guardStatus()).dropped.stacked.packets >= 4);
      const after = (await host.guardStatus()).dropped;
      // No tag, 802.1Q, 802.1ad; then 802.1ad + 802.1Q, and 802.1Q twice.
      assert.equal(after.ipv4.packets - before.ipv4.packets, 3);
      assert.equal(after.ipv6.packets - before.ipv6.packets, 3);
      assert.equal(after.stacked.packets - before.stacked.packets, 4);
      // Another address, tagged alike, passes.
      assert.equal(after.resolution4.packets, before.resolution4.packets);
    });
  });

  describe('what is missing or in the way', () => {
    it('names the program and its package when nft is not installed', async () => {
      await withPrograms(['ip'], () =>
        assert.rejects(
          prepare(),
          refused('FLOWSIEVE_MISSING', 3, /program nft \(Debian package nftables\)/),
        ),
      );
      assert.deepEqual(await readdir(runDirectory), []);
    });

    it('names the program and its package when ip is not installed', async () => {
      await withPrograms(['nft'], () =>
        assert.rejects(
          prepare(),
          refused('FLOWSIEVE_MISSING', 3, /program ip \(Debian package iproute2\)/),
        ),
      );
    });

    it('names an interface that is missing, and those that there are', async () => {
      await assert.rejects(
        prepare({ interface: 'eth7' }),
        refused('FLOWSIEVE_MISSING', 3, /"eth7"; there is: lo, .*cap0/),
      );
    });

    it('says that the interface is down, and does not bring it up', async () => {
      await sh('ip link set cap0 down');
      await assert.rejects(prepare(), refused('FLOWSIEVE_MISSING', 3, /cap0, which is down/));
    });

    it('names address and interface when another interface has a cluster address, and leaves nothing behind', async () => {
      await sh(`ip addr add ${IPV6}/64 dev cap0 nodad`);
      const before = await state();
      await assert.rejects(prepare(), refused('FLOWSIEVE_CLASH', 3, /2001:db8::100 on cap0/));
      assert.deepEqual(await state(), before);
    });

    it('refuses a delivery device that is another kind of interface', async () => {
      await assert.rejects(
        prepare({ device: 'lo' }),
        refused('FLOWSIEVE_MISSING', 3, /lo, an interface .* not a TUN device/),
      );
    });

    it('says that the TUN device is missing when nobody made it', async () => {
      const host = await prepare({ device: 'tun9' });
      await assert.rejects(host.addTun(), refused('FLOWSIEVE_MISSING', 3, /tun9/));
    });

    it('names the privilege when the kernel refuses, and leaves no journal', async () => {
      const { onNotice: _, ...plain } = options();
      const script = `
        import { Host } from ${JSON.stringify(HOST_MODULE)};
        await Host.prepare(${JSON.stringify(plain)}).catch((error) => console.log(error.code, error.exitCode, error.message));`;
      const without = ['--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
      const { stdout } = await execute('setpriv', [
        ...without,
        process.execPath,
        '--input-type=module',
        '-e',
        script,
      ]); // prettier-ignore
      assert.match(stdout, /^FLOWSIEVE_PRIVILEGE 3 Expected the privilege CAP_NET_ADMIN/);
      assert.deepEqual(await readdir(runDirectory), []);
    });

    for (const [path, more] of [
      ['cluster', { cluster: '../etc' }],
      ['interface', { interface: 'cap0"; add table inet x; "' }],
      ['interface', { interface: 'all' }],
      ['deliver.device', { device: 'cap0' }],
      ['addresses', { addresses: ['192.0.2.100; drop'] }],
      ['addresses', { addresses: [] }],
    ] as const) {
      it(`refuses ${JSON.stringify(more)} before anything is changed`, async () => {
        await assert.rejects(prepare(more), (error: FlowsieveError) => {
          assert.equal(error.code, 'FLOWSIEVE_ARGUMENT');
          assert.equal(error.path, path);
          return true;
        });
      });
    }
  });
});
