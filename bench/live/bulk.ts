// Gbit/s over one TCP connection, with the offloads that veth pairs have: packets of up to 64 KiB.
import { CLUSTER_IPV4 } from '../../lib/cli/demo/cluster.js';
import { print } from '../results.js';
import type { Plan } from './plan.js';
import { ask, command } from './programs.js';
import { BULK_PORT, type Named, SOURCES, type Subject } from './subjects.js';

interface Moved {
  readonly bytes: number;
  readonly seconds: number;
  readonly whole: boolean;
}

const WAYS = { 'live/bulk/download': 'down', 'live/bulk/upload': 'up' } as const;

/** The names of both figures. */
export const BULK = Object.keys(WAYS);

/** What was measured in one round, by the name of the figure. */
export type Bulk = ReadonlyMap<string, number>;

/** Measures what is wanted of both ways, once. */
export async function measureBulk(subject: Subject, plan: Plan): Promise<Bulk> {
  const measured = new Map<string, number>();
  for (const [name, way] of Object.entries(WAYS)) {
    if (plan.wanted(name)) measured.set(name, await move(subject, way, plan.seconds));
  }
  return measured;
}

/** Prints what was measured of one subject in all rounds. */
export function printBulk({ name: of, note }: Named, all: readonly Bulk[]): void {
  for (const name of BULK) {
    const values = all.flatMap((measured) => measured.get(name) ?? []);
    if (values.length === 0) continue;
    print({ name, of, unit: 'Gbit/s', values, ...(note === undefined ? {} : { note }) });
  }
}

async function move(subject: Subject, way: string, seconds: number): Promise<number> {
  const [from = ''] = SOURCES;
  const options = { to: CLUSTER_IPV4, port: BULK_PORT, from, way, seconds };
  const argv = command('bulk_client', options);
  const moved = await ask<Moved>(subject.cluster.lab, 'client', argv);
  if (moved.whole) return (moved.bytes * 8) / moved.seconds / 1e9;
  throw new Error(`Expected the server to count what ${subject.name} brought but it did not.`);
}
