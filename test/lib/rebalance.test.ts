import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type Allocation,
  bucketCounts,
  type Member,
  type Move,
  movedBuckets,
  ownerOf,
  plan,
  REBALANCE_MEMORY_MS,
  type RebalanceSettings,
  rebalance,
} from '../../lib/allocation/index.js';

// The load of a small world: every bucket gets new connections at a steady rate, they live for a
// while with the node that had the bucket when they came, and end. The rebalancing sees what nodes
// of a cluster would see.

interface Terms {
  readonly rates: readonly number[];
  /** Mean life of a connection, seconds. */
  readonly life: number;
  readonly weights: readonly number[];
  readonly settings: RebalanceSettings;
  /** Buckets' loads are seen, not only nodes'. */
  readonly seen: boolean;
}

const STEP_S = 10;

class World {
  readonly members: Member[];
  readonly history: Move[] = [];
  allocation: Allocation;
  now = 0;
  /** The load of each bucket at each node. */
  private readonly load: number[][];

  constructor(private readonly terms: Terms) {
    this.members = terms.weights.map((weight, index) => ({ name: `node-${index + 1}`, weight }));
    this.allocation = plan({ members: this.members, buckets: terms.rates.length });
    this.load = terms.weights.map(() => terms.rates.map(() => 0));
    // It has been running for long.
    for (const [bucket, owner] of this.allocation.owners.entries()) {
      const row = this.load[owner];
      if (row) row[bucket] = (terms.rates[bucket] ?? 0) * terms.life;
    }
  }

  loads(): Map<string, number> {
    return new Map(
      this.members.map(({ name }, index) => [
        name,
        (this.load[index] ?? []).reduce((sum, each) => sum + each, 0),
      ]),
    );
  }

  private bucketLoads(): number[] {
    return this.terms.rates.map((_, bucket) =>
      this.load.reduce((sum, row) => sum + (row[bucket] ?? 0), 0),
    );
  }

  step(): void {
    this.now += STEP_S * 1000;
    const { rates, life, settings, seen } = this.terms;
    const left = Math.exp(-STEP_S / life);
    for (const row of this.load)
      for (const bucket of row.keys()) row[bucket] = (row[bucket] ?? 0) * left;
    for (const [bucket, owner] of this.allocation.owners.entries()) {
      const row = this.load[owner];
      if (row) row[bucket] = (row[bucket] ?? 0) + (rates[bucket] ?? 0) * life * (1 - left);
    }
    const { members, allocation, history, now } = this;
    const loads = this.loads();
    const bucketLoads = seen ? this.bucketLoads() : undefined;
    const next = rebalance({ members, allocation, loads, bucketLoads, settings, history, now });
    if (!next) return;
    this.history.push(...next.moves);
    this.allocation = next.allocation;
  }

  run(seconds: number): this {
    for (let time = 0; time < seconds; time += STEP_S) this.step();
    return this;
  }

  /** The largest relative deviation of a node's load from its share. */
  deviation(): number {
    const loads = this.loads();
    const total = [...loads.values()].reduce((sum, each) => sum + each, 0);
    const weights = this.members.reduce((sum, { weight }) => sum + weight, 0);
    return Math.max(
      ...this.members
        .filter(({ weight }) => weight > 0)
        .map(({ name, weight }) => {
          const share = (weight / weights) * total;
          return Math.abs((loads.get(name) ?? 0) - share) / share;
        }),
    );
  }
}

const BUCKETS = 256;
const terms = fc.record({
  rates: fc.array(fc.double({ min: 5, max: 20, noNaN: true }), {
    minLength: BUCKETS,
    maxLength: BUCKETS,
  }),
  life: fc.integer({ min: 5, max: 120 }),
  weights: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 4 }),
  // Some buckets of one node are busier than others, so that there is something to do.
  busy: fc.record({ node: fc.nat(3), factor: fc.double({ min: 1, max: 2.2, noNaN: true }) }),
  settings: fc.record({
    by: fc.constantFrom('connections' as const, 'packets' as const),
    threshold: fc.constantFrom(0.2, 0.3, 0.5),
    movesPerMinute: fc.integer({ min: 4, max: 40 }),
  }),
  seen: fc.boolean(),
});

function worldOf({ busy, ...rest }: Terms & { busy: { node: number; factor: number } }): World {
  const members = rest.weights.map((weight, i) => ({ name: `node-${i + 1}`, weight }));
  const { owners } = plan({ members, buckets: BUCKETS });
  const busiest = busy.node % members.length;
  const rates = rest.rates.map((rate, bucket) =>
    owners[bucket] === busiest ? rate * busy.factor : rate,
  );
  return new World({ ...rest, rates });
}

const HOURS_S = 2 * 3600;
const RUNS = { numRuns: 12, endOnFailure: true };

describe('rebalancing', function () {
  this.timeout(120_000);

  it('brings every node within the threshold of its share, and then is quiet', () => {
    fc.assert(
      fc.property(terms, (given) => {
        const world = worldOf(given).run(HOURS_S);
        assert.ok(world.deviation() <= given.settings.threshold, String(world.deviation()));
        const before = world.history.length;
        world.run(3600);
        assert.equal(world.history.length, before);
      }),
      RUNS,
    );
  });

  it('never moves more buckets within a minute than it may, wherever the minute begins', () => {
    fc.assert(
      fc.property(terms, (given) => {
        const { history } = worldOf(given).run(1800);
        for (const { at } of history) {
          const within = history.filter((move) => move.at >= at && move.at < at + 60_000);
          assert.ok(within.length <= given.settings.movesPerMinute);
        }
      }),
      RUNS,
    );
  });

  it('moves no bucket twice while nothing changes in the traffic, where the load of buckets is seen', () => {
    fc.assert(
      fc.property(terms, (given) => {
        const { history } = worldOf({ ...given, seen: true }).run(HOURS_S);
        assert.equal(new Set(history.map(({ bucket }) => bucket)).size, history.length);
      }),
      RUNS,
    );
  });

  it('moves little in vain where it sees nothing but the load of nodes', () => {
    fc.assert(
      fc.property(terms, (given) => {
        const world = worldOf({ ...given, seen: false });
        const before = world.allocation;
        const { history, allocation } = world.run(HOURS_S);
        const lasting = movedBuckets(before, allocation).length;
        assert.ok(history.length <= 1.25 * lasting + 4, `${history.length} for ${lasting}`);
      }),
      RUNS,
    );
  });

  it('takes from no node what it has given it, where the load of buckets is seen', () => {
    fc.assert(
      fc.property(terms, (given) => {
        const { history } = worldOf({ ...given, seen: true }).run(HOURS_S);
        const givers = new Set(history.map(({ from }) => from));
        assert.deepEqual(
          history.filter(({ to }) => givers.has(to)),
          [],
        );
      }),
      RUNS,
    );
  });

  it('is quiet inside the threshold', () => {
    fc.assert(
      fc.property(terms, (given) => {
        const world = worldOf(given);
        const inside = world.deviation() <= given.settings.threshold;
        world.step();
        assert.equal(world.history.length > 0, !inside);
      }),
      { numRuns: 50, endOnFailure: true },
    );
  });

  it('answers a change of the traffic while it works on another', () => {
    const rates = Array.from({ length: BUCKETS }, (_, bucket) => (bucket % 5) + 5);
    const settings = { by: 'connections', threshold: 0.2, movesPerMinute: 30 } as const;
    const given = { rates, life: 20, weights: [1, 1, 1], settings, seen: true };
    const world = new World(given);
    const owned = (node: string) =>
      rates.flatMap((_, bucket) => (ownerOf(world.allocation, bucket) === node ? [bucket] : []));
    const [first, second] = [owned('node-1'), owned('node-2')];
    for (const bucket of first) rates[bucket] = (rates[bucket] ?? 0) * 2;
    world.run(120);
    assert.ok(world.history.every(({ from }) => from === 'node-1'));
    assert.ok(world.history.length > 0);
    for (const bucket of first) rates[bucket] = (rates[bucket] ?? 0) / 2;
    for (const bucket of second) rates[bucket] = (rates[bucket] ?? 0) * 2;
    world.run(HOURS_S);
    assert.ok(world.history.some(({ from }) => from === 'node-2'));
    assert.ok(world.deviation() <= 0.2, String(world.deviation()));
  });
});

describe('one step of rebalancing', () => {
  const settings = { by: 'connections', threshold: 0.25, movesPerMinute: 16 } as const;
  const members = ['a', 'b'].map((name) => ({ name, weight: 1 }));
  /** Eight buckets each. */
  const allocation: Allocation = {
    epoch: 4,
    names: ['a', 'b'],
    owners: Uint16Array.from({ length: 16 }, (_, bucket) => bucket % 2),
  };
  const uneven = {
    members,
    allocation,
    loads: new Map([
      ['a', 1500],
      ['b', 500],
    ]),
    settings,
    history: [],
    now: 1e6,
  };
  const flat = { ...uneven, loads: new Map([...uneven.loads.keys()].map((name) => [name, 1000])) };

  it('is off unless it is asked for', () => {
    assert.equal(rebalance({ ...uneven, settings: { ...settings, by: 'off' } }), null);
  });

  it('moves as many buckets as the load asks for, from who has more to who has less', () => {
    // Eight buckets of 187.5 each: 500 too many; two leave 125, which is half of the threshold.
    const next = rebalance(uneven);
    assert.equal(next?.moves.length, 2);
    assert.ok(next.moves.every(({ from, to, at }) => from === 'a' && to === 'b' && at === 1e6));
    assert.deepEqual(
      movedBuckets(allocation, next.allocation),
      next.moves.map(({ bucket }) => bucket).sort((left, right) => left - right),
    );
    assert.equal(next.allocation.epoch, 5);
  });

  it('names weights with which a plan leaves the allocation as it is', () => {
    const next = rebalance(uneven);
    assert.ok(next);
    const effective = members.map(({ name }) => ({ name, weight: next.weights.get(name) ?? 0 }));
    assert.deepEqual(effective, [
      { name: 'a', weight: (2 * 6) / 16 },
      { name: 'b', weight: (2 * 10) / 16 },
    ]);
    const previous = next.allocation;
    assert.equal(plan({ members: effective, buckets: 16, previous }), previous);
  });

  for (const weight of [0.001, 65_535]) {
    it(`names weights that a plan takes, also where all have ${weight}`, () => {
      const next = rebalance({ ...uneven, members: ['a', 'b'].map((name) => ({ name, weight })) });
      assert.ok(next);
      const effective = [...next.weights].map(([name, each]) => ({ name, weight: each }));
      const previous = next.allocation;
      assert.equal(plan({ members: effective, buckets: 16, previous }), previous);
    });
  }

  it('chooses buckets by their own loads where they are known', () => {
    const bucketLoads: number[] = Array.from({ length: 16 }, (_, bucket) =>
      bucket % 2 === 0 ? 150 : 62.5,
    );
    bucketLoads[4] = 450;
    const next = rebalance({ ...uneven, bucketLoads });
    assert.deepEqual(
      next?.moves.map(({ bucket, load }) => [bucket, load]),
      [[4, 450]],
    );
  });

  it('waits where the buckets are right already and the open connections are not', () => {
    const bucketLoads = Array.from({ length: 16 }, () => 125);
    assert.equal(rebalance({ ...uneven, bucketLoads }), null);
  });

  it('waits where the buckets are wrong the other way round than the open connections', () => {
    const bucketLoads = Array.from({ length: 16 }, (_, bucket) => (bucket % 2 === 0 ? 60 : 190));
    assert.equal(rebalance({ ...uneven, bucketLoads }), null);
  });

  it('takes from nobody who has too little today, and gives nobody who has too much', () => {
    const step = (measured: number[], projected: number[]) =>
      rebalance({
        ...uneven,
        members: ['a', 'b', 'c'].map((name) => ({ name, weight: 1 })),
        allocation: {
          epoch: 4,
          names: ['a', 'b', 'c'],
          owners: Uint16Array.from({ length: 48 }, (_, bucket) => bucket % 3),
        },
        loads: new Map(['a', 'b', 'c'].map((name, i) => [name, measured[i] ?? 0])),
        bucketLoads: Array.from({ length: 48 }, (_, bucket) => (projected[bucket % 3] ?? 0) / 16),
      });
    assert.equal(step([1500, 700, 800], [1000, 400, 1600]), null);
    assert.equal(step([1300, 1200, 500], [1600, 400, 1000]), null);
    assert.notEqual(step([1300, 1200, 500], [1600, 1000, 400]), null);
  });

  it('moves nothing while a move of late has not shown in the load', () => {
    const first = rebalance(uneven);
    const after = {
      ...uneven,
      allocation: first?.allocation ?? allocation,
      history: first?.moves ?? [],
    };
    assert.equal(rebalance({ ...after, now: uneven.now + 30_000 }), null);
    assert.notEqual(rebalance({ ...after, now: uneven.now + 300_000 }), null);
  });

  it('lets a bucket rest that has moved', () => {
    const bucketLoads: number[] = Array.from({ length: 16 }, (_, bucket) =>
      bucket % 2 === 0 ? 0 : 62.5,
    );
    // 500 are too many: bucket 4 would be best, then bucket 6.
    bucketLoads[4] = 500;
    bucketLoads[6] = 600;
    bucketLoads[8] = 300;
    bucketLoads[10] = 100;
    const moved = { bucket: 4, from: 'b', to: 'a', at: uneven.now - 120_000, load: 500 };
    const step = (now: number) =>
      rebalance({ ...uneven, bucketLoads, history: [moved], now })?.moves[0]?.bucket;
    assert.equal(step(uneven.now), 6);
    assert.equal(step(moved.at + REBALANCE_MEMORY_MS - 1), 6);
    assert.equal(step(moved.at + REBALANCE_MEMORY_MS), 4);
  });

  it('moves no more than is left of the minute', () => {
    const moved = (at: number, bucket: number): Move => ({
      bucket,
      from: 'x',
      to: 'y',
      at,
      load: 0,
    });
    const history = Array.from({ length: 15 }, (_, i) =>
      moved(uneven.now - 59_999, 1 + 2 * (i % 8)),
    );
    assert.equal(rebalance({ ...uneven, history })?.moves.length, 1);
    const full = [...history, moved(uneven.now - 59_999, 1)];
    assert.equal(rebalance({ ...uneven, history: full }), null);
    assert.equal(rebalance({ ...uneven, history: full, now: uneven.now + 1 })?.moves.length, 2);
  });

  it('takes a difference for chance that could be one', () => {
    const few = new Map([
      ['a', 15],
      ['b', 5],
    ]);
    assert.equal(rebalance({ ...uneven, loads: few }), null);
    assert.equal(rebalance(flat), null);
    const none = new Map(members.map(({ name }) => [name, 0]));
    assert.equal(rebalance({ ...uneven, loads: none }), null);
  });

  it('leaves everybody a quarter of its share, however busy it is', () => {
    const bucketLoads: number[] = Array.from({ length: 16 }, (_, bucket) =>
      bucket % 2 === 0 ? 0.001 : 0,
    );
    bucketLoads[0] = 1500;
    const loads = new Map([
      ['a', 1500],
      ['b', 0],
    ]);
    let current = { ...uneven, loads, bucketLoads };
    for (let round = 0; round < 20; round += 1) {
      const next = rebalance({ ...current, now: current.now + round * REBALANCE_MEMORY_MS });
      if (next) current = { ...current, allocation: next.allocation };
    }
    assert.equal(bucketCounts(current.allocation).get('a'), 2);
  });

  it('does nothing while the load of a member is not known', () => {
    assert.equal(rebalance({ ...uneven, loads: new Map([['a', 1500]]) }), null);
  });

  it('leaves a member of weight 0 out', () => {
    const names = [...members, { name: 'c', weight: 0 }];
    const loads = new Map([...uneven.loads, ['c', 9000]]);
    const next = rebalance({ ...uneven, members: names, loads });
    assert.ok(next && next.moves.length === 2 && next.moves.every(({ to }) => to === 'b'));
    assert.equal(next.weights.get('c'), 0);
  });
});
