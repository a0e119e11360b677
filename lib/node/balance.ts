import {
  bucketsOf,
  REBALANCE_MEMORY_MS,
  rebalance,
  singleOwners,
  withSingles,
} from '../allocation/index.js';
import type { Configuration } from '../config/index.js';
import type { ProtocolEvent, ProtocolState, Report } from '../protocol/index.js';

// Buckets follow the load, when the configuration says so: the coordinator looks at what all nodes
// report.

type Move = Parameters<typeof rebalance>[0]['history'][number];

/** Remembers what has moved of late. */
export class Balance {
  private history: Move[] = [];

  /**
   * What the core is to be told, or null when nothing is to move.
   *
   * @param now - milliseconds of one clock
   */
  look(
    { by, ...settings }: Configuration['rebalance'],
    { coordinating, view }: ProtocolState,
    reports: ReadonlyMap<string, Report>,
    now: number,
  ): ProtocolEvent | null {
    if (by === 'off' || !coordinating || view === null) return null;
    this.history = this.history.filter(({ at }) => now - at < REBALANCE_MEMORY_MS);
    const members = view.members
      .filter(({ state }) => state === 'member')
      .map(({ name, weight }) => ({ name, weight }));
    const loads = new Map<string, number>();
    for (const { name } of members) {
      const report = reports.get(name);
      if (report) loads.set(name, by === 'connections' ? report.connections : report.packets);
    }
    const found = rebalance({
      members,
      allocation: bucketsOf(view.allocation, view.criteria.buckets),
      loads,
      settings: { by, ...settings },
      history: this.history,
      now,
    });
    if (found === null) return null;
    this.history.push(...found.moves);
    const { weights: shares } = found;
    // What a rule gives to a single node stays there, whatever it weighs.
    const singles = singleOwners(view.allocation, view.criteria.buckets);
    const allocation = withSingles(found.allocation, singles);
    return { type: 'balance', epoch: view.epoch, allocation, shares };
  }
}
