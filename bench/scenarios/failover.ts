// From the death of a node until all others decide by a view in which its buckets have other
// owners: the cluster's own core, in the deterministic simulator. The time is simulated: it is what
// the protocol waits for on clocks and on a network with a delay, not what a processor needs.

import type { Host } from '../../lib/simulate/hosts.js';
import { NativePlane } from '../../lib/simulate/native.js';
import { Random } from '../../lib/simulate/random.js';
import { Simulation } from '../../lib/simulate/simulation.js';
import { type Asked, premise } from '../js/room.js';
import { median, print } from '../results.js';

/** Of a configuration that does not say otherwise, in milliseconds. */
const TIMING = { heartbeat: 100, failAfter: 300, guard: 5 } as const;
const WAIT_MS_MAX = 10_000;

/** Who dies: one that leads the others or one that does not. */
export type Victim = 'member' | 'coordinator';

/** A cluster that has formed, and in which nothing fails but what is made to. */
function formed(seed: number, nodes: number, planes: NativePlane[]): Simulation {
  const simulation = new Simulation({
    seed,
    nodes,
    faults: false,
    plane: (options) => {
      const plane = new NativePlane(options);
      planes.push(plane);
      return plane;
    },
    scenario: (scenario) => ({
      ...scenario,
      starters: nodes,
      quorum: 'majority',
      timing: TIMING,
      buckets: 64,
    }),
  });
  simulation.form();
  return simulation;
}

/** How many buckets a node decides by have this owner; -1: it decides by nothing yet. */
function bucketsOf({ process }: Host, name: string): number {
  const view = process?.installed;
  if (!view) return -1;
  const { names, owners } = view.allocation;
  return owners.filter((owner) => names[owner] === name).length;
}

/** Simulated milliseconds of one failover. */
function failover(seed: number, nodes: number, victim: Victim): number {
  const planes: NativePlane[] = [];
  try {
    const simulation = formed(seed, nodes, planes);
    const { hosts, queue } = simulation;
    // Not always at the same moment between two heartbeats.
    simulation.run(queue.now + new Random(seed).between(500, 700));
    const leads = ({ process }: Host): boolean => process?.state().coordinating === true;
    const dying = hosts.find((host) => leads(host) === (victim === 'coordinator')) as Host;
    const living = hosts.filter((host) => host !== dying);
    premise(
      hosts.every((host) => bucketsOf(host, dying.name) > 0),
      'all know that the dying node has buckets',
    );
    const begin = queue.now;
    dying.stop('it crashed');
    const isOver = (): boolean => living.every((host) => bucketsOf(host, dying.name) === 0);
    while (!isOver()) {
      premise(queue.now - begin < WAIT_MS_MAX, 'the others take over');
      simulation.run(queue.now + 1);
    }
    return queue.now - begin;
  } finally {
    for (const plane of planes) plane.close();
  }
}

export function failovers({ full }: Asked, name: string, victim: Victim): void {
  const seeds = full ? 200 : 30;
  for (const nodes of [3, 5]) {
    const values: number[] = [];
    for (let seed = 1; seed <= seeds; seed += 1) values.push(failover(seed, nodes, victim));
    const largest = Math.max(...values);
    const timing = `heartbeat ${TIMING.heartbeat} ms, failAfter ${TIMING.failAfter} ms`;
    const range = `median ${median(values).toFixed(0)}, largest ${largest.toFixed(0)}`;
    const note = `simulated time, one value for each of ${seeds} seeds: ${range}; ${timing}`;
    print({ name: `${name}/${nodes}`, of: 'flowsieve', unit: 'ms', values, note });
  }
}
