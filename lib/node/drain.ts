import { RECORD_BYTES, readAll, readRecord } from '../native/index.js';
import type { Plane } from './plane.js';
import type { DrainEnd, DrainStatus } from './types.js';

// A node that drains has given its buckets away and waits for its open connections to end.

/** The open connections of a draining node. */
export interface OpenConnections {
  readonly connections: number;
  /** Age of the oldest, seconds; null without any. */
  readonly oldest: number | null;
  /** How many are left in each bucket. */
  readonly buckets: ReadonlyMap<number, number>;
}

/**
 * Counts a node's own connections that have not closed. Those that linger after both sides have
 * closed hold nobody up.
 */
export async function openConnections(plane: Plane, self: string): Promise<OpenConnections> {
  const buckets = new Map<number, number>();
  let connections = 0;
  let oldest: number | null = null;
  for await (const { records, now } of plane.list('own', self)) {
    for (const record of readAll(records, RECORD_BYTES, readRecord)) {
      if (record.closedBy !== null) continue;
      connections += 1;
      buckets.set(record.bucket, (buckets.get(record.bucket) ?? 0) + 1);
      oldest = Math.max(oldest ?? 0, ((now - record.openedTick) >>> 0) / 10);
    }
  }
  return { connections, oldest, buckets };
}

/** How long ago a count may lie that the estimate still goes by; seconds. */
const REMEMBERED = 60;

/** One drain: since when, until when, and how it goes. Times are seconds since the Unix epoch. */
export class Drain {
  private readonly counts: { at: number; connections: number }[] = [];
  private last: OpenConnections = { connections: 0, oldest: null, buckets: new Map() };

  /** @param deadline - seconds after `since` */
  constructor(
    readonly since: number,
    readonly deadline: number,
    readonly then: DrainEnd,
  ) {}

  /** Takes in a count. */
  observe(open: OpenConnections, now: number): void {
    this.last = open;
    this.counts.push({ at: now, connections: open.connections });
    while ((this.counts[0]?.at ?? now) < now - REMEMBERED) this.counts.shift();
  }

  /** Nothing is open any more. */
  get isDone(): boolean {
    return this.counts.length > 0 && this.last.connections === 0;
  }

  isOver(now: number): boolean {
    return this.then !== 'wait' && now >= this.since + this.deadline;
  }

  /** Milliseconds until the deadline, at least a few; infinity when nothing happens then. */
  msLeft(now: number): number {
    if (this.then === 'wait') return Number.POSITIVE_INFINITY;
    return Math.max(10, (this.since + this.deadline - now) * 1000);
  }

  /** Seconds until all have ended if they go on ending as of late; null when none do. */
  get estimate(): number | null {
    const [first] = this.counts;
    const last = this.counts.at(-1);
    if (first === undefined || last === undefined) return null;
    if (last.connections === 0) return 0;
    const ended = first.connections - last.connections;
    return ended <= 0 ? null : ((last.at - first.at) * last.connections) / ended;
  }

  /** How far it is, for those who look on. */
  status(): DrainStatus {
    const { connections, oldest, buckets } = this.last;
    return {
      since: this.since,
      deadline: this.then === 'wait' ? null : this.since + this.deadline,
      then: this.then,
      connections,
      oldest,
      estimate: this.estimate,
      buckets: [...buckets]
        .sort(([left], [right]) => left - right)
        .map(([bucket, left]) => ({ bucket, connections: left })),
    };
  }

  get open(): OpenConnections {
    return this.last;
  }
}
