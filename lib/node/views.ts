import type { Allocation } from '../allocation/index.js';
import { bucketCounts } from '../allocation/index.js';
import type { NodeConfiguration } from '../config/index.js';
import { FlowsieveError, show } from '../errors/index.js';
import type { ConnectionRecord, NativeWorkerSnapshot } from '../native/index.js';
import { nameCounters } from '../native/index.js';
import type {
  AllocationView,
  ConnectionsQuery,
  ConnectionView,
  EndpointFilter,
  EndpointView,
  MemberStatus,
  TablesStatus,
  WorkerStatus,
} from './types.js';

// From what the engine says, in numbers and indexes, to what a node shows of itself.

const TICKS_A_SECOND = 10;

/** The sums of several workers' tables. */
export function sumTables(workers: readonly TablesStatus[]): TablesStatus {
  const sum = (of: keyof TablesStatus): number =>
    workers.reduce((total, each) => total + each[of], 0);
  return {
    own: sum('own'),
    others: sum('others'),
    capacity: sum('capacity'),
    opening: sum('opening'),
    established: sum('established'),
    closing: sum('closing'),
  };
}

/** One worker's part of the status. */
export function workerStatus(snapshot: NativeWorkerSnapshot): WorkerStatus {
  const { counters, drops } = nameCounters([snapshot]);
  return {
    tables: snapshot.sizes,
    counters,
    drops,
    fragmentsWaiting: snapshot.fragmentsWaiting,
    memoryBytes: snapshot.memoryBytes,
  };
}

/** The members of a cluster whose node list is static: all that are configured are members. */
export function staticMembers(
  nodes: readonly NodeConfiguration[],
  allocation: Allocation,
): MemberStatus[] {
  const buckets = bucketCounts(allocation);
  return nodes.map(({ name, weight }) => ({
    name,
    state: 'member',
    weight,
    buckets: buckets.get(name) ?? 0,
    lastSeen: null,
  }));
}

/** The allocation with its shares. */
export function allocationView(
  nodes: readonly NodeConfiguration[],
  allocation: Allocation,
): AllocationView {
  return {
    epoch: allocation.epoch,
    buckets: allocation.owners.length,
    names: allocation.names,
    owners: [...allocation.owners],
    shares: staticMembers(nodes, allocation).map(({ name, weight, buckets }) => ({
      name,
      weight,
      buckets,
    })),
  };
}

/**
 * A connection with names and times.
 *
 * @param nowTick - the worker's clock when the record was copied
 * @param now - the same moment, seconds since the Unix epoch
 */
export function connectionView(
  record: ConnectionRecord,
  names: readonly string[],
  self: string,
  nowTick: number,
  now: number,
): ConnectionView {
  const at = (tick: number): number => now - ((nowTick - tick) >>> 0) / TICKS_A_SECOND;
  const owner = names[record.owner] ?? '';
  return {
    protocol: record.protocol,
    protocolNumber: record.protocolNumber,
    client: record.client,
    server: record.server,
    opened: record.opened,
    status: record.status,
    closedBy: record.closedBy,
    bucket: record.bucket,
    owner,
    own: owner === self,
    epoch: record.epoch,
    firstSeen: at(record.openedTick),
    lastSeen: at(record.lastSeenTick),
  };
}

function hasEnd(end: EndpointView, filter: EndpointFilter | undefined): boolean {
  return (
    filter === undefined ||
    ((filter.address === undefined || filter.address === end.address) &&
      (filter.port === undefined || filter.port === end.port))
  );
}

/** True for a connection that the query wants. */
export function isWanted(view: ConnectionView, query: ConnectionsQuery): boolean {
  const { protocol, owner, status } = query;
  return (
    (protocol === undefined || protocol === view.protocol || protocol === view.protocolNumber) &&
    (owner === undefined || owner === view.owner) &&
    (status === undefined || status === view.status) &&
    hasEnd(view.client, query.client) &&
    hasEnd(view.server, query.server)
  );
}

/** Where a page of connections begins: a worker, and a place in its table. */
export interface Cursor {
  readonly worker: number;
  readonly place: bigint;
}

/** A cursor as it is handed out. */
export function cursorText({ worker, place }: Cursor): string {
  return `${worker}.${place}`;
}

/** The cursor that was handed out; without one, the beginning. */
export function readCursor(text: string | undefined, workers: number): Cursor {
  if (text === undefined) return { worker: 0, place: 0n };
  const parts = /^(\d{1,3})\.(\d{1,19})$/.exec(text);
  const worker = Number(parts?.[1] ?? workers);
  if (worker >= workers) {
    throw new FlowsieveError(
      'FLOWSIEVE_ARGUMENT',
      `Expected a cursor of this node for cursor but received ${show(text)}.`,
      { path: 'cursor' },
    );
  }
  return { worker, place: BigInt(parts?.[2] ?? 0) };
}
