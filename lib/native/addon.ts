import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
}

/** What decisions depend on besides the table. */
export interface NativeCriteria {
  distribution: NativeDistribution;
  epoch: number;
  self: number;
  /** Node index of each bucket's owner. */
  owners: Uint16Array;
  tracking: 'observe' | 'own';
  monitoring: boolean;
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
  /** Sixteen bytes an address; null: every IP packet is the cluster's. */
  addresses: Uint8Array | null;
  bothDirections: boolean;
  sampleEvery: number;
  fragments: { held: number; heldBytes: number; holdSeconds: number };
}

/** The live engine's options beyond a worker's. */
export interface NativeEngineOptions {
  worker: NativeWorkerOptions;
  workers: number;
  interface: string;
  device: string;
  link: 'multicast' | 'unicast' | 'none';
  linkAddress: string;
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
}

export interface NativeEngine {
  start(): void;
  /** Ends the threads; devices and tables stay, and can be read. */
  stop(): Promise<void>;
  /** Stops, and gives rings, device and memory back. */
  close(): Promise<void>;
  /** Resolves when every worker decides by the new criteria. */
  replaceCriteria(criteria: NativeCriteria): Promise<void>;
  snapshot(): Promise<NativeWorkerSnapshot[]>;
  /**
   * One block of one worker's records; a cursor of 0n begins, and ends. `now` is the worker's tick.
   */
  connections(
    worker: number,
    cursor: bigint,
    limit: number,
  ): Promise<{ records: Buffer; cursor: bigint; now: number }>;
  /** Tells the neighbours where the cluster addresses are. */
  announce(): Promise<void>;
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
  verdict: 'pass' | 'deliver' | 'discard';
  packetClass: number;
  owner: number;
  byBucket: boolean;
  tracked: boolean;
  held: boolean;
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
  ): { hashed: Buffer; hash: bigint; bucket: number };
  /** Asks on the wire who else has these addresses. */
  findClashes(
    interfaceName: string,
    addresses: Uint8Array,
    linkAddress: string,
    waitMs: number,
  ): Promise<NativeClash[]>;
  Replay: new (
    input: { path: string } | { frame: Uint8Array; link: 'ethernet' | 'raw' },
    worker: NativeWorkerOptions,
    criteria: NativeCriteria,
  ) => NativeReplay;
  Engine: new (options: NativeEngineOptions, criteria: NativeCriteria) => NativeEngine;
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
