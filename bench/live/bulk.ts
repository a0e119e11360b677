// Gbit/s over one TCP connection, with the offloads that veth pairs have: packets of up to 64 KiB.
import { CLUSTER_IPV4 } from '../../lib/cli/demo/cluster.js';
import { print } from '../results.js';
import { inTurns, type Plan } from './plan.js';
import { ask, command } from './programs.js';
import { BULK_PORT, SOURCES, type Subject } from './subjects.js';

interface Moved {
  readonly bytes: number;
  readonly seconds: number;
  readonly whole: boolean;
}

/** Measures and prints both ways. */
export async function measureBulk(subjects: readonly Subject[], plan: Plan): Promise<void> {
  for (const [name, way] of [
    ['live/bulk/download', 'down'],
    ['live/bulk/upload', 'up'],
  ] as const) {
    if (!plan.wanted(name)) continue;
    const all = await inTurns(subjects, plan.rounds, (subject) => move(subject, way, plan.seconds));
    for (const [{ name: of, note }, values] of all) {
      print({ name, of, unit: 'Gbit/s', values, ...(note === undefined ? {} : { note }) });
    }
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
