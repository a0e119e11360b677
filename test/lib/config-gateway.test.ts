import assert from 'node:assert/strict';
import { plan } from '../../lib/allocation/index.js';
import { type Configuration, parseConfiguration } from '../../lib/config/index.js';
import { ConfigurationError } from '../../lib/errors/index.js';
import {
  NodeIndexes,
  nativeCriteria,
  nativeReservations,
  nativeWorkerOptions,
} from '../../lib/native/index.js';

const SECOND = { name: 'eth1', addresses: ['203.0.113.1', '2001:db8:2::1'] };
const GATEWAY = {
  cluster: 'fw',
  node: 'node-1',
  role: 'gateway',
  link: 'unicast',
  interfaces: [{ name: 'eth0', addresses: ['198.51.100.1', '2001:DB8:1::1'] }, SECOND],
};
const NODES = [
  { name: 'node-1', address: '198.51.100.11', addresses: ['203.0.113.11'], ports: '20000-29999' },
  { name: 'node-2', address: '198.51.100.12', addresses: ['203.0.113.12'], ports: '30000-39999' },
];

function parse(more: object = {}): Configuration {
  return parseConfiguration({ ...GATEWAY, ...more }, {});
}

function refused(more: object): Map<string, string> {
  try {
    parse(more);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return new Map(error.problems.map(({ path, message }) => [path, message]));
  }
  return new Map();
}

describe('configuration of a gateway', () => {
  it('has a MAC address on each network, and the addresses of all', () => {
    const config = parse();
    assert.deepEqual(config.addresses, [
      '198.51.100.1',
      '2001:db8:1::1',
      '203.0.113.1',
      '2001:db8:2::1',
    ]);
    assert.equal(config.interface, 'eth0');
    assert.deepEqual(
      config.interfaces.map(({ name, addresses }) => [name, addresses.length]),
      [
        ['eth0', 2],
        ['eth1', 2],
      ],
    );
    const [one, other] = config.interfaces.map(({ linkAddress }) => linkAddress);
    assert.match(one ?? '', /^02(:[0-9a-f]{2}){5}$/);
    assert.notEqual(one, other);
    assert.equal(config.linkAddress, one);
    // RFC 1112 6.4: the low 23 bits of the network's own first IPv4 address.
    const multicast = parse({ link: 'multicast' }).interfaces.map((each) => each.linkAddress);
    assert.deepEqual(multicast, ['01:00:5e:33:64:01', '01:00:5e:00:71:01']);
  });

  it('hashes both directions alike, and cannot be told not to', () => {
    assert.equal(parse().distribution.symmetric, true);
    assert.deepEqual(
      [...refused({ distribution: { symmetric: false } }).keys()],
      ['distribution.symmetric'],
    );
    const server = parseConfiguration({ cluster: 'web', addresses: ['192.0.2.1'] }, {});
    assert.equal(server.distribution.symmetric, false);
  });

  it('may have one leg, written as a server’s', () => {
    const config = parse({ interfaces: undefined, interface: 'eth0', addresses: ['192.0.2.1'] });
    assert.deepEqual(
      config.interfaces.map(({ name, addresses }) => [name, addresses]),
      [['eth0', ['192.0.2.1']]],
    );
  });

  const wrong: readonly [path: string, more: object][] = [
    ['addresses', { interfaces: undefined }],
    ['addresses', { addresses: ['192.0.2.1'] }],
    ['interface', { interface: 'eth0' }],
    ['linkAddress', { linkAddress: '02:00:00:00:00:01' }],
    ['interfaces', { role: 'server' }],
    ['interfaces', { interfaces: [] }],
    ['interfaces[1].name', { interfaces: [SECOND, { name: 'eth1', addresses: ['10.0.0.1'] }] }],
    ['interfaces[1].addresses[0]', { interfaces: [SECOND, { ...SECOND, name: 'eth2' }] }],
    ['interfaces[0].addresses[0]', { interfaces: [{ name: 'eth0', addresses: ['224.0.0.1'] }] }],
    ['interfaces[0].addresses', { interfaces: [{ name: 'eth0', addresses: [] }] }],
    ['interfaces[0].bogus', { interfaces: [{ ...SECOND, bogus: 1 }] }],
    [
      'interfaces[0].linkAddress',
      { interfaces: [{ ...SECOND, linkAddress: '01:00:5e:00:00:01' }] },
    ],
    ['deliver.device', { deliver: { device: 'eth1' } }],
    ['link', { link: 'none' }],
    ['drain.then', { drain: { then: 'reset' } }],
    ['nodes[0].ports', { nodes: [{ name: 'node-1', ports: '0-10' }] }],
    ['nodes[0].ports', { nodes: [{ name: 'node-1', ports: '20-10' }] }],
    ['nodes[0].ports', { nodes: [{ name: 'node-1', ports: '20-65536' }] }],
    ['nodes[0].ports', { nodes: [{ name: 'node-1', ports: 20 }] }],
    ['nodes[1].ports', { nodes: [NODES[0], { name: 'node-2', ports: '29999-30000' }] }],
    ['nodes[1].addresses[0]', { nodes: [NODES[0], { name: 'b', addresses: ['198.51.100.11'] }] }],
    ['nodes[1].addresses[0]', { nodes: [NODES[0], { name: 'b', addresses: ['203.0.113.11'] }] }],
    ['nodes[0].addresses[0]', { nodes: [{ name: 'node-1', addresses: ['203.0.113.1'] }] }],
    ['nodes[0].address', { nodes: [{ name: 'node-1', address: '203.0.113.1' }] }],
  ];
  for (const [path, more] of wrong) {
    it(`refuses ${path}: ${JSON.stringify(more).slice(0, 70)}`, () => {
      const problems = refused(more);
      const paths = [...problems.keys()].filter(
        (each) => !/interfaces\[1\]\.addresses\[1\]/.test(each),
      );
      assert.deepEqual(paths, [path]);
      assert.match(problems.get(path) ?? '', /^Expected .+ for .+ but received .+\.$/);
    });
  }

  it('warns of node addresses that are missing', () => {
    assert.deepEqual(
      parse({ nodes: NODES }).warnings.filter((warning) => /node addresses/.test(warning)),
      [],
    );
    const nodes = [NODES[0], { name: 'node-2', address: '198.51.100.12' }];
    const [warning] = parse({ nodes }).warnings.filter((each) => /node addresses/.test(each));
    assert.match(warning ?? '', /^node-2 names fewer/);
  });
});

describe('a gateway for its workers', () => {
  const indexes = new NodeIndexes();
  const config = parse({ nodes: NODES });

  it('has no addresses but the MAC addresses of its networks', () => {
    const use = { everything: false, bothDirections: false, sampleEvery: 0 };
    const { addresses, linkAddresses } = nativeWorkerOptions(config, 'node-1', indexes, use);
    assert.equal(addresses, null);
    assert.deepEqual(
      linkAddresses,
      config.interfaces.map(({ linkAddress }) => linkAddress),
    );
  });

  it('forwards, and a server does not', () => {
    const allocation = plan({ members: config.nodes, buckets: 256 });
    assert.equal(nativeCriteria(config, 'node-1', allocation, indexes).forwards, true);
    const server = parseConfiguration({ cluster: 'web', addresses: ['192.0.2.1'] }, {});
    assert.equal(nativeCriteria(server, 'node-1', allocation, indexes).forwards, false);
  });

  it('gives each node its addresses, and its ports of every cluster address', () => {
    const list = nativeReservations(config, indexes).map(
      ({ address, firstPort, lastPort, owner }) =>
        `${Buffer.from(address).toString('hex')} ${firstPort}-${lastPort} ${indexes.names()[owner]}`,
    );
    const mapped = '00000000000000000000ffff';
    assert.deepEqual(
      new Set(list),
      new Set([
        `${mapped}c6336401 20000-29999 node-1`,
        '20010db8000100000000000000000001 20000-29999 node-1',
        `${mapped}cb007101 20000-29999 node-1`,
        '20010db8000200000000000000000001 20000-29999 node-1',
        `${mapped}c633640b 0-65535 node-1`,
        `${mapped}cb00710b 0-65535 node-1`,
        `${mapped}c6336401 30000-39999 node-2`,
        '20010db8000100000000000000000001 30000-39999 node-2',
        `${mapped}cb007101 30000-39999 node-2`,
        '20010db8000200000000000000000001 30000-39999 node-2',
        `${mapped}c633640c 0-65535 node-2`,
        `${mapped}cb00710c 0-65535 node-2`,
      ]),
    );
  });

  it('of a server only the ports: its node addresses never come by the cluster', () => {
    const server = parseConfiguration(
      { cluster: 'web', node: 'node-1', addresses: ['192.0.2.100'], nodes: NODES },
      {},
    );
    assert.deepEqual(
      nativeReservations(server, indexes).map(({ firstPort }) => firstPort),
      [20000, 30000],
    );
  });
});
