// Broken connections while servers come and go, with the workload and beside the figures that
// others have published (../shared/churn).
//
// As there: 468 servers; connections arrive as a Poisson process at the rate target / mean
// duration, from none on, and live for a drawn duration; servers are removed as a Poisson process,
// one rate for all together, and come back after a drawn downtime. A connection is broken when a
// change of the servers makes one of its later packets reach another server.
//
// What those simulations leave open is decided like this:
// - Every connection that is open at a change sends a packet right after it. So each that could
//   break does: an upper bound, as for a connection that is nothing but a span of time.
// - `drain`: a removed server gets nothing new and keeps what it has. That is what the published
//   figures must mean, or the best of them would count the connections of each removed server.
//   A packet that reaches another server than its home is a broken connection.
// - `abrupt`: a removed server is dead, and so are its connections, whatever anybody does: they are
//   lost and not broken, and the note says how many. Broken are those of living servers.
//
// Where the packets go is decided by the engine, and planned by lib/allocation (ledger.ts).
import { EventQueue } from '../../lib/simulate/queue.js';
import { Random } from '../../lib/simulate/random.js';
import { Engine } from '../js/engine.js';
import { crowd } from '../js/frames.js';
import { type Asked, premise } from '../js/room.js';
import { print } from '../results.js';
import { Ledger } from './ledger.js';
import { noteOf, readPublished, readWorkload, type Steps, WORKLOAD_MISSING } from './published.js';
import { type Departure, Servers } from './servers.js';

const SERVERS = 468;
// Of 468 servers: what is never left alone, however many are removed.
const RUNNING_MIN = SERVERS / 10;
const AGE_MS = 500;

/** How large the world is. */
interface Size {
  /** Connections at once, once as many end as begin. */
  readonly target: number;
  readonly seconds: number;
  readonly buckets: number;
}

const SHORT: Size = { target: 7000, seconds: 300, buckets: 16_384 };
const FULL: Size = { target: 70_000, seconds: 1000, buckets: 65_536 };

/** One run of the workload, from its seed. */
class Churn {
  readonly ledger: Ledger;
  removals = 0;
  private readonly queue = new EventQueue();
  private readonly random: Random;
  private readonly engine: Engine;
  readonly servers: Servers;
  private arrivals = 0;

  constructor(
    private readonly size: Size,
    private readonly departure: Departure,
    private readonly workload: { durations: Steps; downtimes: Steps },
    seed: number,
  ) {
    this.random = new Random(seed);
    this.servers = new Servers(SERVERS, size.buckets, departure);
    const { owners } = this.servers;
    // Those that have closed stay for a while, about as many as are open.
    this.engine = new Engine({ self: SERVERS, owners, capacity: 4 * size.target });
    this.ledger = new Ledger(this.engine, owners);
  }

  run(removalsPerMinute: number): void {
    const { queue, size, workload } = this;
    this.recur((workload.durations.mean / size.target) * 1000, () => this.arrive());
    this.recur(60_000 / removalsPerMinute, () => this.remove());
    this.keepAging();
    const end = size.seconds * 1000;
    while (queue.step(end)) {
      // Until nothing is due any more.
    }
    // What has not been looked at since the last change must be in the table, too.
    this.ledger.loads(size.buckets, SERVERS);
    this.engine.node.close();
  }

  /** Events that know nothing of each other. */
  private recur(meanMs: number, what: () => void): void {
    this.queue.after(this.random.exponential(meanMs), () => {
      what();
      this.recur(meanMs, what);
    });
  }

  private keepAging(): void {
    this.queue.after(AGE_MS, () => {
      // What came until now came before the clock goes on.
      this.engine.turn();
      this.engine.age(this.queue.now);
      this.keepAging();
    });
  }

  private arrive(): void {
    const number = crowd(this.arrivals++);
    this.ledger.open(number);
    const seconds = this.workload.durations.draw(this.random);
    this.queue.after(seconds * 1000, () => this.ledger.close(number));
  }

  private remove(): void {
    const { servers, ledger, departure } = this;
    if (servers.running <= RUNNING_MIN) return;
    const server = servers.some(this.random);
    servers.remove(server);
    this.removals += 1;
    if (departure === 'drain') ledger.change(servers.owners);
    else ledger.bury(server, servers.owners);
    const seconds = this.workload.downtimes.draw(this.random);
    this.queue.after(seconds * 1000, () => {
      servers.restore(server);
      ledger.change(servers.owners);
    });
  }
}

function sizeText({ target, seconds, buckets }: Size, full: boolean): string {
  const scaled = full ? '' : 'scaled down: ';
  return `${scaled}${target} connections at once, ${seconds} s, ${buckets} buckets`;
}

function printPublished(name: string, removals: number): void {
  for (const published of readPublished()) {
    if (published.removals !== removals) continue;
    const { model, percent } = published;
    print({ name, of: model, unit: '%', values: [percent], note: noteOf(published) });
  }
}

/** The rates of removal that somebody has published figures for, each once. */
export const REMOVALS_PER_MINUTE = [1.56, 3.12, 7.8, 10, 15.6, 31.2, 78] as const;

/** The broken connections of one rate, in per cent of all. */
export function churn(asked: Asked, name: string, departure: Departure, removals: number): void {
  if (WORKLOAD_MISSING !== null) {
    print({ name, of: 'flowsieve', missing: WORKLOAD_MISSING });
    return;
  }
  const size = asked.full ? FULL : SHORT;
  const run = new Churn(size, departure, readWorkload(), 1);
  run.run(removals);
  const { opened, broken, brokenByHash, lost, changes } = run.ledger.counts;
  premise(run.removals > 0 && changes >= run.removals, 'servers were removed');
  premise(brokenByHash > 0, 'the changes concern connections that are open');
  const all = `${opened} connections, ${run.removals} removals, ${changes} changes`;
  const gone = departure === 'abrupt' ? `; ${lost} more were lost with their servers` : '';
  const left = `; ${run.servers.running} of ${SERVERS} servers run at the end`;
  const line = (of: string, count: number): void => {
    const note = `${count} of ${all}${gone}${left}; ${sizeText(size, asked.full)}`;
    print({ name, of, unit: '%', values: [(100 * count) / opened], note });
  };
  line('flowsieve', broken);
  line('hash alone', brokenByHash);
  if (departure === 'drain') printPublished(name, removals);
}
