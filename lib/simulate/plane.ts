import type { NativeDistribution } from '../native/index.js';
import type { ListKind } from '../protocol/index.js';
import type { PacketKind, Tuple } from './packets.js';

// The data plane as a simulated node sees it. Times are the node's own, in milliseconds with
// fractions; nodes are indexes of the node's own making.

/** What packets carry between the simulated clients and the data planes. */
export interface PlanePacket {
  readonly id: number;
  readonly kind: PacketKind;
  readonly tuple: Tuple;
  /** The same for the same tuple. */
  readonly key: string;
  readonly frame: Uint8Array;
}

/** The hash of a distribution; see hashing.ts. */
export interface Distribution {
  readonly native: NativeDistribution;
  readonly buckets: number;
  /** The bucket of a connection. */
  bucket(tuple: Tuple, key: string): number;
}

/** Who owns which bucket, by which hash. */
export interface PlaneCriteria {
  readonly distribution: Distribution;
  readonly epoch: number;
  /** The node index of every bucket's owner. */
  readonly owners: Uint16Array;
}

/** The criteria to come. */
export interface PlaneTransition extends PlaneCriteria {
  /** Losers that are dead. */
  readonly dead: readonly number[];
}

/** A block of connections, as it travels. What is in it only planes of the same make know. */
export interface PlaneList {
  readonly records: unknown;
  readonly count: number;
  /** The sender's tick. */
  readonly now: number;
  /** Where the next block begins; null: this was the last. */
  readonly next: unknown;
}

/** A connection in a plane's table. */
export interface PlaneEntry {
  readonly key: string;
  /** Node index. */
  readonly owner: number;
  readonly status: 'OPENING' | 'ESTABLISHED' | 'CLOSING';
  /** Ticks: when it was opened, and when its last packet came. */
  readonly opened: number;
  readonly seen: number;
}

/** What a plane was made with. */
export interface PlaneOptions {
  readonly self: number;
  readonly criteria: PlaneCriteria;
  readonly tracking: 'observe' | 'own';
  readonly holdMs: number;
  /** Timeouts of TCP in seconds: opening, established, closing. */
  readonly timeouts: readonly [number, number, number];
  readonly now: number;
  /** Of what is random in a table, so that a run can be repeated. */
  readonly seed: number;
}

/** Methods that decide packets return the numbers of those that they deliver, in order. */
export interface Plane {
  /** A packet has arrived at `received`. */
  push(packet: PlanePacket, received: number): void;
  /** Decides all that has arrived. */
  turn(now: number): number[];
  /** Lets connections and held packets grow old. */
  age(now: number): void;
  /** 0: there is no lease in this life. One that begins again delivers what was refused without. */
  setOpenUntil(until: number, now: number): number[];
  prepare(transition: PlaneTransition, now: number): number[];
  hold(now: number): number[];
  /** Decides what has arrived, then releases. */
  release(now: number): number[];
  acquire(from: readonly number[], now: number): number[];
  takeover(transition: PlaneTransition, now: number): number[];
  install(criteria: PlaneCriteria, now: number): number[];
  adopt(dead: readonly number[], now: number): number[];
  clearContested(): void;
  exportList(kind: ListKind, to: number, from: unknown, now: number): PlaneList;
  /** `owners`: this node's index for each of the sender's. What is believed depends on the kind. */
  importList(list: PlaneList, kind: ListKind, owners: readonly number[], now: number): void;
  /** What is in the table and not over, for those who look on. */
  entries(now: number): PlaneEntry[];
  /** Packets that wait, and connections that are contested. */
  held(): number;
  contested(): number;
}

export type MakePlane = (options: PlaneOptions) => Plane;
