import { addon, type NativeCounters } from './addon.js';

/** Every list of words that the native rooms and the layers above share. */
export const vocabulary = addon.vocabulary();

/** Counters by name. */
export type Counts = Record<string, number>;

/** What a worker, or several together, have counted. */
export interface NamedCounters {
  counters: Counts;
  /** Drop reasons that occurred. */
  drops: Counts;
}

/**
 * Adds up the counters of several workers and names them; of the drop reasons only
 * those that occurred.
 */
export function nameCounters(all: readonly NativeCounters[]): NamedCounters {
  const counters: Counts = {};
  vocabulary.counters.forEach(({ name }, i) => {
    counters[name] = sum(all, (each) => each.counts[i]);
  });
  const drops: Counts = {};
  vocabulary.drops.forEach(({ name }, i) => {
    const dropped = sum(all, (each) => each.drops[i]);
    if (dropped > 0) drops[name] = dropped;
  });
  return { counters, drops };
}

/**
 * The six classes of the decision, `'1'` to `'6'`; those that did not occur are left
 * out unless `all`.
 */
export function classesOf(counters: Counts, all: boolean): Counts {
  const classes: Counts = {};
  for (let each = 1; each <= 6; each += 1) {
    const count = counters[`class${each}`] ?? 0;
    if (all || count > 0) classes[each] = count;
  }
  return classes;
}

function sum(
  all: readonly NativeCounters[],
  pick: (counters: NativeCounters) => number | undefined,
): number {
  return all.reduce((total, each) => total + (pick(each) ?? 0), 0);
}
