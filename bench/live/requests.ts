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
import { inTurns, type Plan } from './plan.js';
import { type Order, request, type Served, type Subject } from './subjects.js';

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

/** Measures and prints all of it. */
export async function measureRequests(subjects: readonly Subject[], plan: Plan): Promise<void> {
  for (const { name, each, connections } of LOADS) {
    // One at a time on an open connection is the latency as well.
    const timed = each === 'request' && connections === 1;
    if (!plan.wanted(name) && !(timed && plan.wanted('live/latency'))) continue;
    const order = { connections, each, seconds: plan.seconds };
    const all = await inTurns(subjects, plan.rounds, (subject) => load(subject, order));
    for (const [subject, rounds] of all) printRounds(name, subject, rounds, timed);
  }
}

async function load(subject: Subject, order: Order): Promise<Round> {
  const before = cpuNs(subject.pids);
  const served = await request(subject, order);
  const spent = cpuNs(subject.pids) - before + served.cpuNs;
  return { ...served, cpuNsEach: spent / served.total };
}

function printRounds(name: string, subject: Subject, rounds: readonly Round[], timed: boolean) {
  const of = subject.name;
  const figure = (under: string, unit: string, value: (round: Round) => number): void =>
    print({ name: under, of, unit, values: rounds.map(value), note: noteOf(subject, rounds) });
  figure(name, '1/s', (round) => round.answered / round.seconds);
  figure(`${name}/cpu`, 'us', (round) => round.cpuNsEach / 1e3);
  if (!timed) return;
  figure('live/latency', 'us', (round) => round.medianNs / 1e3);
  figure('live/latency/p99', 'us', (round) => round.p99Ns / 1e3);
}

/** Who answered, what failed, and the slowest if it waited for a retransmission. */
function noteOf({ note }: Subject, rounds: readonly Round[]): string {
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
