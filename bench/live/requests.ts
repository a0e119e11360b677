// Requests per second, the time of one, and the CPU time of one.
//
//   live/requests/keepalive/C    C connections, one request at a time on each
//   live/requests/connection/C   a connection of its own for each request
//   …/cpu                        CPU time of client, servers and daemons together, per request: on a
//                                machine that all of them share it is what decides the rate, and
//                                it bears other load better
//   live/latency                 one request at a time on one connection
import { print } from '../results.js';
import { cpuNs } from './cpu.js';
import type { Plan } from './plan.js';
import { type Named, type Order, request, type Served, type Subject } from './subjects.js';

const CONNECTIONS = [1, 64, 512];

interface Round extends Served {
  /** Per request, all processes of the subject and the client together. */
  readonly cpuNsEach: number;
}

const LOADS = (['request', 'connection'] as const).flatMap((each) =>
  CONNECTIONS.map((connections) => {
    const kind = each === 'request' ? 'keepalive' : 'connection';
    return { name: `live/requests/${kind}/${connections}`, each, connections };
  }),
);

/** The names of all rates. */
export const REQUESTS: readonly string[] = LOADS.map(({ name }) => name);

/** The load whose requests are timed one by one: one at a time on an open connection. */
const TIMED = 'live/requests/keepalive/1';

/** What was measured in one round, by the name of the rate. */
export type Requests = ReadonlyMap<string, Round>;

/** Measures what is wanted of it, once. */
export async function measureRequests(subject: Subject, plan: Plan): Promise<Requests> {
  const measured = new Map<string, Round>();
  for (const { name, each, connections } of LOADS) {
    if (!plan.wanted(name) && !(name === TIMED && plan.wanted('live/latency'))) continue;
    measured.set(name, await load(subject, { connections, each, seconds: plan.seconds }));
  }
  return measured;
}

/** Prints what was measured of one subject in all rounds. */
export function printRequests(subject: Named, all: readonly Requests[]): void {
  for (const { name } of LOADS) {
    const rounds = all.flatMap((measured) => measured.get(name) ?? []);
    if (rounds.length > 0) printRounds(name, subject, rounds);
  }
}

async function load(subject: Subject, order: Order): Promise<Round> {
  const before = cpuNs(subject.pids);
  const served = await request(subject, order);
  const spent = cpuNs(subject.pids) - before + served.cpuNs;
  return { ...served, cpuNsEach: spent / served.total };
}

function printRounds(name: string, subject: Named, rounds: readonly Round[]) {
  const of = subject.name;
  const figure = (under: string, unit: string, value: (round: Round) => number): void =>
    print({ name: under, of, unit, values: rounds.map(value), note: noteOf(subject, rounds) });
  figure(name, '1/s', (round) => round.answered / round.seconds);
  figure(`${name}/cpu`, 'us', (round) => round.cpuNsEach / 1e3);
  if (name !== TIMED) return;
  figure('live/latency', 'us', (round) => round.medianNs / 1e3);
  figure('live/latency/p99', 'us', (round) => round.p99Ns / 1e3);
}

/** Who answered, what failed, and the slowest if it waited for a retransmission. */
function noteOf({ note }: Named, rounds: readonly Round[]): string {
  const shares = Object.entries(sum(rounds.map((round) => round.nodes)));
  const answered = `answered ${shares.map(([node, count]) => `${node} ${count}`).join(', ')}`;
  const failed = Object.entries(sum(rounds.map((round) => round.failures)));
  const failures = failed.map(([why, count]) => `FAILED ${count} (${why})`);
  const slowest = Math.max(...rounds.map((round) => round.slowestNs)) / 1e6;
  const slow = slowest < 200 ? [] : [`slowest ${slowest.toFixed(0)} ms`];
  return [...failures, ...slow, answered, ...(note === undefined ? [] : [note])].join('; ');
}

function sum(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const counts of all) {
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}
