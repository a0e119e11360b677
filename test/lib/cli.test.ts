import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pcap } from '../fixtures/capture-file.js';
import { spaced, wholeConnection } from '../fixtures/case.js';
import { ethernet, raw } from '../fixtures/packets.js';

// The commands as processes: what they print where, and how they end.

const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function flowsieve(...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

type Json = Record<string, unknown>;

function jsonLines(text: string): Json[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Json);
}

/** The types of an object's values, by key, in order. */
function shape(value: Json): Json {
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      inner !== null && typeof inner === 'object'
        ? shape(inner as Json)
        : inner === null
          ? null
          : typeof inner,
    ]),
  );
}

const COMMANDS = [
  'run',
  'check',
  'replay',
  'explain',
  'quic-id',
  'status',
  'connections',
  'allocation',
  'drain',
  'resume',
  'weight',
  'audit',
  'simulate',
  'demo',
];

describe('the command line', function () {
  this.timeout(120_000);
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-cli-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  function store(name: string, content: Uint8Array | string): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  function capture(name: string, frames: readonly Uint8Array[]): string {
    return store(name, pcap(spaced(frames)));
  }

  function configuration(change: object = {}): string {
    return store(
      'flowsieve.json',
      JSON.stringify({
        cluster: 'web',
        addresses: ['192.0.2.100'],
        node: 'node-1',
        nodes: [{ name: 'node-1' }, { name: 'node-2', weight: 3 }],
        interface: 'eth0',
        admin: { socket: join(folder, 'nobody.sock') },
        ...change,
      }),
    );
  }

  const syn = (port: number) =>
    ethernet().ipv4('198.51.100.7', '192.0.2.100').tcp(port, 80, 'S').build();

  describe('--help', () => {
    it('lists every command and ends with 0', () => {
      const { status, stdout, stderr } = flowsieve('--help');
      assert.equal(status, 0);
      assert.equal(stderr, '');
      for (const command of COMMANDS) assert.match(stdout, new RegExp(`^  ${command}\\b`, 'm'));
    });

    for (const command of COMMANDS) {
      it(`is there for ${command}`, () => {
        const { status, stdout } = flowsieve(command, '--help');
        assert.equal(status, 0);
        assert.match(stdout, new RegExp(`^Usage: flowsieve ${command}`));
      });
    }
  });

  describe('wrong usage', () => {
    const wrong: [what: string, args: string[], said: RegExp][] = [
      ['no command', [], /^Usage: flowsieve/],
      ['an unknown command', ['bogus'], /unknown command 'bogus'/],
      ['an unknown option', ['status', '--bogus'], /unknown option '--bogus'/],
      ['a missing argument', ['replay'], /missing required argument 'pcap'/],
      ['one argument too many', ['check', 'a', 'b'], /too many arguments/],
      ['run without its file', ['run'], /-c, --config <file>/],
      ['no number of nodes', ['replay', 'x.pcap', '--nodes', '0'], /Expected an integer from 1/],
      ['a limit that is none', ['connections', '--limit', 'all'], /Expected an integer from 1/],
      ['an odd number of digits', ['explain', '450'], /^Expected an even number of hexadecimal/],
    ];
    for (const [what, args, said] of wrong) {
      it(`ends with 2: ${what}`, () => {
        const { status, stdout, stderr } = flowsieve(...args);
        assert.equal(status, 2);
        assert.equal(stdout, '');
        assert.match(stderr, said);
      });
    }
  });

  describe('check', () => {
    it('says what a good configuration means', () => {
      const file = configuration();
      const { status, stdout, stderr } = flowsieve('check', file);
      assert.equal(status, 0);
      assert.equal(stderr, '');
      assert.match(stdout, /is a valid configuration of node node-1 in cluster web\./);
      assert.match(stdout, /^ {2}node-1: weight 1, 64 buckets$/m);
      assert.match(stdout, /^ {2}node-2: weight 3, 192 buckets$/m);
    });

    it('says it as JSON', () => {
      const { status, stdout } = flowsieve('check', configuration(), '--json');
      assert.equal(status, 0);
      const [only, ...rest] = jsonLines(stdout);
      assert.deepEqual(rest, []);
      assert.equal(only?.['valid'], true);
      assert.deepEqual(only?.['buckets'], { 'node-1': 64, 'node-2': 192 });
    });

    it('lists all problems of a bad one and ends with 2', () => {
      const file = configuration({
        addresses: ['192.0.2.300'],
        workers: 0,
        distribution: { buckets: 100 },
        colour: 'blue',
      });
      const { status, stdout, stderr } = flowsieve('check', file);
      assert.equal(status, 2);
      assert.equal(stdout, '');
      for (const path of ['addresses\\[0\\]', 'workers', 'distribution\\.buckets']) {
        assert.match(stderr, new RegExp(`^  Expected .* for ${path} but received .*\\.$`, 'm'));
      }
      assert.match(stderr, /^ {2}Expected one of the keys .* but received .*colour.*\.$/m);
      assert.match(stderr, /4 problems/);
    });

    it('ends with 2 when the file is not there or no YAML', () => {
      for (const file of [join(folder, 'missing.yaml'), store('bad.yaml', 'a: [1, 2')]) {
        const { status, stderr } = flowsieve('check', file);
        assert.equal(status, 2);
        assert.match(stderr, /^Expected .*\.$/m);
      }
    });
  });

  describe('replay --json', () => {
    it('has the lines of the contract: keys in order, types, and a summary at the end', () => {
      const path = capture('lines.pcap', wholeConnection(['10.0.0.1', 40000], ['10.0.0.2', 80]));
      const { status, stdout, stderr } = flowsieve('replay', path, '--json');
      assert.equal(status, 0);
      assert.equal(stderr, '');
      const lines = jsonLines(stdout);
      assert.equal(lines.length, 2);
      // The contract's own example.
      const example = JSON.parse(
        '{"type":"connection","protocol":"tcp","protocolNumber":6,"client":{"address":"10.0.0.1","port":40000},' +
          '"server":{"address":"10.0.0.2","port":80},"opened":"opening","status":"CLOSING","closedBy":"fin",' +
          '"packetsFromClient":6,"packetsFromServer":4,"bytesFromClient":500,"bytesFromServer":900,' +
          '"firstSeen":1.0,"lastSeen":2.5,"bucket":17,"owner":"node-2"}',
      ) as Json;
      assert.deepEqual(shape(lines[0] as Json), shape(example));
      assert.deepEqual(Object.keys(lines[0] as Json), Object.keys(example));
      const summary = lines[1] as Json;
      assert.equal(summary['type'], 'summary');
      for (const key of ['packets', 'ip', 'nonIp', 'malformed', 'fragments', 'connections']) {
        assert.equal(typeof summary[key], 'number', key);
      }
      assert.equal(summary['connections'], 1);
      assert.equal(summary['packets'], summary['ip']);
      assert.deepEqual(summary['nodes'], { 'node-1': summary['packets'] });
      const classes = summary['classes'] as Record<string, number>;
      assert.equal(classes['1'], 1);
      const sum = Object.values(classes).reduce((a, b) => a + b, 0);
      assert.equal(sum, summary['packets']);
    });

    it('has the two values that closedBy may also have', () => {
      const early = ethernet().ipv4('10.0.0.1', '10.0.0.2').udp(1, 2).build();
      const late = ethernet().ipv4('10.0.0.3', '10.0.0.2').udp(1, 2).build();
      const frames = [
        { time: 0, bytes: early },
        { time: 100, bytes: late },
      ];
      const { stdout } = flowsieve('replay', store('late.pcap', pcap(frames)), '--json');
      const closed = jsonLines(stdout).map((line) => line['closedBy']);
      assert.deepEqual(closed, ['timeout', null, undefined]);
    });

    it('distributes over so many nodes, or over those of a configuration', () => {
      const path = capture(
        'many.pcap',
        Array.from({ length: 200 }, (_, i) => syn(30000 + i)),
      );
      const three = jsonLines(flowsieve('replay', path, '--json', '--nodes', '3').stdout);
      assert.deepEqual(Object.keys(three.at(-1)?.['nodes'] as Json), [
        'node-1',
        'node-2',
        'node-3',
      ]);
      const configured = flowsieve('replay', path, '--json', '-c', configuration());
      assert.equal(configured.status, 0);
      const summary = jsonLines(configured.stdout).at(-1) as Json;
      const { 'node-1': one = 0, 'node-2': two = 0 } = summary['nodes'] as Record<string, number>;
      assert.equal(one + two, 200);
      assert.ok(two > one, `${two} of the node with three times the weight, ${one} of the other`);
      assert.deepEqual(summary['classes'], { '1': one, '3': two });
    });

    it('tells of a cut file in its summary and ends with 0', () => {
      const whole = pcap(spaced([syn(1), syn(2)]));
      const { status, stdout } = flowsieve(
        'replay',
        store('cut.pcap', whole.slice(0, -3)),
        '--json',
      );
      assert.equal(status, 0);
      const lines = jsonLines(stdout);
      assert.equal(lines.length, 2);
      assert.equal(typeof lines[1]?.['damage'], 'string');
    });
  });

  describe('replay', () => {
    it('prints lines for people', () => {
      const path = capture('people.pcap', wholeConnection(['10.0.0.1', 40000], ['10.0.0.2', 80]));
      const { status, stdout } = flowsieve('replay', path);
      assert.equal(status, 0);
      assert.match(
        stdout,
        /^tcp 10\.0\.0\.1:\d+ -> 10\.0\.0\.2:\d+ .* CLOSING by fin .* of node-1$/m,
      );
      assert.match(stdout, /^1 connections?$/m);
    });

    it('says that a file is missing, and ends with 3', () => {
      const path = join(folder, 'missing.pcap');
      const { status, stdout, stderr } = flowsieve('replay', path, '--json');
      assert.equal(status, 3);
      assert.equal(stdout, '');
      assert.match(
        stderr,
        /^Expected .*missing\.pcap.* but received: No such file or directory\.$/m,
      );
    });

    it('says which link type it does not read, and ends with 1', () => {
      const path = store('radio.pcap', pcap([], { link: 105 }));
      const { status, stderr } = flowsieve('replay', path, '--json');
      assert.equal(status, 1);
      assert.match(stderr, /^Expected .*link type.*\.$/m);
    });

    it('ends with 2 for a configuration that is not valid', () => {
      const path = capture('one.pcap', [syn(1)]);
      const { status, stderr } = flowsieve('replay', path, '-c', configuration({ workers: 0 }));
      assert.equal(status, 2);
      assert.match(stderr, /for workers but received 0/);
    });

    it('says that there is not memory enough, instead of crashing', () => {
      const path = capture('one.pcap', [syn(1)]);
      const file = configuration({ tables: { connections: 67_108_864 } });
      // The table takes some five gigabytes of address space.
      const limited = `ulimit -v 4000000; exec "${process.execPath}" "${main}" replay "${path}" -c "${file}"`;
      const { status, stderr } = spawnSync('sh', ['-c', limited], { encoding: 'utf8' });
      assert.match(stderr, /^Expected memory for a table of 67108864 connections/);
      assert.equal(status, 1);
    });

    it('ends quietly when its reader has seen enough', async () => {
      const path = capture(
        'long.pcap',
        Array.from({ length: 5000 }, (_, i) => syn(1024 + i)),
      );
      const child = spawn(process.execPath, [main, 'replay', path, '--json']);
      let stderr = '';
      child.stderr.on('data', (chunk) => {
        stderr += String(chunk);
      });
      child.stdout.once('data', () => child.stdout.destroy());
      const status = await new Promise((resolve) => child.once('exit', resolve));
      assert.equal(stderr, '');
      assert.equal(status, 0);
    });
  });

  describe('explain', () => {
    const packet = ethernet().ipv4('198.51.100.7', '192.0.2.100').tcp(40000, 80, 'S');
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

    it('reads an Ethernet frame in hexadecimal', () => {
      const { status, stdout, stderr } = flowsieve('explain', hex(packet.build()), '--json');
      assert.equal(status, 0);
      assert.equal(stderr, '');
      const [line, ...rest] = jsonLines(stdout);
      assert.deepEqual(rest, []);
      assert.equal(line?.['what'], 'tcp SYN');
      assert.equal(line?.['class'], 1);
      assert.equal(line?.['hashed'], 'c6336407c00002649c400050');
      assert.equal(line?.['bytes'], 54);
    });

    it('reads an IP packet in hexadecimal, with blanks and colons', () => {
      const spaced = hex(packet.buildIp()).replace(/(..)(..)/g, '$1:$2 ');
      const [line] = jsonLines(flowsieve('explain', spaced, '--json').stdout);
      assert.equal(line?.['what'], 'tcp SYN');
      assert.equal(line?.['bytes'], 40);
      const ipv6 = raw().ipv6('2001:db8::1', '2001:db8::2').udp(5000, 53).payload(4).build();
      const [six] = jsonLines(flowsieve('explain', hex(ipv6), '--json').stdout);
      assert.equal(six?.['what'], 'udp');
      assert.equal(six?.['from'], '2001:db8::1');
    });

    it('reads a capture, packet by packet, for people', () => {
      const path = capture('explain.pcap', [syn(40000), syn(40000).slice(0, 10)]);
      const { status, stdout } = flowsieve('explain', path, '-c', configuration());
      assert.equal(status, 0);
      assert.match(stdout, /^1 .* 198\.51\.100\.7 -> 192\.0\.2\.100 {2}tcp SYN$/m);
      assert.match(stdout, /^ {4}connection {2}198\.51\.100\.7:40000 -> 192\.0\.2\.100:80$/m);
      assert.match(
        stdout,
        /^ {4}verdict {5}(deliver|discard) \(class [13]\): It opens a connection/m,
      );
      assert.match(stdout, /^2 .* unreadable$/m);
      assert.match(stdout, /^ {4}verdict {5}dropped: The frame ends inside its link header\.$/m);
    });

    it('says that a file is missing, and ends with 3', () => {
      const { status, stderr } = flowsieve('explain', join(folder, 'missing.pcap'));
      assert.equal(status, 3);
      assert.match(stderr, /missing\.pcap/);
    });
  });

  describe('the commands that ask a node', () => {
    for (const command of ['status', 'connections', 'allocation', 'drain', 'resume', 'audit']) {
      it(`end with 1 when none runs: ${command}`, () => {
        const { status, stdout, stderr } = flowsieve(command, '-c', configuration(), '--json');
        assert.equal(status, 1);
        assert.equal(stdout, '');
        assert.match(stderr, /^Expected .*nobody\.sock.*\.$/m);
      });

      it(`end with 2 without a configuration: ${command}`, () => {
        const { status, stderr } = flowsieve(command, '-c', join(folder, 'missing.yaml'));
        assert.equal(status, 2);
        assert.match(stderr, /missing\.yaml/);
      });
    }

    it('refuse an end that is none', () => {
      const args = ['connections', '-c', configuration(), '--client', 'somewhere'];
      const { status, stderr } = flowsieve(...args);
      assert.equal(status, 2);
      assert.match(
        stderr,
        /^Expected an address, a port .* for --client but received "somewhere"\.$/m,
      );
    });
  });
});
