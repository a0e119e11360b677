import assert from 'node:assert/strict';
import { type SimulationOptions, simulate } from '../../lib/simulate/index.js';
import type { Scenario } from '../../lib/simulate/scenario.js';
import { Simulation } from '../../lib/simulate/simulation.js';

// The cluster protocol, seed by seed: each is a cluster with its clients, changes and faults, and a
// judge that sees all nodes at once (lib/simulate). More of them:
//
//   FLOWSIEVE_SEEDS=20000 FLOWSIEVE_FIRST_SEED=5000 npx mocha dist/test/sim/seeds.test.js
//
// FLOWSIEVE_PLANE=twin puts the workers' plain twin in their place: what fails with the one and not
// with the other is the data plane's, and not the protocol's.

const FIRST = Number(process.env['FLOWSIEVE_FIRST_SEED'] ?? 1);
const SEEDS = Number(process.env['FLOWSIEVE_SEEDS'] ?? 2000);
const PLANE = process.env['FLOWSIEVE_PLANE'] === 'twin' ? 'twin' : 'native';
const BLOCK = 100;

function failures(
  first: number,
  count: number,
  options: Omit<SimulationOptions, 'seed'>,
): string[] {
  const failed: string[] = [];
  for (let seed = first; seed < first + count; seed += 1) {
    const { ok, violations } = simulate({ seed, ...options });
    if (ok) continue;
    const replay = `flowsieve simulate --seed ${seed} --trace`;
    failed.push([`seed ${seed}, step by step with ${replay}:`, ...violations].join('\n  '));
  }
  return failed;
}

describe('simulated clusters', () => {
  for (let first = FIRST; first < FIRST + SEEDS; first += BLOCK) {
    const count = Math.min(BLOCK, FIRST + SEEDS - first);
    it(`keep every invariant with the seeds from ${first} to ${first + count - 1}`, function () {
      this.timeout(count * 5000);
      const failed = failures(first, count, { plane: PLANE });
      assert.equal(failed.length, 0, `\n${failed.join('\n')}`);
    });
  }
});

describe('a simulated node', () => {
  it('comes back although its clock of the day was set back', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 10; seed += 1) {
      const simulation = new Simulation({ seed, plane: PLANE, nodes: 3, faults: false });
      simulation.form();
      const [host] = simulation.hosts;
      host?.stop('it crashed');
      Object.assign(host ?? {}, { dayShift: -3_600_000 });
      simulation.run(simulation.queue.now + 1000);
      host?.start();
      const back = (): boolean => host?.process?.state().state === 'member';
      assert.ok(simulation.run(simulation.queue.now + 3000, back), `seed ${seed}`);
    }
  });
});

describe('two simulated nodes with quorum paths', () => {
  const paths = (scenario: Scenario): Scenario => ({ ...scenario, quorum: 'paths' });

  it('both go on when they are cut apart, and are one cluster again afterwards', function () {
    this.timeout(300_000);
    let split = 0;
    for (let seed = 1; seed <= 100; seed += 1) {
      const options = { seed, plane: PLANE, nodes: 2, faults: true, scenario: paths } as const;
      const { violations, excused } = simulate(options);
      assert.deepEqual(violations, [], `seed ${seed}`);
      split += excused.split;
    }
    assert.ok(split > 100, 'they were hardly ever apart');
  });

  it('go on alone when the other one has crashed for good', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 20; seed += 1) {
      const simulation = new Simulation({
        seed,
        plane: PLANE,
        nodes: 2,
        faults: false,
        scenario: paths,
      });
      simulation.form();
      const [lost, left] = simulation.hosts;
      lost?.stop('it crashed');
      simulation.run(simulation.queue.now + 1500);
      const state = left?.process?.state();
      const owners = new Set(state?.view?.allocation.owners);
      const names = [...owners].map((owner) => state?.view?.allocation.names[owner]);
      assert.deepEqual(names, [left?.name], `seed ${seed}`);
      assert.ok(
        (left?.process?.openUntil ?? 0) > (left?.process?.now ?? 0),
        `seed ${seed}: no lease`,
      );
    }
  });
});
