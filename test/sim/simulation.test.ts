import assert from 'node:assert/strict';
import { simulate } from '../../lib/simulate/index.js';
import { pairedPlane } from './paired.js';

function traced(seed: number): string[] {
  const lines: string[] = [];
  simulate({ seed, trace: (line) => lines.push(line) });
  return lines;
}

describe('a simulation', () => {
  it('is the same for the same seed, to the last line of its trace', function () {
    this.timeout(60_000);
    for (const seed of [8, 12, 18]) assert.deepEqual(traced(seed), traced(seed));
  });

  it('is the same whether or not somebody reads along', function () {
    this.timeout(60_000);
    for (const seed of [6, 7]) {
      assert.deepEqual(simulate({ seed }), simulate({ seed, trace: () => undefined }));
    }
  });

  it('is another one for another seed', function () {
    this.timeout(60_000);
    assert.notDeepEqual(traced(8), traced(9));
  });

  it('answers openings, changes the allocation, and breaks what faults break', function () {
    this.timeout(120_000);
    const results = Array.from({ length: 30 }, (_, i) => simulate({ seed: 100 + i }));
    const sum = (of: (result: (typeof results)[number]) => number): number =>
      results.reduce((total, result) => total + of(result), 0);
    assert.ok(sum((result) => result.openings) > 5000);
    assert.ok(sum((result) => result.transitions) > 100);
    assert.ok(sum((result) => result.excused.reset) > 50);
    assert.equal(new Set(results.map(({ faultless }) => faultless)).size, 2);
  });
});

describe('the live worker and its plain twin', () => {
  it('deliver the same packets and keep the same tables', function () {
    this.timeout(600_000);
    for (let seed = 1; seed <= 60; seed += 1) {
      const differences: string[] = [];
      simulate({ seed, plane: (options) => pairedPlane(options, differences) });
      assert.deepEqual(differences.slice(0, 3), [], `seed ${seed}`);
    }
  });
});
