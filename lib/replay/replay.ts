import {
  awaitNative,
  type Counts,
  classesOf,
  ENDED_BYTES,
  type EndedRecord,
  type Endpoint,
  nameCounters,
  readAll,
  readEnded,
} from '../native/index.js';
import { type OpenReplay, openReplay, type ReplayOptions } from './setup.js';

/** One connection of a capture, when it has ended or the capture has. */
export interface ReplayConnection {
  readonly type: 'connection';
  readonly protocol: string;
  readonly protocolNumber: number;
  readonly client: Endpoint;
  readonly server: Endpoint;
  readonly opened: 'opening' | 'midstream';
  readonly status: 'OPENING' | 'ESTABLISHED' | 'CLOSING';
  /** fin (from both sides) or rst, whichever came first; timeout; null while it is open. */
  readonly closedBy: 'fin' | 'rst' | 'timeout' | null;
  readonly packetsFromClient: number;
  readonly packetsFromServer: number;
  /** IP bytes. */
  readonly bytesFromClient: number;
  readonly bytesFromServer: number;
  /** Seconds, on the capture's clock. */
  readonly firstSeen: number;
  readonly lastSeen: number;
  readonly bucket: number;
  readonly owner: string;
}

/** The last line of a replay. */
export interface ReplaySummary {
  readonly type: 'summary';
  readonly packets: number;
  readonly ip: number;
  readonly nonIp: number;
  readonly malformed: number;
  readonly fragments: number;
  readonly connections: number;
  /** Packets by class of the decision, as the first node (or the configuration's) sees them. */
  readonly classes: Counts;
  /** Packets by the node whose they are. */
  readonly nodes: Counts;
  /** Packets that were not decided, by reason. */
  readonly drops: Counts;
  /** Link-local control traffic: never a connection. */
  readonly control: number;
  /** IP packets that are not the cluster's. */
  readonly passed: number;
  /** What ended the reading early, or null. */
  readonly damage: string | null;
}

/** A line of a replay. */
export type ReplayLine = ReplayConnection | ReplaySummary;

// Frames between two looks at what has ended: some milliseconds of work off the JavaScript thread.
const FRAMES_A_STEP = 65_536;

/**
 * Runs a capture through the engine: the same parser, tables and decision as on the live path, with
 * the capture's own clock.
 *
 * @param path - pcap or pcapng; Ethernet, raw IP, Linux cooked v1 and v2, BSD loopback
 * @returns the connections as they end, then one summary
 * @throws FlowsieveError FLOWSIEVE_FORMAT for a file or a link type that cannot be read,
 * FLOWSIEVE_MISSING without the file
 */
export async function* replay(
  path: string,
  options: ReplayOptions = {},
): AsyncGenerator<ReplayLine, void, undefined> {
  const open = openReplay({ path }, options);
  let connections = 0;
  for (;;) {
    const { done, ended } = await awaitNative(open.native.run(FRAMES_A_STEP));
    for (const record of readAll(ended, ENDED_BYTES, readEnded)) {
      connections += 1;
      yield connectionLine(record, open.names);
    }
    if (done) break;
  }
  yield summaryLine(open, connections);
}

function connectionLine(record: EndedRecord, names: readonly string[]): ReplayConnection {
  return {
    type: 'connection',
    protocol: record.protocol,
    protocolNumber: record.protocolNumber,
    client: record.client,
    server: record.server,
    opened: record.opened,
    status: record.status,
    closedBy: record.closedBy ?? (record.timedOut ? 'timeout' : null),
    packetsFromClient: record.packetsFromClient,
    packetsFromServer: record.packetsFromServer,
    bytesFromClient: record.bytesFromClient,
    bytesFromServer: record.bytesFromServer,
    firstSeen: seconds(record.firstSeenNs),
    lastSeen: seconds(record.lastSeenNs),
    bucket: record.bucket,
    owner: names[record.owner] ?? '',
  };
}

function summaryLine({ native, names }: OpenReplay, connections: number): ReplaySummary {
  const summary = native.summary();
  const { counters, drops } = nameCounters([summary]);
  const count = (name: string): number => counters[name] ?? 0;
  const nodes: Counts = {};
  names.forEach((name, index) => {
    nodes[name] = summary.packetsByOwner[index] ?? 0;
  });
  return {
    type: 'summary',
    packets: count('packets'),
    ip: count('ip'),
    nonIp: count('nonIp'),
    malformed: count('malformed'),
    fragments: count('fragments'),
    connections,
    classes: classesOf(counters, false),
    nodes,
    drops,
    control: count('control'),
    passed: count('passed'),
    damage: summary.damage === '' ? null : summary.damage,
  };
}

function seconds(ns: bigint): number {
  return Number(ns) / 1e9;
}
