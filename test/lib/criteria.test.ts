import assert from 'node:assert/strict';
import fc from 'fast-check';
import { resolveDistribution } from '../../lib/config/index.js';
import {
  type Allocation,
  type ConfigurationInput,
  parseConfiguration,
  plan,
} from '../../lib/index.js';
import {
  NodeIndexes,
  nativeCriteria,
  nativeTransition,
  nativeWorkerOptions,
} from '../../lib/native/index.js';
import type { Transition } from '../../lib/protocol/index.js';

const INPUT: ConfigurationInput = {
  cluster: 'web',
  addresses: ['192.0.2.100', '2001:db8::100'],
  node: 'node-2',
  nodes: [{ name: 'node-1' }, { name: 'node-2' }, { name: 'node-3' }],
};

function configure(change: Partial<ConfigurationInput> = {}) {
  return parseConfiguration({ ...INPUT, ...change });
}

describe('node indexes', () => {
  it('count from 0 in the order in which names come', () => {
    const indexes = new NodeIndexes();
    assert.deepEqual(
      ['b', 'a', 'b', 'c', 'a'].map((name) => indexes.of(name)),
      [0, 1, 0, 2, 1],
    );
    assert.deepEqual(indexes.names(), ['b', 'a', 'c']);
  });

  it('stay with their name, whatever names come and go', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-e]$/), { maxLength: 50 }), (names) => {
        const indexes = new NodeIndexes();
        const first = new Map<string, number>();
        for (const name of names) {
          const index = indexes.of(name);
          assert.equal(index, first.get(name) ?? first.size);
          first.set(name, index);
          assert.equal(indexes.names()[index], name);
        }
      }),
    );
  });

  it('end at 65535 names', () => {
    const indexes = new NodeIndexes();
    for (let i = 0; i < 65535; i += 1) indexes.of(`n${i}`);
    assert.throws(() => indexes.of('one-more'), { code: 'FLOWSIEVE_STATE' });
    assert.equal(indexes.of('n65534'), 65534);
  });
});

describe('the criteria as numbers', () => {
  it('name every owner by its node index, also after nodes have come and gone', () => {
    const indexes = new NodeIndexes();
    const config = configure();
    const { buckets } = config.distribution;
    const first = plan({ members: config.nodes, buckets });
    const before = nativeCriteria(config, 'node-2', first, indexes);
    const nodes = [
      { name: 'node-0', weight: 1 },
      { name: 'node-3', weight: 1 },
      { name: 'node-2', weight: 1 },
    ];
    const second = plan({ members: nodes, buckets });
    const after = nativeCriteria(config, 'node-2', { ...second, epoch: 2 }, indexes);
    assert.equal(after.epoch, 2);
    assert.equal(after.self, before.self);
    const names = indexes.names();
    for (const [allocation, criteria] of [
      [first, before],
      [second, after],
    ] as const) {
      assert.equal(criteria.owners.length, buckets);
      criteria.owners.forEach((owner, bucket) => {
        assert.equal(names[owner], allocation.names[allocation.owners[bucket] as number]);
      });
    }
    assert.equal(names[after.self], 'node-2');
  });

  it("have the distribution that is asked for instead of the configuration's", () => {
    const config = configure();
    const allocation = plan({ members: config.nodes, buckets: 64 });
    const other = resolveDistribution(
      configure({ distribution: { hash: 'crc32c', fields: ['source'], buckets: 64 } }),
    );
    const criteria = nativeCriteria(config, 'node-1', allocation, new NodeIndexes(), other);
    assert.equal(criteria.distribution.hash, 'crc32c');
    assert.equal(criteria.distribution.fields, 1);
    assert.equal(criteria.distribution.buckets, 64);
  });

  // native/allocation/distribution.h: source 1, destination 2, source port 4, destination port 8, protocol 16.
  const fields: [names: NonNullable<ConfigurationInput['distribution']>['fields'], bits: number][] =
    [
      [['source'], 1],
      [['source', 'destination'], 3],
      [['source', 'sourcePort', 'destination', 'destinationPort'], 15],
      [['source', 'sourcePort', 'destination', 'destinationPort', 'protocol'], 31],
    ];
  for (const [names, bits] of fields) {
    it(`have the bits ${bits} for ${String(names)}`, () => {
      const config = configure({ distribution: { fields: names } });
      const allocation = plan({ members: config.nodes, buckets: 256 });
      const criteria = nativeCriteria(config, 'node-1', allocation, new NodeIndexes());
      assert.equal(criteria.distribution.fields, bits);
    });
  }
});

describe('a transition as numbers', () => {
  const config = configure();
  const distribution = resolveDistribution(config);
  const transition = (next: Allocation, dead: string[]): Transition => ({
    kind: dead.length > 0 ? 'takeover' : 'handover',
    base: 1,
    next: {
      epoch: next.epoch,
      term: 1,
      criteria: { digest: '', buckets: next.owners.length, settings: null },
      members: [],
      allocation: next,
    },
    dead,
  });

  it('names the next owners and the dead by node indexes, whatever the order of names', () => {
    const indexes = new NodeIndexes();
    for (const name of ['node-3', 'node-1', 'node-9', 'node-2']) indexes.of(name);
    const members = config.nodes.filter(({ name }) => name !== 'node-1');
    const allocation = { ...plan({ members, buckets: 256 }), epoch: 7 };
    const made = nativeTransition(transition(allocation, ['node-1']), distribution, indexes);
    assert.equal(made.epoch, 7);
    assert.deepEqual(made.dead, [1]);
    assert.ok(made.owners instanceof Uint16Array);
    made.owners.forEach((owner, bucket) => {
      const name = allocation.names[allocation.owners[bucket] as number];
      assert.equal(indexes.names()[owner], name);
    });
  });

  it('has the distribution of the next view', () => {
    const allocation = plan({ members: config.nodes, buckets: 256 });
    const next = { ...distribution, hash: 'toeplitz' as const, key: Buffer.alloc(40, 3) };
    const made = nativeTransition(transition(allocation, []), next, new NodeIndexes());
    assert.equal(made.distribution.hash, 'toeplitz');
    assert.deepEqual(made.distribution.key, Buffer.alloc(40, 3));
    assert.deepEqual(made.dead, []);
  });
});

describe("a worker's options as numbers", () => {
  const use = { everything: false, bothDirections: false, sampleEvery: 64 };

  it('have the default timeouts in the order of the native list', () => {
    const options = nativeWorkerOptions(configure(), 'node-2', new NodeIndexes(), use);
    assert.equal(options.timeouts.length, 15);
    assert.deepEqual(options.timeouts.slice(0, 3), [30, 7440, 20]); // TCP
    assert.deepEqual(options.timeouts.slice(3, 5), [30, 120]); // UDP
    assert.deepEqual(options.timeouts.slice(6, 8), [30, 30]); // ICMP
    assert.deepEqual(options.timeouts.slice(9, 12), [30, 7440, 20]); // SCTP
    assert.deepEqual(options.timeouts.slice(12, 14), [30, 600]); // other
  });

  it('have the bounds of what waits for a handover', () => {
    const config = configure({ sync: { hold: 150, holdBytes: 65536 } });
    const options = nativeWorkerOptions(config, 'node-2', new NodeIndexes(), use);
    assert.equal(options.holdMs, 150);
    assert.equal(options.holdBytes, 65536);
  });

  it('have sixteen bytes for each cluster address, or none for everything', () => {
    const indexes = new NodeIndexes();
    const { addresses } = nativeWorkerOptions(configure(), 'node-2', indexes, use);
    const hex = '00000000000000000000ffffc000026420010db8000000000000000000000100';
    assert.equal(Buffer.from(addresses ?? []).toString('hex'), hex);
    const all = nativeWorkerOptions(configure(), 'node-2', indexes, { ...use, everything: true });
    assert.equal(all.addresses, null);
  });
});
