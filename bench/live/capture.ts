// Reading a flood of small frames into a process, one frame at a time.
//
//   live/capture            ns of the reading process's CPU time per frame, its system calls
//                           included, at a moderate pace
//   live/capture/unpaced    the same, as fast as one thread sends
//   live/capture/lost       % of the frames that the reader was not given, moderate
//   live/capture/lost/unpaced
//
// What the process uses when there is nothing to read is taken off. What the kernel does to put a
// frame into a ring runs in the sender (cpu.ts) and is not in it: it is the same for all of them.
// flowsieve also decides every frame, in a table of connections; the others only count.
import { print } from '../results.js';
import type { Foreign, Pace } from './flood.js';
import { inTurns, type Plan } from './plan.js';
import { capReader, flowsieveReader, type Kind, libpcapReader, type Reader } from './readers.js';

const RATE = 100_000;
/** As fast as one thread sends. */
const UNPACED = 0;

interface Read {
  readonly eachNs: number;
  readonly lostPercent: number;
}

interface Round {
  readonly moderate: Read;
  readonly unpaced: Read;
}

/** Measures and prints all of it, at flowsieve's foreign node and at one without a cluster. */
export async function measureCapture(
  flowsieve: Foreign,
  plain: Foreign,
  plan: Plan,
): Promise<void> {
  if (!plan.wanted('live/capture')) return;
  const kinds = [
    flowsieveReader(flowsieve),
    libpcapReader(plain, true),
    libpcapReader(plain, false),
    capReader(plain),
  ];
  for (const { name: of, missing } of kinds) {
    if (missing !== undefined) print({ name: 'live/capture', of, missing });
  }
  const here = kinds.filter((kind) => kind.missing === undefined);
  const all = await inTurns(here, plan.rounds, (kind) => measure(kind, plan.packets));
  for (const [kind, rounds] of all) printRounds(kind, rounds);
}

async function measure(kind: Kind, packets: number): Promise<Round> {
  const reader = await kind.start();
  try {
    const idle = await kind.foreign.flood({ packets, rate: RATE }, false, reader.pids);
    const idleNs = idle.processesNs / idle.seconds;
    const moderate = await readFlood(kind, reader, { packets, rate: RATE }, idleNs);
    const unpaced = await readFlood(kind, reader, { packets, rate: UNPACED }, idleNs);
    return { moderate, unpaced };
  } finally {
    await reader.stop();
  }
}

async function readFlood(
  { foreign }: Kind,
  reader: Reader,
  pace: Pace,
  idleNsPerSecond: number,
): Promise<Read> {
  const before = await reader.read();
  const flood = await foreign.flood(pace, true, reader.pids);
  // Of what is still queued, the CPU time is in no figure; a reader that is late has lost it.
  const read = (await reader.read()) - before;
  const spentNs = flood.processesNs - idleNsPerSecond * flood.seconds;
  return { eachNs: spentNs / read, lostPercent: Math.max(0, 100 * (1 - read / flood.sent)) };
}

function printRounds({ name: of }: Kind, rounds: readonly Round[]): void {
  const figure = (name: string, unit: string, value: (round: Round) => number): void =>
    print({ name, of, unit, values: rounds.map(value) });
  figure('live/capture', 'ns', ({ moderate }) => moderate.eachNs);
  figure('live/capture/unpaced', 'ns', ({ unpaced }) => unpaced.eachNs);
  figure('live/capture/lost', '%', ({ moderate }) => moderate.lostPercent);
  figure('live/capture/lost/unpaced', '%', ({ unpaced }) => unpaced.lostPercent);
}
