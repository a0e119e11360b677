import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ListKind } from '../protocol/index.js';

// What native/addon exports, as it crosses: numbers by position, structs in buffers. The files
// beside this one give it names.

/** The criteria of the distribution as the addon takes them. */
export interface NativeDistribution {
  hash: string;
  key: Uint8Array;
  fields: number;
  sourcePrefixIpv4: number;
  sourcePrefixIpv6: number;
  destinationPrefixIpv4: number;
  destinationPrefixIpv6: number;
  symmetric: boolean;
  buckets: number;
  /** The first that matches decides; none without. */
  rules?: NativeRule[];
}

/** A port rule as the addon takes it. */
export interface NativeRule {
  /** Sixteen bytes each; empty: all. */
  addresses: Uint8Array;
  /** Empty: all. */
  protocols: number[];
  /** First and last of each range; empty: all. */
  ports: Uint16Array;
  action: 'distribute' | 'single' | 'refuse' | 'pass';
  fields: number;
  sourcePrefixIpv4: number;
  sourcePrefixIpv6: number;
  destinationPrefixIpv4: number;
  destinationPrefixIpv6: number;
}

/** How QUIC connection ids name nodes. */
export interface NativeQuic {
  ports: Uint16Array;
  configs: {
    id: number;
    serverIdLength: number;
    nonceLength: number;
    encodesLength: boolean;
    key: Uint8Array | null;
  }[];
  /** The living members, by node index. */
  servers: { serverId: Uint8Array; node: number }[];
}

/** What a QUIC connection id said; all but `node` and `none` leave the packet to its four-tuple. */
export type NativeQuicId = 'none' | 'node' | 'clientChosen' | 'unconfigured' | 'length' | 'nobody';

/** What decisions depend on besides the table. */
export interface NativeCriteria {
  distribution: NativeDistribution;
  epoch: number;
  self: number;
  /** Node index of each bucket's owner, then of each single rule's. */
  owners: Uint16Array;
  tracking: 'observe' | 'own';
  monitoring: boolean;
  /** The nodes forward: a connection does not end with its node. */
  forwards: boolean;
  quic?: NativeQuic | null;
  /** Of a dispatcher. */
  dispatching?: NativeDispatching;
}

/** What is one node's by configuration: an address and a range of ports, both ends included. */
export interface NativeReservation {
  /** Sixteen bytes. */
  address: Uint8Array;
  firstPort: number;
  lastPort: number;
  /** Node index. */
  owner: number;
}

/** What a dispatcher decides with besides; node indexes. */
export interface NativeDispatching {
  /** Their checks fail: what is still opening there is decided anew. */
  down: number[];
  /** Not empty: opening packets go to the one with the fewest connections for its weight. */
  candidates: [node: number, weight: number][];
}

/** The way to a node, as the engine takes it. */
export interface NativeHop {
  node: number;
  mode: 'mac' | 'ipip' | 'gue';
  /** Index of the interface. */
  interface: number;
  source: string;
  /** The link address of the next hop; null: not known, nothing can be sent. */
  destination: string | null;
  mtu: number;
  /** Outer addresses, 16 bytes each. */
  local: Uint8Array;
  remote: Uint8Array;
  port: number;
}

/** The way to a node, as the host's routes and neighbours have it. */
export interface NativeWay {
  routed: boolean;
  onLink: boolean;
  interface: number;
  nextHop: Buffer;
  source: Buffer;
  /** Of the route; 0: it has none of its own. */
  mtu: number;
  linkMtu: number;
  linkAddress: string;
  state: 'none' | 'reachable' | 'failed';
  nextLinkAddress: string;
}

/** The way to the next criteria: what a transition of the protocol is for one node. */
export interface NativeTransition {
  distribution: NativeDistribution;
  epoch: number;
  /** Node index of each bucket's next owner, then of each single rule's. */
  owners: Uint16Array;
  /** Node indexes of a takeover's losers. */
  dead: number[];
}

/** What a worker is made with. */
export interface NativeWorkerOptions {
  capacity: number;
  openingShare: number;
  /** Seconds, tcp, udp, icmp, sctp, other by opening, established, closing. */
  timeouts: number[];
  /** Owners in imported records are below this. */
  nodes: number;
  self: number;
  /** Sixteen bytes an address; null: every IP packet is the cluster's, or a gateway's. */
  addresses: Uint8Array | null;
  /** Without addresses: only what is sent to one of these is the cluster's; none: everything. */
  linkAddresses: string[];
  bothDirections: boolean;
  sampleEvery: number;
  /** Count the connections of each node. */
  countOwners?: boolean;
  fragments: { held: number; heldBytes: number; holdSeconds: number };
  /** What may wait for a handover, of each worker, and how long one packet may. */
  holdBytes: number;
  holdMs: number;
  /** Of the tables' hash; random without it, as it must be where strangers send packets. */
  seed?: bigint;
}

/** The live engine's options beyond a worker's. */
export interface NativeEngineOptions {
  worker: NativeWorkerOptions;
  workers: number;
  interface: string;
  device: string;
  link: 'multicast' | 'unicast' | 'none';
  linkAddress: string;
  /** Forward to the nodes instead of delivering to the device. */
  dispatch?: boolean;
  /** Programs in the kernel deliver and discard what belongs to busy connections. */
  bypass?: boolean;
  /** The most that a packet may wait for others, so that one wake-up serves several; 0: none waits. */
  gatherMicroseconds: number;
  /** A gateway's, instead of `interface`, `linkAddress` and the worker's `addresses`; null: a server. */
  networks: NativeNetwork[] | null;
}

/** One of a gateway's networks. */
export interface NativeNetwork {
  interface: string;
  linkAddress: string;
  /** Sixteen bytes an address. */
  addresses: Uint8Array;
}

/** Counters by position in the {@link NativeVocabulary}. */
export interface NativeCounters {
  counts: Float64Array;
  drops: Float64Array;
}

export interface NativeTableSizes {
  own: number;
  others: number;
  capacity: number;
  opening: number;
  established: number;
  closing: number;
}

export interface NativeWorkerSnapshot extends NativeCounters {
  sizes: NativeTableSizes;
  fragmentsWaiting: number;
  /** The worker's clock, in ticks. */
  now: number;
  memoryBytes: number;
  /** Records of connections entered since the last snapshot, sampled. */
  samples: Buffer;
  /** Packets that wait for a handover. */
  held: number;
  /** Connections that other nodes may have noted as somebody else's. */
  contested: number;
  /** By epoch, the oldest first. */
  audit: NativeAudit[];
  /** Of a dispatcher, by node index: packets and bytes forwarded, connections. */
  nodes: Float64Array;
}

/**
 * Opening packets of unknown connections in one epoch: all that were seen, and those of them that
 * this node has taken; each also as a sum over their connections, modulo 2^64.
 */
export interface NativeAudit {
  epoch: number;
  seen: number;
  seenSum: bigint;
  taken: number;
  takenSum: bigint;
}

/** What became of held packets. */
export interface NativeResolved {
  /** This node's by their bucket. */
  opened: number;
  /** Of connections that are known by now, or another's. */
  followed: number;
  /** Had waited too long; all since the last `acquire`. */
  expired: number;
}

/** What became of the records of a list. */
export interface NativeImported {
  inserted: number;
  corrected: number;
  known: number;
  refused: number;
  full: number;
  /** Entries that gave their place to records. */
  evicted: number;
  /** Own connections that the list calls another's. */
  disputed: number;
}

/** A piece of a list. */
export interface NativeRecords {
  records: Buffer;
  /** Where the next piece begins; 0n: that was all. */
  cursor: bigint;
  /** The worker's tick, to which the records' times compare. */
  now: number;
}

/** Why an expectation was not taken; `done`: it was. */
export type NativeExpectOutcome = 'done' | 'full' | 'nodeFull' | 'masks' | 'taken' | 'malformed';

/** All expectations of a node's workers. */
export interface NativeExpectations {
  expectations: Buffer;
  /** For each, how many packets have met it. */
  matched: Float64Array;
  /** The worker's tick, to which the expectations' times compare. */
  now: number;
}

/** Expected connections: docs/decisions/expected-connections.md. */
export interface NativeExpecting {
  /**
   * Decides all that has been received, then takes over how an expectation stands: 64 bytes of
   * expectations.ts. A state never goes back.
   */
  expect(expectation: Uint8Array): NativeExpectOutcome;
  /** It is over; false when it was not there. */
  unexpect(owner: number, id: bigint): boolean;
  clearExpectations(): void;
  expectations(): NativeExpectations;
}

/**
 * The steps of a handover, and lists of connections; all may be repeated. Lists, in and out, begin
 * with everything decided that had been received.
 */
export interface NativeHandover {
  /** The allocation is going to change. */
  prepare(transition: NativeTransition): void;
  /** Packets of unknown connections in the gained buckets wait. */
  hold(): void;
  /** Decides all that has been received, then lets the next owners decide. */
  release(): void;
  /** Decides what waits for these losers (node indexes). */
  acquire(from: number[]): NativeResolved;
  /** `prepare` and `hold` of a transition whose losers are dead. */
  takeover(transition: NativeTransition): void;
  /** Ends a transition; what still waits is decided by the new criteria. */
  replaceCriteria(criteria: NativeCriteria): void;
  /**
   * Answers what the dead (node indexes) should have answered lately, and gives their connections
   * to the owners of their buckets: how many.
   */
  adopt(dead: number[]): number;
  /** No connection is contested any more. */
  clearContested(): void;
  /**
   * A piece of one worker's list for node `to`; a cursor of 0n begins. Owners in it are indexes of
   * this process. A piece may have fewer records than `limit`, and none, before the list's end.
   */
  exportList(
    kind: ListKind,
    to: number,
    worker: number,
    cursor: bigint,
    limit: number,
  ): NativeRecords;
  /**
   * Merges records of a node whose tick is `senderNow`; `owners`: our index for each of its. How far
   * they are believed depends on the list's kind; without one they are what that node has taken.
   */
  importList(
    records: Uint8Array,
    senderNow: number,
    owners: Uint16Array,
    kind?: ListKind,
  ): NativeImported;
  /** One for each worker. */
  snapshot(): NativeWorkerSnapshot[];
}

/** The same, when all workers have done it. */
type Promised<T> = {
  [Name in keyof T]: T[Name] extends (...args: infer Args) => infer Answer
    ? (...args: Args) => Promise<Answer>
    : never;
};

/** The lease: past `ns` (CLOCK_MONOTONIC) no connection is opened; 2n ** 64n - 1n: no end. */
interface NativeLease {
  setOpenUntil(ns: bigint): void;
}

/** How the tables are compared with what the operating system has open. */
export interface NativeReconcileOptions {
  /** The identifiers that are the same in both; at least three. */
  match: { source: boolean; sourcePort: boolean; destination: boolean; destinationPort: boolean };
  conntrack: 'auto' | 'always' | 'never';
  /** Only says what it would do. */
  dry: boolean;
  /** Restores in every bucket. */
  anywhere: boolean;
  /** Connections that are named, at most. */
  named: number;
}

/** What a comparison came to; the words are those of `Reconciled` in native/worker/reconcile.h. */
export interface NativeReconciled {
  checked: number;
  dropped: number;
  closed: number;
  restored: number;
  unmatched: number;
  noRoom: number;
  left: number;
  sockets: number;
  tracked: number;
  malformed: number;
  conntrack: boolean;
  /** Forty bytes each. */
  keys: Buffer;
  /** For each key. */
  outcomes: ('dropped' | 'closed' | 'restored' | 'unmatched' | 'noRoom')[];
}

export interface NativeEngine
  extends Promised<NativeHandover>,
    Promised<NativeExpecting>,
    NativeLease {
  /** What is one node's by configuration, from now on. */
  reserve(reservations: readonly NativeReservation[]): Promise<void>;
  start(): void;
  /** Ends the threads; devices and tables stay, and can be read. */
  stop(): Promise<void>;
  /** Stops, and gives rings, device and memory back. */
  close(): Promise<void>;
  /** One piece of one worker's table, as `exportList` of all. */
  connections(worker: number, cursor: bigint, limit: number): Promise<NativeRecords>;
  /** Compares the tables with what the operating system has open. */
  reconcile(options: NativeReconcileOptions): Promise<NativeReconciled>;
  /** Tells the neighbours where the cluster addresses are. */
  announce(): Promise<void>;
  /** A dispatcher's ways; nodes that are not among them have none. */
  setHops(hops: NativeHop[]): Promise<void>;
  /** Nothing is forwarded from `ns` (CLOCK_MONOTONIC) on; 2n ** 64n - 1n: no end. */
  setActiveUntil(ns: bigint): void;
}

/** One worker without threads, devices and a clock: frames are pushed, time is handed in. */
export interface NativeMemoryNode extends NativeHandover, NativeExpecting, NativeLease {
  /**
   * An Ethernet frame comes; false: the queue (4096 frames) is full, it is lost. `receivedNs`: when,
   * by the clock of `turn`; without it, when a turn looks at it.
   */
  push(frame: Uint8Array, receivedNs?: bigint): boolean;
  /**
   * Decides up to `frames` of what waits. Returns the first 128 bytes of every IP packet that has
   * been delivered since the last turn, in `acquire` and `adopt` too.
   */
  turn(nowNs: bigint, frames: number): Buffer[];
  /** Lets connections and packets whose time is over leave. */
  age(nowNs: bigint): void;
  /** Frames that wait for a turn. */
  readonly backlog: number;
  /** Gives its memory back; nothing may be called afterwards. */
  close(): void;
}

/** Heartbeats in raw frames. It keeps neither the event loop nor the process alive. */
export interface NativeWireChannel {
  /** 1 to 1480 bytes; false: it could not be sent. */
  send(payload: Uint8Array): boolean;
  close(): void;
  counts(): {
    received: number;
    /** Dropped: not to the link address, or without a length that fits. */
    foreign: number;
    /** Dropped: more came than JavaScript took in. */
    overflow: number;
  };
}

/** The eyes and hands of the FTP helper. It keeps neither the event loop nor the process alive. */
export interface NativeFtpDetour {
  /** What was kept for this announcement goes on. */
  release(token: number): void;
  counts(): {
    announced: number;
    /** Announced for somebody who is not the peer. */
    foreign: number;
    /** Packets kept back; those that went on because it took too long; those that were lost. */
    held: number;
    expired: number;
    dropped: number;
  };
  close(): void;
}

export interface NativeExplained {
  number: number;
  timeNs: bigint;
  captured: number;
  wireBytes: number;
  drop: string;
  kind: 'nonIp' | 'control' | 'flow' | 'error' | 'fragment';
  ip: boolean;
  ipBytes: number;
  isFragment: boolean;
  opening: boolean;
  tcpFlags: number;
  ipSource: Buffer;
  ipDestination: Buffer;
  flow: Buffer;
  hashed: Buffer;
  hash: bigint;
  bucket: number;
  verdict: 'pass' | 'deliver' | 'discard' | 'forward';
  packetClass: number;
  owner: number;
  byBucket: boolean;
  byId: boolean;
  quic: NativeQuicId;
  tracked: boolean;
  held: boolean;
  /** A rule leaves it to every node's kernel. */
  passed: boolean;
  /** The place of the rule for its connection; -1: none. */
  rule: number;
}

export interface NativeReplay {
  run(frames: number): Promise<{ done: boolean; ended: Buffer }>;
  explain(): Promise<NativeExplained[]>;
  summary(): NativeCounters & { packetsByOwner: number[]; damage: string };
}

export interface NativeVocabulary {
  drops: { name: string; malformed: boolean; text: string }[];
  counters: { name: string; text: string }[];
  hashLayoutVersion: number;
  recordBytes: number;
  endedBytes: number;
  expectationBytes: number;
}

/** An address found to be in use by somebody who is not of the cluster. */
export interface NativeClash {
  address: Buffer;
  linkAddress: string;
}

export interface NativeAddon {
  vocabulary(): NativeVocabulary;
  /** The bytes that are hashed for a connection (40-byte key), their hash and the bucket. */
  hash(
    distribution: NativeDistribution,
    key: Uint8Array,
  ): { hashed: Buffer; hash: bigint; bucket: number; rule: number };
  /** Which node the connection id in a UDP payload names. */
  readConnectionId(quic: NativeQuic, datagram: Uint8Array): { id: NativeQuicId; node: number };
  /** Asks on the wire who else has these addresses. */
  findClashes(
    interfaceName: string,
    addresses: Uint8Array,
    linkAddress: string,
    waitMs: number,
  ): Promise<NativeClash[]>;
  /** The ways to nodes; sixteen bytes each. */
  findWays(addresses: Uint8Array): Promise<NativeWay[]>;
  Replay: new (
    input: { path: string } | { frame: Uint8Array; link: 'ethernet' | 'raw' },
    worker: NativeWorkerOptions,
    criteria: NativeCriteria,
  ) => NativeReplay;
  Engine: new (options: NativeEngineOptions, criteria: NativeCriteria) => NativeEngine;
  MemoryNode: new (
    worker: NativeWorkerOptions,
    criteria: NativeCriteria,
    nowNs: bigint,
  ) => NativeMemoryNode;
  WireChannel: new (options: {
    interface: string;
    linkAddress: string;
    /** `source`: the sender's link address. */
    onFrame: (payload: Buffer, source: string) => void;
  }) => NativeWireChannel;
  FtpDetour: new (options: {
    /** To be made. */
    device: string;
    /** The delivery device. */
    tap: string;
    mark: number;
    ports: number[];
    /** Sixteen bytes each. */
    addresses: Uint8Array;
    /** A data connection (40-byte key, a port of 0 may be any) that waits for `release`. */
    onData: (token: number, data: Buffer) => void;
  }) => NativeFtpDetour;
  /**
   * Resets the kernel's TCP connections whose local address is one of these (16 bytes each).
   * Listening sockets stay.
   */
  resetSockets(addresses: Uint8Array): Promise<{ reset: number; failed: number }>;
  /**
   * All threads of the process go before what else runs on the machine; workers only as long as
   * they have some rest. Throws where that is not allowed.
   */
  runInRealTime(): void;
}

const require = createRequire(import.meta.url);
const bindings = require('bindings') as (options: {
  bindings: string;
  module_root: string;
}) => NativeAddon;

// The compiled file is dist/lib/native/addon.js: the package's root lies three folders up.
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** The native module. */
export const addon: NativeAddon = bindings({ bindings: 'flowsieve', module_root: root });
