// Subjects that do the same thing, measured in turn by the package `benchmark`.
//
// One trial is a run of the package, which finds out how many calls make a time that its clock can
// see. In every round each subject has one trial, so that whatever the machine does besides meets
// all of them.
import Benchmark from 'benchmark';
import { print } from '../results.js';
import type { Asked } from './room.js';

/** Who does it, and one call of it. */
export interface Subject {
  readonly of: string;
  readonly call: () => void;
  readonly note?: string;
}

/** What is done. */
export interface Trials {
  readonly name: string;
  /** What one call does so many times: packets of a batch, records of a block. */
  readonly each?: number;
  readonly unit?: 'ns' | 'us';
  readonly note?: string;
}

const UNITS_PER_SECOND = { ns: 1e9, us: 1e6 } as const;

/** How many rounds, and how many seconds a trial samples, at least. */
export function effort({ full }: Asked): { rounds: number; seconds: number } {
  return full ? { rounds: 10, seconds: 1 } : { rounds: 5, seconds: 0.2 };
}

/** Seconds of one call: the mean of a trial. */
function trial(call: () => void, seconds: number): number {
  // A function of this package's kind, without set-up and teardown, is called and not decompiled:
  // what it closes over stays in its reach.
  const bench = new Benchmark(call, { async: false, minSamples: 3, maxTime: seconds });
  bench.run();
  // The declarations know nothing of what becomes of an error.
  const { error } = bench as unknown as { error?: Error };
  if (error) throw error;
  return bench.stats.mean;
}

/** Measures the subjects in turn and prints a line for each. */
export function inTurn(asked: Asked, trials: Trials, subjects: readonly Subject[]): void {
  const { name, each = 1, unit = 'ns', note } = trials;
  const { rounds, seconds } = effort(asked);
  const values = subjects.map((): number[] => []);
  // Until everything is compiled and every page has been touched.
  for (const { call } of subjects) trial(call, seconds / 2);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, { call }] of subjects.entries()) {
      values[index]?.push((trial(call, seconds) * UNITS_PER_SECOND[unit]) / each);
    }
  }
  for (const [index, subject] of subjects.entries()) {
    const said = [note, subject.note].filter((text) => text !== undefined).join('; ');
    print({
      name,
      of: subject.of,
      unit,
      values: values[index] ?? [],
      ...(said === '' ? {} : { note: said }),
    });
  }
}
