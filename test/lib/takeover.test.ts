import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type Allocation,
  bucketCounts,
  type Member,
  ownerOf,
  plan,
  planTakeover,
} from '../../lib/allocation/index.js';

/** An allocation written as letters, one for each bucket: a is node-1. */
function allocation(letters: string, names = 4): Allocation {
  return {
    epoch: 7,
    names: Array.from({ length: names }, (_, index) => `node-${index + 1}`),
    owners: Uint16Array.from([...letters], (letter) => letter.charCodeAt(0) - 97),
  };
}

function members(weights: Record<string, number>): Member[] {
  return Object.entries(weights).map(([name, weight]) => ({ name, weight }));
}

const situations = fc
  .record({
    weights: fc.array(
      fc.oneof(fc.integer({ min: 0, max: 9 }), fc.double({ min: 0.1, max: 9, noNaN: true })),
      {
        minLength: 2,
        maxLength: 7,
      },
    ),
    owners: fc.array(fc.nat(6), { minLength: 16, maxLength: 300 }),
    dying: fc.nat(2 ** 7 - 1),
  })
  .map(({ weights, owners, dying }) => {
    const names = weights.map((_, index) => `node-${index + 1}`);
    const previous: Allocation = {
      epoch: 3,
      names,
      owners: Uint16Array.from(owners, (owner) => owner % names.length),
    };
    const dead = names.filter((_, index) => ((dying >> index) & 1) === 1);
    const living = names.flatMap((name, index) =>
      dead.includes(name) ? [] : [{ name, weight: weights[index] ?? 0 }],
    );
    return { previous, dead, living };
  })
  .filter(({ living }) => living.some(({ weight }) => weight > 0));

/**
 * What everybody would have if buckets were a liquid poured on top of what the living hold: up
 * to one level for each unit of weight. Found by halving, which knows nothing of the plan.
 */
function level(living: readonly Member[], held: ReadonlyMap<string, number>, total: number) {
  const filled = (height: number): number =>
    living.reduce(
      (sum, { name, weight }) => sum + Math.max(held.get(name) ?? 0, height * weight),
      0,
    );
  let low = 0;
  let high = 1e6;
  for (let round = 0; round < 100; round += 1) {
    const middle = (low + high) / 2;
    if (filled(middle) > total) high = middle;
    else low = middle;
  }
  return low;
}

describe('planning a takeover', () => {
  it('gives every bucket of the dead to the living, and moves none between them', () => {
    fc.assert(
      fc.property(situations, ({ previous, dead, living }) => {
        const next = planTakeover(previous, dead, living);
        for (const bucket of previous.owners.keys()) {
          const before = ownerOf(previous, bucket);
          const after = ownerOf(next, bucket);
          if (dead.includes(before)) assert.ok(living.some(({ name }) => name === after));
          else assert.equal(after, before);
        }
      }),
      { numRuns: 300, endOnFailure: true },
    );
  });

  it('fills the living up to one level, as if the buckets were a liquid', () => {
    fc.assert(
      fc.property(situations, ({ previous, dead, living }) => {
        const held = bucketCounts(previous);
        const next = bucketCounts(planTakeover(previous, dead, living));
        const height = level(living, held, previous.owners.length);
        for (const { name, weight } of living) {
          const exact = Math.max(held.get(name) ?? 0, height * weight);
          assert.ok(Math.abs((next.get(name) ?? 0) - exact) < 1 + 1e-6, `${name}: ${exact}`);
        }
      }),
      { numRuns: 300, endOnFailure: true },
    );
  });

  it('does not depend on the order of the members', () => {
    fc.assert(
      fc.property(situations, ({ previous, dead, living }) => {
        const turned = planTakeover(previous, [...dead].reverse(), [...living].reverse());
        assert.deepEqual(turned, planTakeover(previous, dead, living));
      }),
    );
  });

  it('leaves the shares equal where they were equal', () => {
    const previous = plan({
      members: members({ 'node-1': 1, 'node-2': 1, 'node-3': 1, 'node-4': 1 }),
      buckets: 256,
    });
    const living = members({ 'node-1': 1, 'node-2': 1, 'node-4': 1 });
    const counts = bucketCounts(planTakeover(previous, ['node-3'], living));
    assert.deepEqual(
      [...counts.values()].sort((a, b) => a - b),
      [0, 85, 85, 86],
    );
  });

  it('gives nothing to who has more than its share already', () => {
    const previous = allocation('aaaaaaaaaabbcccc');
    const living = members({ 'node-1': 1, 'node-2': 1 });
    const counts = bucketCounts(planTakeover(previous, ['node-3'], living));
    assert.deepEqual([counts.get('node-1'), counts.get('node-2')], [10, 6]);
  });

  it('gives nothing to who drains, and leaves it what it has not handed over yet', () => {
    const previous = allocation('aabbcccc');
    const living = members({ 'node-1': 0, 'node-2': 1, 'node-4': 1 });
    const counts = bucketCounts(planTakeover(previous, ['node-3'], living));
    assert.deepEqual([...counts.values()], [2, 3, 0, 3]);
  });

  it('takes members that have no bucket yet, and keeps every name at its index', () => {
    const previous = allocation('abab', 2);
    const next = planTakeover(previous, ['node-1'], members({ 'node-9': 1, 'node-2': 1 }));
    assert.deepEqual(next.names, ['node-1', 'node-2', 'node-9']);
    assert.equal(bucketCounts(next).get('node-9'), 2);
    assert.equal(next.epoch, 8);
    assert.deepEqual(previous.owners, allocation('abab').owners);
  });

  it('leaves buckets alone whose owner is neither dead nor a member', () => {
    const next = planTakeover(allocation('abcd'), ['node-1'], members({ 'node-2': 1 }));
    assert.deepEqual([...next.owners], [1, 1, 2, 3]);
  });

  it('changes nothing, not even the epoch, when the dead have nothing', () => {
    const previous = allocation('abab');
    assert.equal(planTakeover(previous, ['node-3'], members({ 'node-1': 1 })), previous);
    assert.equal(planTakeover(previous, [], members({ 'node-1': 1 })), previous);
  });

  it('counts nobody as living who is dead', () => {
    const both = members({ 'node-1': 1, 'node-2': 1 });
    assert.deepEqual([...planTakeover(allocation('abab'), ['node-2'], both).owners], [0, 0, 0, 0]);
  });

  it('refuses when nobody is left to have them', () => {
    const refused = { code: 'FLOWSIEVE_ARGUMENT' };
    assert.throws(() => planTakeover(allocation('abab'), ['node-1'], []), refused);
    const weightless = members({ 'node-2': 0 });
    assert.throws(() => planTakeover(allocation('abab'), ['node-1'], weightless), refused);
  });
});
