import { type Allocation, bucketCounts, bucketsOf, singleOwners } from '../allocation/index.js';
import {
  type Configuration,
  type ResolvedRule,
  resolveSettings,
  ruleText,
} from '../config/index.js';
import { FlowsieveError, show } from '../errors/index.js';
import type { ConnectionRecord, NativeWorkerSnapshot } from '../native/index.js';
import { nameCounters } from '../native/index.js';
import type { PeerStatus } from '../peers/index.js';
import type { ProtocolState, View } from '../protocol/index.js';
import type {
  AllocationView,
  ConnectionsQuery,
  ConnectionView,
  EndpointFilter,
  EndpointView,
  MemberStatus,
  PeerPaths,
  RuleView,
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

/**
 * The nodes of the configuration, and those that the view knows besides.
 *
 * @param nowMs - the clock of `state`
 * @param now - the same moment, seconds since the Unix epoch
 */
export function memberStatuses(
  config: Configuration,
  state: ProtocolState,
  nowMs: number,
  now: number,
): MemberStatus[] {
  const { view, peers } = state;
  const buckets = view ? bucketCounts(bucketsOfView(view)) : new Map<string, number>();
  const known = new Map(view?.members.map((member) => [member.name, member]));
  const configured = config.elements.filter(({ name }) => !known.has(name));
  const unknown = configured.map(({ name, weight }) => ({ name, weight, state: null }));
  return [...known.values(), ...unknown]
    .map(({ name, weight, state: memberState }) => {
      const heardAt = peers.find((peer) => peer.name === name)?.heardAt ?? null;
      const heard = heardAt === null ? null : now - (nowMs - heardAt) / 1000;
      return {
        name,
        // Who is configured and has never been a member is either on its way or not there.
        state: memberState ?? (heard !== null && now - heard < 1 ? 'joining' : 'left'),
        weight,
        buckets: buckets.get(name) ?? 0,
        lastSeen: name === config.node ? now : heard,
      } satisfies MemberStatus;
    })
    .sort((left, right) => Number(left.name > right.name) - Number(left.name < right.name));
}

/**
 * How the peers are heard.
 *
 * @param nowMs - `performance.now()`, the clock of `peers`
 * @param now - the same moment, seconds since the Unix epoch
 */
export function peerPaths(peers: readonly PeerStatus[], nowMs: number, now: number): PeerPaths[] {
  const at = (ms: number | null): number | null => (ms === null ? null : now - (nowMs - ms) / 1000);
  return peers.map(({ name, connected, paths: { sync, wire } }) => ({
    name,
    connected,
    paths: { sync: at(sync), wire: at(wire) },
  }));
}

/** A view's buckets, without the places of single rules behind them. */
export function bucketsOfView({ allocation, criteria }: View): Allocation {
  return bucketsOf(allocation, criteria.buckets);
}

/** The rules that the nodes agree on, and who has those that give to a single node. */
export function ruleViews({ view }: Pick<ProtocolState, 'view'>): RuleView[] {
  if (view === null) return [];
  const { rules } = resolveSettings(view.criteria.settings);
  return viewsOfRules(rules, singleOwners(view.allocation, view.criteria.buckets));
}

/** Rules with the owners of those that give to a single node, in their order. */
export function viewsOfRules(
  rules: readonly ResolvedRule[],
  singleOwners: readonly string[],
): RuleView[] {
  const owners = singleOwners.values();
  return rules.map((rule, index) => ({
    number: index + 1,
    text: ruleText(rule),
    do: rule.do,
    owner: rule.do === 'single' ? (owners.next().value ?? null) : null,
  }));
}

/** The allocation with its shares. */
export function allocationView(config: Configuration, state: ProtocolState): AllocationView {
  const { view } = state;
  return {
    epoch: view?.epoch ?? 0,
    buckets: view?.criteria.buckets ?? config.distribution.buckets,
    names: view?.allocation.names ?? [],
    owners: view ? [...bucketsOfView(view).owners] : [],
    shares: memberStatuses(config, state, 0, 0).map(({ name, weight, buckets }) => ({
      name,
      weight,
      buckets,
    })),
    rules: ruleViews(state),
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
