// A table that is full: what a packet costs, what is refused, what gives its place, and that no
// single operation takes long, however it ends.
//
// The node owns nothing, so nothing is delivered and no Buffer made: deciding is what is measured.
// A burst is 32 packets, as the live path decides them; only the turn is timed. By the clock the
// slowest burst of a run is the one in which somebody else had the processor. But every round
// begins with the same table and has the same packets, so its bursts do the same work, one by one:
// of each burst the least time of all rounds is told, and of those the longest.
import { Random } from '../../lib/simulate/random.js';
import { Engine, establish, ownersInTurn } from '../js/engine.js';
import { crowd, type Flag } from '../js/frames.js';
import { type Asked, premise } from '../js/room.js';
import { print } from '../results.js';

const CAPACITY = 65_536;
const BURST = 32;
const BYSTANDER = 2;
const ROUNDS = 5;

type Packet = readonly [connection: number, flag: Flag];

/** What comes to a table, and what must have happened to it. */
interface Traffic {
  readonly name: string;
  readonly note: string;
  /** Connections that are there at first, and how many of them have closed. */
  readonly there: number;
  readonly closed?: number;
  /** The node's clock goes on by so much with each burst: what has closed leaves after 20 s. */
  readonly burstMs?: number;
  /** The packet with this number. */
  packet(number: number, random: Random): Packet;
  /** What counts the packets that met what the name says, and which part of all must have. */
  readonly counter: string;
  readonly least: number;
}

/** The place in the crowd where connections begin that nobody knows yet. */
const UNKNOWN = 10 * CAPACITY;

function anyOpen(random: Random): number {
  return crowd(random.below(CAPACITY));
}

/** Every second packet opens a connection, the next one closes it. */
function openAndClose(number: number): Packet {
  return [crowd(UNKNOWN + (number >> 1)), number % 2 === 0 ? 'syn' : 'fin'];
}

const TRAFFIC: readonly Traffic[] = [
  {
    name: 'known',
    note: 'packets of open connections',
    there: CAPACITY,
    packet: (_, random) => [anyOpen(random), 'ack'],
    counter: 'class4',
    least: 1,
  },
  {
    name: 'half',
    note: 'for comparison, half empty: every second packet opens a connection, the next closes it',
    there: CAPACITY / 2,
    burstMs: 50,
    packet: openAndClose,
    counter: 'opened',
    least: 0.5,
  },
  {
    name: 'refused',
    note: 'SYNs, when all places have established connections: decided, not entered',
    there: CAPACITY,
    packet: (number) => [crowd(UNKNOWN + number), 'syn'],
    counter: 'fullUntracked',
    least: 1,
  },
  {
    name: 'evicting',
    note: 'every second packet opens a connection in the place of one that has closed, 10 % have',
    there: CAPACITY,
    closed: CAPACITY / 10,
    packet: openAndClose,
    counter: 'evicted',
    least: 0.499,
  },
  {
    name: 'searching',
    note: 'SYNs, when one place in thousands may be given away: the longest look for it',
    there: CAPACITY,
    packet: (number, random) =>
      number % 512 === 0 ? [anyOpen(random), 'fin'] : [crowd(UNKNOWN + number), 'syn'],
    counter: 'fullUntracked',
    least: 0.9,
  },
];

/** A table with what is to be there. */
function filled({ there, closed = 0 }: Traffic): Engine {
  const owners = ownersInTurn(256, BYSTANDER);
  const engine = new Engine({ self: BYSTANDER, owners, capacity: CAPACITY });
  establish(
    engine,
    Array.from({ length: there }, (_, place) => crowd(place)),
  );
  for (let place = 0; place < Math.floor(closed); place += 1) engine.push(crowd(place), 'fin');
  engine.turn();
  const sizes = engine.node.snapshot()[0]?.sizes;
  premise(
    sizes?.others === there && sizes.closing === Math.floor(closed),
    'every place that is to be taken is taken',
  );
  return engine;
}

/** The microseconds of each burst. */
function measure(engine: Engine, traffic: Traffic, bursts: number): Float64Array {
  const { burstMs = 0 } = traffic;
  const random = new Random(1);
  const times = new Float64Array(bursts);
  let number = 0;
  for (let burst = 0; burst < bursts; burst += 1) {
    if (burstMs > 0) engine.age(burst * burstMs);
    for (let i = 0; i < BURST; i += 1) engine.push(...traffic.packet(number++, random));
    const begin = performance.now();
    engine.turn();
    times[burst] = (performance.now() - begin) * 1000;
  }
  return times;
}

function printTimes(name: string, rounds: readonly Float64Array[], note: string): void {
  const of = 'flowsieve';
  const bursts = rounds[0]?.length ?? 0;
  const means = rounds.map((times) => {
    return (times.reduce((sum, us) => sum + us, 0) * 1000) / bursts / BURST;
  });
  print({ name, of, unit: 'ns', values: means, note });
  const least = Float64Array.from({ length: bursts }, (_, burst) => {
    return Math.min(...rounds.map((times) => times[burst] ?? Number.POSITIVE_INFINITY));
  });
  const sorted = least.toSorted();
  const late = sorted[Math.floor(0.9999 * bursts)] ?? Number.NaN;
  const longest = sorted.at(-1) ?? Number.NaN;
  const each = `each the least of ${rounds.length} rounds`;
  const burst = `a burst of ${BURST} packets, of ${bursts}; ${each}`;
  print({ name: `${name}/p99.99`, of, unit: 'us', values: [late], note: burst });
  print({ name: `${name}/longest`, of, unit: 'us', values: [longest], note: burst });
}

/** One kind of traffic, round by round; the times, and what was counted in the last one. */
function rounds(traffic: Traffic, bursts: number): { times: Float64Array[]; counted: number } {
  const { counter, least, name } = traffic;
  const times: Float64Array[] = [];
  let counted = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const engine = filled(traffic);
    const before = engine.count(counter);
    times.push(measure(engine, traffic, bursts));
    counted = engine.count(counter) - before;
    const enough = least * bursts * BURST;
    premise(counted >= enough, `${name} counts ${enough} packets, not ${counted}`);
    engine.node.close();
  }
  return { times, counted };
}

export function full(asked: Asked, name: string): void {
  const bursts = asked.full ? 100_000 : 20_000;
  for (const traffic of TRAFFIC) {
    const { times, counted } = rounds(traffic, bursts);
    const note = `${traffic.note}; ${traffic.counter} ${counted} of ${bursts * BURST} packets`;
    printTimes(`${name}/${traffic.name}`, times, note);
  }
}
