// What a packet costs a node that it does not belong to, in nanoseconds of CPU time: every node
// but one pays it for every packet of the cluster. How it is measured: flood.ts.
//
//   live/foreign           at a moderate pace: a worker is woken often
//   live/foreign/unpaced   as fast as one thread sends: bursts are large
//
// Of `none`, which has no foreign nodes, it is what the same packet costs a plain kernel that has
// no use for it: the cable and the beginning of the stack, a floor for the others.
import { print } from '../results.js';
import type { Foreign, Pace } from './flood.js';
import { inTurns, type Plan } from './plan.js';
import { isOurs } from './subjects.js';

const MODERATE = 100_000;

interface Cost {
  readonly allNs: number;
  readonly processesNs: number;
  readonly wakes: number;
}

/** Measures and prints it. */
export async function measureForeign(foreigners: readonly Foreign[], plan: Plan): Promise<void> {
  for (const { name, rate } of [
    { name: 'live/foreign', rate: MODERATE },
    { name: 'live/foreign/unpaced', rate: 0 },
  ]) {
    if (!plan.wanted(name)) continue;
    const pace = { packets: plan.packets / 2, rate };
    const all = await inTurns(foreigners, plan.rounds, (foreign) => difference(foreign, pace));
    for (const [foreign, rounds] of all) {
      const values = rounds.map((one) => one.allNs);
      print({ name, of: foreign.subject.name, unit: 'ns', values, note: noteOf(foreign, rounds) });
    }
  }
}

/** Per packet: with the node's cable in the switch minus without; A B B A, against drifts. */
async function difference(foreign: Foreign, pace: Pace): Promise<Cost> {
  const cost = { allNs: 0, processesNs: 0, wakes: 0 };
  for (const plugged of [true, false, false, true]) {
    const flood = await foreign.flood(pace, plugged);
    const share = (plugged ? 0.5 : -0.5) / flood.sent;
    cost.allNs += share * flood.allNs;
    cost.processesNs += share * flood.processesNs;
    cost.wakes += share * flood.wakes;
  }
  return cost;
}

function noteOf({ subject }: Foreign, rounds: readonly Cost[]): string {
  if (subject.name === 'none') return 'a kernel that has no use for the packet';
  if (!isOurs(subject)) {
    return subject.note ?? 'dropped by the rule, after connection tracking';
  }
  const inDaemon = rounds.map((one) => one.processesNs.toFixed(0)).join(', ');
  const wakes = rounds.map((one) => one.wakes.toFixed(2)).join(', ');
  return `of it in the daemon ${inDaemon}; it was woken ${wakes} times per packet`;
}
