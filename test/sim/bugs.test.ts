import assert from 'node:assert/strict';
import { simulate } from '../../lib/simulate/index.js';
import type { Plane, PlaneOptions } from '../../lib/simulate/plane.js';
import { TwinPlane } from '../../lib/simulate/twin.js';
import { BUGS } from './bugs.js';

// The proof that the simulator sees what it is there to see: each of these bugs, put around the
// real core or a data plane, fails one of so many seeds that pass without it.
const SEEDS_MAX = 150;

const base = (options: PlaneOptions): Plane => new TwinPlane(options);

function firstFailure(make: (typeof BUGS)[number]['make']): number | undefined {
  for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
    const found = !simulate({ seed, ...make(base) }).ok;
    if (found && simulate({ seed, plane: base }).ok) return seed;
  }
  return undefined;
}

describe('the simulator finds out when', () => {
  for (const { name, make } of BUGS) {
    it(name, function () {
      this.timeout(120_000);
      assert.notEqual(firstFailure(make), undefined, `${SEEDS_MAX} seeds found nothing`);
    });
  }
});
