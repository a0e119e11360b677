import { type NativeWorkerSnapshot, nameCounters } from '../native/index.js';
import type { PeerStatus } from '../peers/index.js';
import type { OpeningCount, Report } from '../protocol/index.js';

// What nodes tell each other every second. Pure: what was counted is handed in.

/** How long a peer may be heard on the sync network only until its probes count as unseen. */
const UNSEEN_MS = 3000;

function addSums(left: bigint, right: bigint): bigint {
  return BigInt.asUintN(64, left + right);
}

/** The workers' counts of opening packets, added up by epoch. */
function openings(snapshots: readonly NativeWorkerSnapshot[]): OpeningCount[] {
  const byEpoch = new Map<
    number,
    { seen: number; seenSum: bigint; taken: number; takenSum: bigint }
  >();
  for (const { epoch, seen, seenSum, taken, takenSum } of snapshots.flatMap(({ audit }) => audit)) {
    const sum = byEpoch.get(epoch) ?? { seen: 0, seenSum: 0n, taken: 0, takenSum: 0n };
    byEpoch.set(epoch, {
      seen: sum.seen + seen,
      seenSum: addSums(sum.seenSum, seenSum),
      taken: sum.taken + taken,
      takenSum: addSums(sum.takenSum, takenSum),
    });
  }
  return [...byEpoch]
    .sort(([left], [right]) => left - right)
    .map(([epoch, { seen, seenSum, taken, takenSum }]) => ({
      epoch,
      seen,
      seenSum: seenSum.toString(),
      taken,
      takenSum: takenSum.toString(),
    }));
}

/** The latest reports of all nodes, and the making of this node's. */
export class Reports {
  private readonly reports = new Map<string, Report>();
  private delivered: { readonly count: number; readonly at: number } | null = null;

  /** By name of the node. */
  all(): ReadonlyMap<string, Report> {
    return this.reports;
  }

  /** A node has told what it has counted; one of an earlier life says nothing any more. */
  take(name: string, report: Report): void {
    const known = this.reports.get(name);
    if (!known || report.incarnation >= known.incarnation) this.reports.set(name, report);
  }

  /**
   * This node's own report.
   *
   * @param now - milliseconds of `performance.now()`, as in `peers`
   */
  make(
    self: string,
    incarnation: number,
    snapshots: readonly NativeWorkerSnapshot[],
    peers: readonly PeerStatus[],
    now: number,
  ): Report {
    const count = nameCounters(snapshots).counters['delivered'] ?? 0;
    const { delivered } = this;
    const rate = delivered ? ((count - delivered.count) * 1000) / (now - delivered.at) : 0;
    this.delivered = { count, at: now };
    const report: Report = {
      incarnation,
      openings: openings(snapshots),
      connections: snapshots.reduce((sum, { sizes }) => sum + sizes.own, 0),
      packets: Math.max(0, Math.round(rate)),
      unseen: peers.filter((peer) => isUnseen(peer, now)).map(({ name }) => name),
    };
    this.take(self, report);
    return report;
  }

  /** For each of `names`, whose frames to the cluster MAC address do not come there. */
  unseen(names: readonly string[]): Map<string, readonly string[]> {
    return new Map(names.map((name) => [name, this.reports.get(name)?.unseen ?? []]));
  }
}

/** The sync network brings its heartbeats, the capture interface does not. */
function isUnseen({ paths }: PeerStatus, now: number): boolean {
  const heard = paths.sync !== null && now - paths.sync < UNSEEN_MS / 3;
  return heard && (paths.wire === null || now - paths.wire > UNSEEN_MS);
}
