// Nodes in memory: the worker of the live path, its table and its decisions, with frames that are
// pushed and a time that is handed in.
import {
  addon,
  type NativeCriteria,
  type NativeDistribution,
  type NativeMemoryNode,
  nameCounters,
  nativeAddresses,
  RECORD_BYTES,
} from '../../lib/native/index.js';
import { address, blankFrame, CLUSTER_ADDRESS, type Flag } from './frames.js';

/** Records of one block, as nodes ask each other for them (lib/node/plane.ts). */
export const BLOCK_RECORDS = 2048;
/** Frames that a node in memory takes before a turn must decide them. */
export const QUEUE_FRAMES = 4096;
// Seconds, by protocol and status: the defaults of the configuration.
const TIMEOUTS = [30, 7440, 20, 30, 120, 30, 30, 30, 30, 30, 7440, 20, 30, 600, 30];
const ALL_FIELDS = 15;
const FIRST_NS = 1_000_000_000n;

/** What a bench's node is made of; everything else is as it is by default. */
export interface EngineOptions {
  readonly self: number;
  /** The node index of every bucket's owner. */
  readonly owners: Uint16Array;
  readonly capacity: number;
  readonly openingShare?: number;
  /** Of the hash of the buckets; all fields without it. */
  readonly fields?: number;
}

/** The distribution of every bench: a known key, so that runs can be repeated. */
export function distributionOf(buckets: number, fields = ALL_FIELDS): NativeDistribution {
  return {
    hash: 'siphash',
    key: Buffer.alloc(40, 7),
    fields,
    sourcePrefixIpv4: 32,
    sourcePrefixIpv6: 128,
    destinationPrefixIpv4: 32,
    destinationPrefixIpv6: 128,
    symmetric: false,
    buckets,
  };
}

/** Owners in turn: bucket 0 is node 0's, bucket 1 node 1's and so on. */
export function ownersInTurn(buckets: number, nodes: number): Uint16Array {
  return Uint16Array.from({ length: buckets }, (_, bucket) => bucket % nodes);
}

/** A node in memory, and frames for it. */
export class Engine {
  readonly node: NativeMemoryNode;
  readonly distribution: NativeDistribution;
  private readonly frame = blankFrame();
  private epoch = 1;
  private nowNs = FIRST_NS;

  constructor(private readonly options: EngineOptions) {
    const { self, owners, capacity, openingShare = 0.25, fields } = options;
    this.distribution = distributionOf(owners.length, fields);
    this.node = new addon.MemoryNode(
      {
        capacity,
        openingShare,
        timeouts: TIMEOUTS,
        nodes: 0xffff,
        self,
        addresses: nativeAddresses([CLUSTER_ADDRESS]),
        linkAddresses: [],
        bothDirections: false,
        sampleEvery: 0,
        fragments: { held: 16, heldBytes: 65_536, holdSeconds: 1 },
        holdBytes: 65_536,
        holdMs: 200,
        seed: 1n,
      },
      this.criteria(owners),
      this.nowNs,
    );
  }

  private criteria(owners: Uint16Array): NativeCriteria {
    const { distribution, epoch, options } = this;
    return {
      distribution,
      epoch,
      self: options.self,
      owners,
      tracking: 'observe',
      monitoring: true,
      forwards: false,
    };
  }

  /** Nanoseconds of the node's clock, which stands until somebody sets it on. */
  get now(): bigint {
    return this.nowNs;
  }

  /** Sets the clock to so many milliseconds after the beginning, and lets connections grow old. */
  age(ms: number): void {
    this.nowNs = FIRST_NS + BigInt(Math.round(ms * 1000)) * 1000n;
    this.node.age(this.nowNs);
  }

  /** A packet comes; the packets before it are decided when there is no place for it. */
  push(connection: number, flag: Flag): void {
    const { frame } = this;
    address(frame, connection, flag);
    if (this.node.push(frame)) return;
    this.turn();
    this.node.push(frame);
  }

  /** Decides what has come, and returns what was delivered. */
  turn(): Buffer[] {
    return this.node.turn(this.nowNs, QUEUE_FRAMES);
  }

  /** Other owners, from this moment on. */
  allocate(owners: Uint16Array): void {
    this.epoch += 1;
    this.node.replaceCriteria(this.criteria(owners));
  }

  /** One of the nodes has died, and `owners` have its buckets now. */
  bury(dead: number, owners: Uint16Array): void {
    const { node, distribution } = this;
    this.epoch += 1;
    node.takeover({ distribution, epoch: this.epoch, owners, dead: [dead] });
    node.adopt([dead]);
    node.acquire([dead]);
    node.replaceCriteria(this.criteria(owners));
  }

  /** All records of the table, in blocks. */
  *blocks(): Generator<Buffer> {
    let cursor = 0n;
    do {
      // To itself: nobody is told anything, so nothing depends on it afterwards.
      const list = this.node.exportList('tables', this.options.self, 0, cursor, BLOCK_RECORDS);
      cursor = list.cursor;
      if (list.records.length >= RECORD_BYTES) yield list.records;
    } while (cursor !== 0n);
  }

  /** A counter by its name. */
  count(name: string): number {
    return nameCounters(this.node.snapshot()).counters[name] ?? 0;
  }
}

/** Opens connections until `count` of them are established: what is open in a crowd. */
export function establish(engine: Engine, connections: Iterable<number>): void {
  for (const connection of connections) {
    engine.push(connection, 'syn');
    engine.push(connection, 'ack');
  }
  engine.turn();
}
