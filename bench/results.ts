// What every room of the benches prints and the report reads: figures of subjects that did the same
// thing in turn.
//
// A room is a program. It prints one JSON object on a line of its own for each figure, and anything
// else on standard error. What it could not measure it says as well, with the reason.

/** One thing that was measured, of one subject, over all rounds of one run. */
export interface Figure {
  /** What was done, from the general to the special: `table/hit/1000000`. */
  readonly name: string;
  /** Who did it: `flowsieve`, or the name of a peer. */
  readonly of: string;
  /** `ns`, `us`, `ms`, `s`, `bytes`, `1/s`, `Gbit/s`, `%`, `count` */
  readonly unit: string;
  /** One of each round, in order. The subjects of one name take turns, round by round. */
  readonly values: readonly number[];
  /** What a reader must know to understand it. */
  readonly note?: string;
}

/** A figure that is missing, and why: a peer that is not installed, something not allowed here. */
export interface Missing {
  readonly name: string;
  readonly of: string;
  readonly missing: string;
}

export type Line = Figure | Missing;

/** Where and when results were made. */
export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly compiler: string;
  /** The version of the source; with `+` when files differed from it. */
  readonly commit: string;
  /** ISO 8601 */
  readonly date: string;
  /** Whether it was the short run or the full one. */
  readonly full: boolean;
}

/** What one room measured in one run. */
export interface RoomResults {
  readonly machine: Machine;
  readonly lines: readonly Line[];
}

/** The rooms by their names: each as it was measured last, so not all need be of one run. */
export interface Results {
  readonly rooms: Readonly<Record<string, RoomResults>>;
}

/** The lines of all rooms. */
export function allLines({ rooms }: Results): Line[] {
  return Object.values(rooms).flatMap(({ lines }) => lines);
}

/** True for a figure, false for a missing one. */
export function isFigure(line: Line): line is Figure {
  return 'values' in line;
}

/** The median of a figure's rounds. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/** Writes a line for the one who started this room. */
export function print(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The items of each key, keys and items in the order in which they come first. */
export function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
