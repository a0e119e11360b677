import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Configuration, parseConfiguration, syncAddressOf } from '../../lib/config/index.js';
import { ConfigurationError } from '../../lib/errors/index.js';

// The contract's example, letter by letter.
const EXAMPLE = `
cluster: web
addresses: [192.0.2.100, "2001:db8::100"]
node: node-1                       # default: host name
nodes:
  - { name: node-1, address: 192.0.2.1, weight: 1 }
  - { name: node-2, address: 192.0.2.2 }
interface: eth0
topology: filter                   # filter | dispatcher
role: server                       # server | gateway
link: multicast                    # multicast | unicast | none
deliver: { device: flowsieve0 }
distribution: { hash: siphash, fields: [source, sourcePort, destination, destinationPort], buckets: 256 }
tracking: observe                  # observe | own | os
tables: { connections: 1000000, openingShare: 0.25 }
timeouts: { tcp: { opening: 30, established: 7440, closing: 20 } }
workers: 1
secret: { file: /etc/flowsieve/secret }
sync: { port: 7946, heartbeat: 100, failAfter: 300 }      # milliseconds
quorum: majority                   # majority | paths (two nodes)
drain: { deadline: 300, then: leave }                     # leave | wait | reset
admin: { socket: /run/flowsieve/web.sock, http: "127.0.0.1:9146" }
`;

const SMALLEST = { cluster: 'web', addresses: ['192.0.2.100'] };
const options = { hostName: 'node-1' };

function parse(more: object = {}): Configuration {
  return parseConfiguration({ ...SMALLEST, ...more }, options);
}

function many(count: number): { name: string }[] {
  return Array.from({ length: count }, (_, index) => ({ name: `node-${index + 1}` }));
}

function problemsOf(source: string | object): Map<string, string> {
  try {
    parseConfiguration(source, options);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.equal(error.code, 'FLOWSIEVE_CONFIGURATION');
    return new Map(error.problems.map(({ path, message }) => [path, message]));
  }
  return new Map();
}

function refused(more: object): Map<string, string> {
  return problemsOf({ ...SMALLEST, ...more });
}

describe('configuration: what is accepted', () => {
  it("takes the contract's example", () => {
    const config = parseConfiguration(EXAMPLE, options);
    assert.equal(config.cluster, 'web');
    assert.deepEqual(config.addresses, ['192.0.2.100', '2001:db8::100']);
    assert.deepEqual(config.nodes, [
      { name: 'node-1', address: '192.0.2.1', weight: 1 },
      { name: 'node-2', address: '192.0.2.2', weight: 1 },
    ]);
    assert.deepEqual(config.admin, {
      socket: '/run/flowsieve/web.sock',
      http: { host: '127.0.0.1', port: 9146 },
    });
    assert.deepEqual(config.secret, { file: '/etc/flowsieve/secret' });
  });

  it('takes JSON and objects alike', () => {
    const text = JSON.stringify({ ...SMALLEST, node: 'n' }, null, '\t');
    assert.deepEqual(parseConfiguration(text), parseConfiguration({ ...SMALLEST, node: 'n' }));
  });

  it('fills in the defaults of the design', () => {
    const config = parse();
    assert.equal(config.node, 'node-1');
    assert.deepEqual(config.nodes, [{ name: 'node-1', weight: 1 }]);
    assert.deepEqual(
      [
        config.topology,
        config.role,
        config.link,
        config.tracking,
        config.monitoring,
        config.workers,
      ],
      ['filter', 'server', 'multicast', 'observe', true, 1],
    );
    assert.equal(config.deliver.device, 'flowsieve0');
    assert.equal(config.distribution.buckets, 256);
    assert.deepEqual(config.tables, { connections: 1_000_000, openingShare: 0.25 });
    assert.deepEqual(config.timeouts.tcp, { opening: 30, established: 7440, closing: 20 });
    assert.deepEqual([config.timeouts.udp.opening, config.timeouts.udp.established], [30, 120]);
    assert.deepEqual([config.timeouts.icmp.opening, config.timeouts.icmp.established], [30, 30]);
    assert.deepEqual(config.timeouts.sctp, { opening: 30, established: 7440, closing: 20 });
    assert.deepEqual([config.timeouts.other.opening, config.timeouts.other.established], [30, 600]);
    assert.deepEqual(config.sync, {
      port: 7946,
      heartbeat: 100,
      failAfter: 300,
      guard: 5,
      hold: 200,
      holdBytes: 1_048_576,
    });
    assert.equal(config.quorum, 'majority');
    assert.deepEqual(config.rebalance, { by: 'off', threshold: 0.25, movesPerMinute: 16 });
    assert.deepEqual(config.drain, { deadline: 300, then: 'leave' });
    assert.equal(config.admin.socket, '/run/flowsieve/web.sock');
    assert.equal(config.admin.http, null);
    assert.equal(config.secret, null);
  });

  it('one given timeout leaves the others of its protocol at their defaults', () => {
    const { tcp, udp } = parse({ timeouts: { tcp: { closing: 5 } } }).timeouts;
    assert.deepEqual(tcp, { opening: 30, established: 7440, closing: 5 });
    assert.equal(udp.established, 120);
  });

  it('without monitoring one timeout per protocol applies', () => {
    const { timeouts, warnings } = parse({
      monitoring: false,
      timeouts: { udp: { established: 9 } },
    });
    assert.deepEqual(timeouts.udp, { opening: 9, established: 9, closing: 9 });
    assert.deepEqual(timeouts.tcp, { opening: 7440, established: 7440, closing: 7440 });
    assert.ok(warnings.some((warning) => warning.includes('monitoring')));
  });

  it('spells every address in its one way', () => {
    const config = parse({
      addresses: ['2001:DB8:0:0::0100'],
      nodes: [{ name: 'node-1', address: 'FD00::0:1' }],
    });
    assert.deepEqual(config.addresses, ['2001:db8::100']);
    assert.equal(config.nodes[0]?.address, 'fd00::1');
  });

  it('is frozen all the way down', () => {
    const visit = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      assert.ok(Object.isFrozen(value));
      Object.values(value).forEach(visit);
    };
    visit(parseConfiguration(EXAMPLE, options));
  });

  it('weight 0 is allowed beside a weight above it', () => {
    const nodes = [
      { name: 'node-1', weight: 0 },
      { name: 'node-2', weight: 0.5 },
    ];
    assert.equal(parse({ nodes }).nodes[0]?.weight, 0);
  });
});

describe('configuration: the link address', () => {
  it('multicast: 01:00:5e and the low 23 bits of the first IPv4 address (RFC 1112)', () => {
    const { linkAddress } = parse({ addresses: ['2001:db8::1', '203.255.129.7', '10.1.2.3'] });
    assert.equal(linkAddress, '01:00:5e:7f:81:07');
  });

  it('multicast without IPv4 and unicast come from a digest, alike on every node and unlike between clusters', () => {
    const six = { addresses: ['2001:db8::1'] };
    const first = parse(six).linkAddress ?? '';
    assert.match(first, /^01:00:5e:[0-7]/);
    assert.equal(parse({ ...six, node: 'other' }).linkAddress, first);
    const unicast = parse({ link: 'unicast' }).linkAddress ?? '';
    assert.match(unicast, /^02(:[0-9a-f]{2}){5}$/);
    assert.notEqual(parse({ link: 'unicast', cluster: 'mail' }).linkAddress, unicast);
    // SHA-256("web" NUL "192.0.2.100"), computed elsewhere.
    assert.equal(unicast, '02:ea:a6:6d:88:b8');
  });

  it('none has none', () => {
    assert.equal(parse({ link: 'none' }).linkAddress, null);
    assert.ok(refused({ link: 'none', linkAddress: '02:00:00:00:00:01' }).has('linkAddress'));
  });

  it('a given one must fit the link', () => {
    assert.equal(parse({ linkAddress: '03:BF:00:00:00:01' }).linkAddress, '03:bf:00:00:00:01');
    assert.ok(refused({ linkAddress: '02:00:00:00:00:01' }).has('linkAddress'));
    assert.ok(refused({ link: 'unicast', linkAddress: '01:00:5e:00:00:01' }).has('linkAddress'));
    assert.ok(refused({ linkAddress: 'ff:ff:ff:ff:ff:ff' }).has('linkAddress'));
    assert.ok(refused({ linkAddress: '01-00-5e-00-00-01' }).has('linkAddress'));
  });
});

describe('configuration: what is refused', () => {
  const wrong: readonly [path: string, more: object][] = [
    ['bogus', { bogus: 1 }],
    ['distribution.hsh', { distribution: { hsh: 'siphash' } }],
    ['nodes[0].wieght', { nodes: [{ name: 'node-1', wieght: 2 }] }],
    ['cluster', { cluster: '../etc' }],
    ['cluster', { cluster: undefined }],
    ['addresses', { addresses: [] }],
    ['addresses', { addresses: undefined }],
    ['addresses[0]', { addresses: ['192.0.2.256'] }],
    ['addresses[0]', { addresses: ['fe80::1%eth0'] }],
    ['addresses[0]', { addresses: ['127.0.0.1'] }],
    ['addresses[0]', { addresses: ['224.0.0.5'] }],
    ['addresses[0]', { addresses: ['0.0.0.0'] }],
    ['addresses[0]', { addresses: ['255.255.255.255'] }],
    ['addresses[0]', { addresses: ['::1'] }],
    ['addresses[0]', { addresses: ['::'] }],
    ['addresses[0]', { addresses: ['ff02::1'] }],
    ['addresses[0]', { addresses: ['::ffff:192.0.2.1'] }],
    ['addresses[1]', { addresses: ['2001:db8::1', '2001:DB8:0::1'] }],
    ['node', { node: 'node-9', nodes: [{ name: 'node-1' }] }],
    ['nodes', { nodes: [] }],
    ['nodes', { nodes: [{ name: 'node-1', weight: 0 }] }],
    ['nodes[0].weight', { nodes: [{ name: 'node-1', weight: -1 }] }],
    ['nodes[1].name', { nodes: [{ name: 'node-1' }, { name: 'node-1' }] }],
    ['nodes[0].address', { nodes: [{ name: 'node-1', address: '192.0.2.100' }] }],
    ['nodes[0].address', { nodes: [{ name: 'node-1', address: '239.1.1.1' }] }],
    [
      'nodes[1].address',
      {
        nodes: [
          { name: 'node-1', address: '10.0.0.1' },
          { name: 'b', address: '10.0.0.1' },
        ],
      },
    ],
    ['interface', { interface: 'a-name-too-long!' }],
    ['interface', { interface: 'eth 0' }],
    ['deliver.device', { deliver: { device: 'up/down' } }],
    ['deliver.device', { interface: 'flowsieve0' }],
    ['topology', { topology: 'relay' }],
    ['nodes', { topology: 'dispatcher' }],
    ['dispatcher', { dispatcher: { forward: 'mac' } }],
    ['role', { role: 'router' }],
    ['tracking', { tracking: 'kernel' }],
    ['os.every', { os: { every: 0 } }],
    ['os.match', { os: { match: ['source', 'sourcePort'] } }],
    ['os.match[0]', { os: { match: ['protocol', 'source', 'sourcePort'] } }],
    ['os.match[2]', { os: { match: ['source', 'sourcePort', 'source'] } }],
    ['os.conntrack', { os: { conntrack: 'maybe' } }],
    ['os.dryRun', { os: { dryRun: 1 } }],
    ['os.interval', { os: { interval: 5 } }],
    ['distribution.hash', { distribution: { hash: 'md5' } }],
    ['distribution.fields', { distribution: { fields: [] } }],
    ['distribution.fields[0]', { distribution: { fields: ['ttl'] } }],
    ['distribution.fields[1]', { distribution: { fields: ['source', 'source'] } }],
    ['distribution.fields', { distribution: { symmetric: true, fields: ['source'] } }],
    ['distribution.buckets', { distribution: { buckets: 8 } }],
    ['distribution.buckets', { distribution: { buckets: 300 } }],
    ['distribution.buckets', { distribution: { buckets: 131_072 } }],
    ['distribution.key', { distribution: { key: 'xyz' } }],
    ['distribution.key', { distribution: { key: '00112233' } }],
    ['distribution.key', { distribution: { hash: 'toeplitz', key: '00'.repeat(39) } }],
    ['distribution.prefixes.source.ipv4', { distribution: { prefixes: { source: { ipv4: 33 } } } }],
    [
      'distribution.prefixes.destination.ipv4',
      { distribution: { symmetric: true, prefixes: { source: { ipv4: 24 } } } },
    ],
    ['monitoring', { monitoring: 'yes' }],
    ['tables', { tables: null }],
    ['tables.connections', { tables: { connections: 1.5 } }],
    ['tables.openingShare', { tables: { openingShare: 0 } }],
    ['tables.openingShare', { tables: { openingShare: 1.1 } }],
    ['tables.openingShare', { workers: 64, tables: { connections: 64, openingShare: 0.5 } }],
    ['timeouts.tcp.opening', { timeouts: { tcp: { opening: 0 } } }],
    ['timeouts.quic', { timeouts: { quic: {} } }],
    ['fragments.held', { fragments: { held: -1 } }],
    ['workers', { workers: 0 }],
    ['secret.file', { secret: {} }],
    ['sync.failAfter', { sync: { heartbeat: 200, failAfter: 300 } }],
    ['sync.guard', { sync: { guard: 1001, hold: 2000 } }],
    ['sync.guard', { sync: { guard: 200 } }],
    ['sync.hold', { sync: { hold: 0 } }],
    ['sync.holdBytes', { sync: { holdBytes: -1 } }],
    ['nodes[0].sync', { nodes: [{ name: 'node-1', sync: 'node-1.example' }] }],
    ['nodes[0].sync', { nodes: [{ name: 'node-1', sync: '192.0.2.100' }] }],
    ['nodes[0].sync', { nodes: [{ name: 'node-1', sync: '239.1.1.1' }] }],
    [
      'nodes[1].sync',
      {
        nodes: [
          { name: 'node-1', address: '10.0.0.1' },
          { name: 'b', address: '10.0.0.2', sync: '10.0.0.1' },
        ],
      },
    ],
    ['secret.also', { secret: { file: 'a', also: '' } }],
    ['rebalance.by', { rebalance: { by: 'bytes' } }],
    ['rebalance.threshold', { rebalance: { threshold: 0 } }],
    ['rebalance.movesPerMinute', { rebalance: { movesPerMinute: 0 } }],
    ['quorum', { quorum: 'paths', nodes: many(3) }],
    ['quorum', { quorum: 'half' }],
    ['drain.then', { drain: { then: 'explode' } }],
    ['bypass', { bypass: true, role: 'gateway' }],
    ['helpers.ftp.ports', { helpers: { ftp: { ports: [21, 21] } } }],
    ['helpers.ftp.ports[0]', { helpers: { ftp: { ports: [0] } } }],
    ['admin.http', { admin: { http: '9146' } }],
    ['admin.http', { admin: { http: 'localhost:70000' } }],
    ['admin.socket', { admin: { socket: `/${'x'.repeat(107)}` } }],
  ];
  for (const [path, more] of wrong) {
    it(`${path}: ${JSON.stringify(more).slice(0, 70)}`, () => {
      const problems = refused(more);
      assert.deepEqual([...problems.keys()], [path]);
      const message = problems.get(path) ?? '';
      assert.match(message, /^Expected .+ for .+ but received .+\.$/);
    });
  }

  it('no message repeats a key', () => {
    const message = refused({ distribution: { key: 'c0ffee' } }).get('distribution.key') ?? '';
    assert.ok(message.length > 0 && !message.includes('c0ffee'));
  });

  it('names everything that is wrong at once, also between keys beside a broken one', () => {
    const problems = problemsOf({
      cluster: 5,
      addresses: ['192.0.2.1', 'x', '192.0.2.1', '127.0.0.1'],
      nodes: [
        { name: 'a', weight: -1 },
        { name: 'a', address: '192.0.2.1' },
      ],
      workers: 1.5,
      distribution: { buckets: 100 },
      sync: { heartbeat: 100, failAfter: 150, guard: 'short' },
      extra: true,
      'and more': true,
    });
    assert.deepEqual(
      new Set(problems.keys()),
      new Set([
        'cluster',
        'addresses[1]',
        'addresses[2]',
        'addresses[3]',
        'nodes[0].weight',
        'nodes[1].name',
        'nodes[1].address',
        'node',
        'workers',
        'distribution.buckets',
        'sync.failAfter',
        'sync.guard',
        'extra',
        'and more',
      ]),
    );
  });

  it('a text that is neither YAML nor JSON is refused with its line', () => {
    assert.match(problemsOf('cluster: web\naddresses: [').get('') ?? '', /line \d+, column \d+/);
    assert.match(problemsOf('cluster: a\ncluster: b').get('') ?? '', /line 2/);
    assert.match(problemsOf('').get('') ?? '', /received nothing/);
    assert.match(problemsOf('- 1').get('') ?? '', /received the list/);
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghij']
      .map((name, index) => `${name}: &${name} [${`*${'abcdefghi'[index]},`.repeat(9)}]`)
      .join('\n')}`;
    assert.ok(problemsOf(bomb).has(''));
  });

  it('whatever comes, the answer is a configuration or a list of problems', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.object()), (source) => {
        problemsOf(source);
      }),
    );
    const keys = [
      'cluster',
      'addresses',
      'nodes',
      'distribution',
      'timeouts',
      'admin',
      'secret',
      'link',
    ];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), fc.jsonValue()), (more) => {
        refused(more);
      }),
    );
  });

  it('a host name that is no node name asks for a node', () => {
    assert.throws(() => parseConfiguration(SMALLEST, { hostName: 'bad name' }), { path: 'node' });
  });
});

describe('configuration: warnings', () => {
  const warned: readonly [word: string, more: object][] = [
    ['jhash', { distribution: { hash: 'jhash', key: '00112233' } }],
    [
      'prefixes.source',
      { distribution: { fields: ['destination'], prefixes: { source: { ipv4: 24 } } } },
    ],
    ['interface', {}],
    ['quorum majority', { nodes: many(2) }],
    ['EVERYBODY', { nodes: many(3) }],
    ['speak to node-1, node-2', { nodes: [...many(2), { name: 'c', sync: '10.0.0.1' }] }],
    ['admin.http', { admin: { http: '[2001:db8::1]:80' } }],
    ['buckets', { distribution: { buckets: 16 }, nodes: many(17) }],
  ];
  for (const [word, more] of warned) {
    it(`${word}: ${JSON.stringify(more).slice(0, 60)}`, () => {
      const { warnings } = parse(more);
      assert.ok(warnings.some((warning) => warning.includes(word) && warning.endsWith('.')));
    });
  }

  it('a sound configuration has none', () => {
    const config = parseConfiguration(
      { ...SMALLEST, interface: 'eth0', secret: { file: 's' }, admin: { http: '127.0.0.1:80' } },
      options,
    );
    assert.deepEqual(config.warnings, []);
  });

  it('a sound cluster of several nodes has none', () => {
    const nodes = ['node-1', 'b', 'c'].map((name, i) => ({ name, address: `10.0.0.${i + 1}` }));
    const sound = { ...SMALLEST, interface: 'eth0', secret: { file: 's' } };
    assert.deepEqual(parseConfiguration({ ...sound, nodes }, options).warnings, []);
    const two = { ...sound, nodes: nodes.slice(0, 2), quorum: 'paths', sync: {}, drain: {} };
    assert.deepEqual(parseConfiguration(two, options).warnings, []);
  });
});

describe('configuration: the sync network', () => {
  it("a node is spoken to at its sync address, without one at the node's", () => {
    const { nodes } = parse({
      nodes: [
        { name: 'node-1', address: '192.0.2.1', sync: 'FD00::0:1' },
        { name: 'b', address: '192.0.2.2' },
        { name: 'c' },
      ],
    });
    assert.deepEqual(nodes.map(syncAddressOf), ['fd00::1', '192.0.2.2', undefined]);
  });

  it('one node alone may have quorum paths', () => {
    assert.equal(parse({ quorum: 'paths' }).quorum, 'paths');
    assert.equal(parse({ quorum: 'paths', nodes: many(2) }).quorum, 'paths');
  });
});
