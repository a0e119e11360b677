import { strict as assert } from 'node:assert';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { bucketCounts, plan } from '../../lib/allocation/index.js';
import { healthOf, parseConfiguration } from '../../lib/config/index.js';
import { readWays, Targets } from '../../lib/dispatch/index.js';
import { ConfigurationError } from '../../lib/errors/index.js';
import { missingOf, type ReceiverFacts, readDevices, readGue } from '../../lib/host/index.js';
import {
  addon,
  addressBytes,
  NodeIndexes,
  nativeCriteria,
  nativeWorkerOptions,
} from '../../lib/native/index.js';
import { activeOf } from '../../lib/node/dispatcher-plane.js';
import type { Member, View } from '../../lib/protocol/index.js';
import { captureCases } from '../fixtures/cases.js';

const SECTION = {
  cluster: 'web',
  addresses: ['192.0.2.100', '2001:db8::100'],
  node: 'd-1',
  nodes: [
    { name: 'n-1', address: '192.0.2.1' },
    { name: 'n-2', address: '192.0.2.2', forward: 'gue', health: { port: 81 } },
  ],
  topology: 'dispatcher',
} as const;

function refused(more: object): string[] {
  try {
    parseConfiguration({ ...SECTION, ...more });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.problems.map(({ path }) => path);
  }
  return [];
}

describe('dispatcher: configuration', () => {
  it('has defaults for everything but the nodes', () => {
    const config = parseConfiguration(SECTION);
    assert.deepEqual(config.elements, [{ name: 'd-1', weight: 1 }]);
    assert.equal(config.link, 'unicast');
    assert.match(config.linkAddress ?? '', /^02:/);
    const { forward, select, onFailure, guePort } = config.dispatcher;
    assert.deepEqual([forward, select, onFailure, guePort], ['mac', 'bucket', 'move', 6080]);
  });

  it('what a node says of its health check goes before what is said of all', () => {
    const config = parseConfiguration({
      ...SECTION,
      health: { type: 'tcp', port: 80, interval: 700 },
    });
    const of = (index: number) => healthOf(config, config.nodes[index] ?? { name: '', weight: 0 });
    assert.deepEqual([of(0).port, of(0).interval, of(1).port, of(1).interval], [80, 700, 81, 700]);
  });

  const wrong: readonly [path: string, more: object][] = [
    ['nodes[0].address', { nodes: [{ name: 'n-1' }] }],
    ['health.port', { health: { type: 'tcp' } }],
    ['health.command', { health: { type: 'command' } }],
    ['health.path', { health: { type: 'http', port: 80, path: 'http://elsewhere/' } }],
    ['nodes[0].health.port', { nodes: [{ ...SECTION.nodes[0], health: { type: 'http' } }] }],
    ['node', { node: 'n-1' }],
    ['node', { dispatcher: { elements: [{ name: 'd-2' }] } }],
    ['dispatcher.elements[0].name', { node: 'n-1', dispatcher: { elements: [{ name: 'n-1' }] } }],
    [
      'quorum',
      {
        dispatcher: {
          elements: [
            { name: 'd-1', address: '192.0.2.11' },
            { name: 'd-2', address: '192.0.2.12' },
          ],
        },
      },
    ],
    [
      'dispatcher.elements[1].address',
      {
        quorum: 'paths',
        dispatcher: { elements: [{ name: 'd-1', address: '192.0.2.11' }, { name: 'd-2' }] },
      },
    ],
    ['dispatcher.mtu', { dispatcher: { mtu: 576 } }],
    ['bypass', { bypass: true }],
    ['dispatcher', { topology: 'filter', node: 'n-1', dispatcher: {} }],
  ];
  for (const [path, more] of wrong) {
    it(`refuses ${path} of ${JSON.stringify(more).slice(0, 70)}`, () => {
      assert.ok(refused(more).includes(path), refused(more).join(', '));
    });
  }
});

describe('dispatcher: targets', () => {
  const NODES = ['a', 'b', 'c'].map((name) => ({ name, weight: 1 }));
  const counts = (targets: Targets) => Object.fromEntries(bucketCounts(targets.current.allocation));
  const change = (targets: Targets, name: string, to: object) =>
    targets.change(new Map([[name, to]]));

  it('shares by weight; a node that is down or drains has no buckets, and only its own move', () => {
    const targets = new Targets(NODES, 96);
    assert.deepEqual(counts(targets), { a: 32, b: 32, c: 32 });
    const before = targets.current.allocation.owners;
    assert.equal(change(targets, 'b', { down: true }), true);
    const { owners, names } = targets.current.allocation;
    assert.deepEqual(counts(targets), { a: 48, b: 0, c: 48 });
    for (const [bucket, owner] of before.entries()) {
      if (names[owner] !== 'b') assert.equal(owners[bucket], owner);
    }
    change(targets, 'b', { down: false });
    change(targets, 'a', { draining: true });
    assert.deepEqual(counts(targets), { a: 0, b: 48, c: 48 });
    change(targets, 'a', { draining: false, weight: 2 });
    assert.deepEqual(counts(targets), { a: 48, b: 24, c: 24 });
  });

  it('when nobody is left the buckets stay, under a new epoch', () => {
    const targets = new Targets(NODES, 96);
    const all = new Map(NODES.map(({ name }) => [name, { down: true }]));
    const { owners, epoch } = targets.current.allocation;
    targets.change(all);
    assert.deepEqual(targets.current.allocation.owners, owners);
    assert.equal(targets.current.allocation.epoch, epoch + 1);
    assert.ok(targets.isEmpty);
  });

  it('who follows takes what is newer, once, and nothing that is older', () => {
    const [active, standby] = [new Targets(NODES, 96), new Targets(NODES, 96)];
    change(active, 'a', { draining: true });
    const old = active.current;
    change(active, 'c', { weight: 3 });
    assert.equal(standby.follow(active.current), true);
    assert.deepEqual(standby.current, active.current);
    assert.equal(standby.follow(active.current), false);
    assert.equal(standby.follow(old), false);
    // Of one that has just become the active one, whatever this one has decided by itself.
    assert.equal(standby.follow(old, true), true);
    assert.deepEqual(standby.current, old);
    assert.equal(standby.follow(new Targets(NODES, 128).current), false);
  });

  it('whatever happens, epochs grow and every bucket has an owner that may have it', () => {
    const what = fc.record({
      node: fc.constantFrom('a', 'b', 'c'),
      to: fc.oneof(
        fc.record({ down: fc.boolean() }),
        fc.record({ draining: fc.boolean() }),
        fc.record({ weight: fc.constantFrom(0, 0.5, 1, 7) }),
      ),
    });
    fc.assert(
      fc.property(fc.array(what), (changes) => {
        const targets = new Targets(NODES, 64);
        for (const { node, to } of changes) {
          const { epoch } = targets.current.allocation;
          const grown = change(targets, node, to) ? 1 : 0;
          assert.equal(targets.current.allocation.epoch, epoch + grown);
          const open = new Set(targets.open.map(({ name }) => name));
          const { owners, names } = targets.current.allocation;
          if (open.size === 0) continue;
          for (const owner of owners) assert.ok(open.has(names[owner] ?? ''));
        }
      }),
    );
  });
});

describe('dispatcher: ways', () => {
  const way = (more: object) => ({
    routed: true,
    onLink: true,
    interface: 3,
    nextHop: Buffer.from(addressBytes('192.0.2.254')),
    source: Buffer.from(addressBytes('192.0.2.11')),
    mtu: 0,
    linkMtu: 1500,
    linkAddress: '02:00:00:00:00:01',
    state: 'reachable' as const,
    nextLinkAddress: '02:00:00:00:00:02',
    ...more,
  });
  const read = (more: object, forward: 'mac' | 'ipip' | 'gue' = 'mac', mtu?: number) => {
    const destination = { name: 'n-1', address: '198.51.100.1', forward };
    const indexes = new NodeIndexes();
    const { hops, statuses } = readWays([destination], [way(more)], { mtu, port: 6080 }, indexes);
    return { hop: hops[0], status: statuses.get('n-1') };
  };

  it('is open only where a packet can be sent, and the least MTU counts', () => {
    assert.equal(read({}).status?.state, 'open');
    assert.equal(read({}).status?.nextHop, '192.0.2.254');
    assert.equal(read({ onLink: false }).status?.state, 'distant');
    assert.equal(read({ onLink: false }, 'ipip').status?.state, 'open');
    assert.equal(read({ routed: false }).status?.state, 'unroutable');
    assert.equal(read({ state: 'failed' }).status?.state, 'silent');
    assert.equal(read({ state: 'none' }).status?.state, 'unresolved');
    assert.equal(read({ state: 'none' }).hop?.destination, null);
    assert.deepEqual(
      [read({}).hop?.mtu, read({ mtu: 1400 }).hop?.mtu, read({}, 'mac', 1450).hop?.mtu],
      [1500, 1400, 1450],
    );
  });
});

describe('dispatcher: which of a pair is active', () => {
  const view = (...members: [string, Member['state'], number][]): View =>
    ({
      members: members.map(([name, state, incarnation]) => ({ name, state, incarnation })),
    }) as unknown as View;

  it('the longest-lived member; who drains only when nobody else is there', () => {
    assert.equal(activeOf(view(['d-1', 'member', 20], ['d-2', 'member', 10])), 'd-2');
    assert.equal(activeOf(view(['d-1', 'member', 20], ['d-2', 'draining', 10])), 'd-1');
    assert.equal(activeOf(view(['d-1', 'dead', 5], ['d-2', 'member', 10])), 'd-2');
    assert.equal(activeOf(view(['d-1', 'left', 5], ['d-2', 'draining', 10])), 'd-2');
    assert.equal(activeOf(view(['d-1', 'joining', 5])), null);
  });
});

describe('dispatcher: what a node lacks', () => {
  const FACTS: ReceiverFacts = {
    devices: [
      { name: 'lo', ethernet: false, up: true, kind: '', addresses: ['127.0.0.1', '192.0.2.100'] },
      { name: 'eth0', ethernet: true, up: true, kind: '', addresses: ['192.0.2.1'] },
      { name: 'tunl0', ethernet: false, up: true, kind: 'ipip', addresses: [] },
    ],
    settings: new Map([
      ['all/arp_ignore', 1],
      ['eth0/arp_announce', 2],
    ]),
    gue: { 4: [6080], 6: [] },
  };
  const NEEDED = {
    clusterAddresses: ['192.0.2.100'],
    address: '192.0.2.1',
    forward: 'gue',
    guePort: 6080,
  } as const;
  const missing = (facts: Partial<ReceiverFacts>, needed: object = {}) =>
    missingOf({ ...FACTS, ...facts }, { ...NEEDED, ...needed });

  it('nothing on a host that is ready', () => {
    assert.deepEqual(missing({}), []);
    assert.deepEqual(missing({}, { forward: 'mac' }), []);
  });

  it('names each thing that is missing, and what helps', () => {
    assert.match(missing({}, { clusterAddresses: ['192.0.2.101'] }).join(), /ip address add/);
    const [lo, eth0, tunnel] = FACTS.devices;
    assert.ok(lo && eth0 && tunnel);
    const misplaced = { ...eth0, addresses: ['192.0.2.1', '192.0.2.100'] };
    assert.match(missing({ devices: [misplaced, tunnel] }).join(), /on no link/);
    assert.match(missing({ settings: new Map() }).join(), /arp_ignore.*arp_announce/s);
    assert.match(missing({ devices: [lo, eth0] }).join(), /modprobe ipip/);
    assert.match(missing({ gue: { 4: [], 6: [6080] } }).join(), /fou add port 6080 gue/);
    assert.match(missing({}, { address: '192.0.2.9' }).join(), /own address 192.0.2.9/);
    const filtered = new Map([...FACTS.settings, ['all/rp_filter', 1] as const]);
    assert.match(missing({ settings: filtered }).join(), /rp_filter/);
    const six = missing({}, { clusterAddresses: ['2001:db8::100'], forward: 'ipip' });
    assert.match(six.join(), /modprobe sit/);
    assert.match(missing({}, { address: '2001:db8::1' }).join(), /ip6_tunnel.*fou6/s);
  });

  it('reads what ip says', () => {
    assert.deepEqual(
      readGue('port 6080 gue\nport 5555 ipproto 4 \nport 7000 gue local 1.2.3.4\n'),
      [6080, 7000],
    );
    const [device] = readDevices(
      '[{"ifname":"sit0","link_type":"sit","flags":["NOARP","UP"],"addr_info":[{"local":"1.2.3.4"}]}]',
    );
    assert.deepEqual(device, {
      name: 'sit0',
      ethernet: false,
      up: true,
      kind: 'sit',
      addresses: ['1.2.3.4'],
    });
  });
});

describe('dispatcher: the same owner for every packet as in topology filter', function () {
  this.timeout(120_000);
  const NAMES = ['node-1', 'node-2', 'node-3'];
  const SHARED =
    process.env['FLOWSIEVE_CAPTURES'] ??
    fileURLToPath(new URL('../../../../shared/captures', import.meta.url));
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'flowsieve-dispatch-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What is decided of each packet: whose it is, and how. */
  async function owners(path: string, topology: 'filter' | 'dispatcher') {
    const nodes = NAMES.map((name, i) => ({ name, address: `192.0.2.${i + 1}` }));
    const node = topology === 'filter' ? 'node-1' : 'd-1';
    const config = parseConfiguration({
      cluster: 'both',
      addresses: ['192.0.2.100'],
      node,
      nodes,
      topology,
      tables: { connections: 20_000 },
    });
    const indexes = new NodeIndexes();
    for (const name of [...NAMES, node]) indexes.of(name);
    const use = { everything: true, bothDirections: true, sampleEvery: 0 };
    const worker = nativeWorkerOptions(config, node, indexes, use);
    const allocation = plan({ members: config.nodes, buckets: config.distribution.buckets });
    const criteria = nativeCriteria(config, node, allocation, indexes);
    const native = new addon.Replay({ path }, worker, criteria);
    const decided: (string | null)[] = [];
    const verdicts = new Set<string>();
    for (;;) {
      const packets = await native.explain();
      if (packets.length === 0) return { decided, verdicts };
      for (const packet of packets) {
        const known = packet.packetClass !== 0 || packet.tracked;
        const how = packet.byBucket ? `bucket ${packet.bucket}` : 'table';
        decided.push(known ? `${indexes.names()[packet.owner]} by ${how}` : null);
        verdicts.add(packet.verdict);
      }
    }
  }

  async function compare(path: string): Promise<number> {
    const filter = await owners(path, 'filter');
    const dispatcher = await owners(path, 'dispatcher');
    assert.deepEqual(dispatcher.decided, filter.decided, path);
    assert.ok(!dispatcher.verdicts.has('deliver') && !dispatcher.verdicts.has('discard'));
    assert.ok(!filter.verdicts.has('forward'));
    return filter.decided.filter((each) => each !== null).length;
  }

  it('over all captures of our own', async () => {
    let packets = 0;
    for (const expected of captureCases) {
      const path = join(folder, `${expected.name}.${expected.format}`);
      writeFileSync(path, expected.file());
      packets += await compare(path);
    }
    assert.ok(packets > 100, `${packets} packets`);
  });

  it('over all shared captures', async function () {
    if (!existsSync(SHARED)) {
      console.log(`        SKIPPED: no captures in ${SHARED}`);
      this.skip();
    }
    let packets = 0;
    const names = readdirSync(SHARED).filter((name) => /\.pcap(ng)?$/.test(name));
    for (const name of names) packets += await compare(join(SHARED, name));
    assert.ok(packets > 100);
    console.log(`        ${packets} packets of ${names.length} captures`);
  });
});
