// From skewed load to balance: a few clients have most of the connections, buckets go by the
// client's address, and lib/allocation moves buckets by what the nodes' tables say. Every packet is
// decided by the engine, so what breaks, breaks there.
import {
  type Allocation,
  bucketCounts,
  type Member,
  type Move,
  plan,
  type RebalanceSettings,
  rebalance as rebalanced,
} from '../../lib/allocation/index.js';
import { EventQueue } from '../../lib/simulate/queue.js';
import { Random } from '../../lib/simulate/random.js';
import { Engine } from '../js/engine.js';
import { connectionOf } from '../js/frames.js';
import { type Asked, premise } from '../js/room.js';
import { print } from '../results.js';
import { Ledger } from './ledger.js';
import { noteOf, readPublished, WORKLOAD_MISSING } from './published.js';

const NODES = 8;
const BUCKETS = 1024;
const CLIENTS = 20_000;
const FIRST_CLIENT = 0x0a00_0000;
/** Of the hash: the source address alone, so that a busy client makes a busy bucket. */
const BY_SOURCE = 1;
const LIFE_MS = 30_000;
const LOOK_MS = 10_000;
const MOVES_PER_MINUTE = 64;

/** The clients' shares: the k-th has 1/k of what the first has (Zipf, exponent 1). */
class Clients {
  private readonly sums = new Float64Array(CLIENTS);
  private readonly used = new Uint32Array(CLIENTS);

  constructor(private readonly random: Random) {
    let sum = 0;
    for (let client = 0; client < CLIENTS; client += 1) {
      sum += 1 / (client + 1);
      this.sums[client] = sum;
    }
  }

  /** A new connection of somebody. */
  next(): number {
    const drawn = this.random.unit() * (this.sums.at(-1) as number);
    let [low, high] = [0, CLIENTS - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.sums[middle] as number) > drawn) high = middle;
      else low = middle + 1;
    }
    const port = this.used[low] as number;
    this.used[low] = port + 1;
    return connectionOf(FIRST_CLIENT + low, 1024 + (port % 60_000));
  }
}

/** A cluster under such load. */
class Skewed {
  readonly members: Member[] = Array.from({ length: NODES }, (_, i) => {
    return { name: `node-${i + 1}`, weight: 1 };
  });
  readonly ledger: Ledger;
  readonly history: Move[] = [];
  readonly queue = new EventQueue();
  private allocation: Allocation = plan({ members: this.members, buckets: BUCKETS });
  private readonly random = new Random(1);
  private readonly clients = new Clients(this.random);
  private readonly engine: Engine;

  constructor(
    private readonly target: number,
    private readonly settings: RebalanceSettings,
  ) {
    const { owners } = this.allocation;
    const capacity = 4 * target;
    this.engine = new Engine({ self: NODES, owners, capacity, fields: BY_SOURCE });
    this.ledger = new Ledger(this.engine, owners);
    this.arrive();
    this.keepAging();
  }

  private arrive(): void {
    this.queue.after(this.random.exponential(LIFE_MS / this.target), () => {
      const number = this.clients.next();
      this.ledger.open(number);
      this.queue.after(this.random.exponential(LIFE_MS), () => this.ledger.close(number));
      this.arrive();
    });
  }

  private keepAging(): void {
    this.queue.after(1000, () => {
      this.engine.turn();
      this.engine.age(this.queue.now);
      this.keepAging();
    });
  }

  run(ms: number): void {
    const until = this.queue.now + ms;
    while (this.queue.step(until)) {
      // Until nothing is due any more.
    }
  }

  /** The largest load of a node, beside the mean. */
  imbalance(): number {
    const { byOwner } = this.ledger.loads(BUCKETS, NODES);
    return Math.max(...byOwner) / (byOwner.reduce((sum, each) => sum + each, 0) / NODES);
  }

  buckets(): string {
    return [...bucketCounts(this.allocation).values()].join(' ');
  }

  /** What a coordinator does every few seconds; true when something moved. */
  look(): boolean {
    const { byBucket, byOwner } = this.ledger.loads(BUCKETS, NODES);
    const loads = new Map(this.members.map(({ name }, i) => [name, byOwner[i] as number]));
    const next = rebalanced({
      members: this.members,
      allocation: this.allocation,
      loads,
      bucketLoads: byBucket,
      settings: this.settings,
      history: this.history,
      now: this.queue.now,
    });
    if (!next) return false;
    this.history.push(...next.moves);
    this.allocation = next.allocation;
    this.ledger.change(next.allocation.owners);
    return true;
  }

  close(): void {
    this.engine.node.close();
  }
}

function printBroken(name: string, counts: Ledger['counts'], threshold: number): void {
  const { opened, broken, brokenByHash } = counts;
  const line = (of: string, count: number): void => {
    const note = `${count} of ${opened} connections`;
    print({ name, of, unit: '%', values: [(100 * count) / opened], note });
  };
  line('flowsieve', broken);
  line('hash alone', brokenByHash);
  if (WORKLOAD_MISSING !== null) return;
  for (const published of readPublished()) {
    if (published.threshold !== threshold) continue;
    const note = `${noteOf(published)}; 468 servers and another workload`;
    print({ name, of: published.model, unit: '%', values: [published.percent], note });
  }
}

/** Lets the coordinator look every few seconds; when all nodes were within the threshold, in ms. */
function settle(world: Skewed, threshold: number, looks: number): number {
  const begin = world.queue.now;
  let balancedAt = Number.NaN;
  for (let look = 0; look < looks; look += 1) {
    const isBalanced = world.imbalance() <= 1 + threshold;
    if (isBalanced && Number.isNaN(balancedAt)) balancedAt = world.queue.now - begin;
    world.look();
    world.run(LOOK_MS);
  }
  return balancedAt;
}

/** Some of the thresholds, in per cent, that somebody has published figures for. */
export const THRESHOLDS = [10, 20, 30, 40] as const;

export function rebalance({ full }: Asked, name: string, percent: number): void {
  const threshold = percent / 100;
  const settings = { by: 'connections', threshold, movesPerMinute: MOVES_PER_MINUTE } as const;
  const world = new Skewed(full ? 50_000 : 10_000, settings);
  world.run(5 * LIFE_MS);
  const before = world.imbalance();
  premise(before > 1 + 1.5 * threshold, 'the load is skewed at first');
  const balancedMs = settle(world, threshold, full ? 120 : 60);
  const after = world.imbalance();
  premise(world.history.length > 0, 'buckets move');
  premise(!Number.isNaN(balancedMs), 'the nodes come within the threshold');
  const line = (what: string, unit: string, value: number, note: string): void => {
    print({ name: `${name}/${what}`, of: 'flowsieve', unit, values: [value], note });
  };
  const clients = `${NODES} nodes, ${BUCKETS} buckets by source, Zipf over ${CLIENTS} clients`;
  const most = `at most ${MOVES_PER_MINUTE} moves a minute`;
  line('before', 'count', before, `largest load / mean; ${clients}`);
  line('after', 'count', after, `largest load / mean; buckets of the nodes ${world.buckets()}`);
  line('moves', 'count', world.history.length, `buckets; threshold ${percent} %, ${most}`);
  const lives = `connections live ${LIFE_MS / 1000} s`;
  line('balanced', 's', balancedMs / 1000, `simulated, until within the threshold; ${lives}`);
  printBroken(`${name}/broken`, world.ledger.counts, percent);
  world.close();
}
