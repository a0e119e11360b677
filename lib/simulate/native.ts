import {
  addon,
  type NativeCriteria,
  type NativeMemoryNode,
  type NativeRecords,
  type NativeTransition,
  RECORD_BYTES,
  readAll,
  readRecord,
} from '../native/index.js';
import type { ListKind } from '../protocol/index.js';
import { nanoseconds } from './clock.js';
import { clusterAddresses, packetId } from './packets.js';
import type {
  Plane,
  PlaneCriteria,
  PlaneEntry,
  PlaneList,
  PlaneOptions,
  PlanePacket,
  PlaneTransition,
} from './plane.js';

// The worker of the live path, over memory: what is simulated around it are its ring and its clock.

// Small tables begin sooner; a run has some thousand connections at most.
const CAPACITY = 4096;
const LIST_BLOCK = 64;
const TICK_NS = 100_000_000;
const STATUS_NAMES = ['OPENING', 'ESTABLISHED', 'CLOSING'] as const;
const FRAMES_MAX = 4096;
// Seconds, of UDP, ICMP, SCTP and others, by status.
const OTHER_TIMEOUTS = [30, 120, 30, 30, 30, 30, 30, 7440, 20, 30, 600, 30] as const;

function ns(local: number): bigint {
  return BigInt(nanoseconds(Math.max(0, local)));
}

/** The addon's data plane. */
export class NativePlane implements Plane {
  private readonly node: NativeMemoryNode;

  constructor(private readonly options: PlaneOptions) {
    const { self, criteria, holdMs, timeouts, now, seed } = options;
    this.node = new addon.MemoryNode(
      {
        capacity: CAPACITY,
        openingShare: 0.9,
        timeouts: [...timeouts, ...OTHER_TIMEOUTS],
        nodes: 0xffff,
        self,
        addresses: clusterAddresses(),
        linkAddresses: [],
        bothDirections: false,
        sampleEvery: 0,
        fragments: { held: 16, heldBytes: 65_536, holdSeconds: 1 },
        holdBytes: 1 << 20,
        holdMs,
        seed: BigInt(seed),
      },
      this.native(criteria),
      ns(now),
    );
  }

  /** Gives the memory back, which nobody would do before a long run of simulations is over. */
  close(): void {
    this.node.close();
  }

  private native(criteria: PlaneCriteria): NativeCriteria {
    const { self, tracking } = this.options;
    const { epoch, owners, distribution } = criteria;
    return {
      distribution: distribution.native,
      epoch,
      self,
      owners,
      tracking,
      monitoring: true,
      forwards: false,
    };
  }

  private toCome(transition: PlaneTransition): NativeTransition {
    const { distribution, epoch, owners, dead } = transition;
    return { distribution: distribution.native, epoch, owners, dead: [...dead] };
  }

  /** Tells the time, does it, and collects what was delivered by it. */
  private at(now: number, what: () => void): number[] {
    const time = ns(now);
    const before = this.node.turn(time, 0).map(packetId);
    what();
    return [...before, ...this.node.turn(time, 0).map(packetId)];
  }

  push(packet: PlanePacket, received: number): void {
    this.node.push(packet.frame, ns(received));
  }

  turn(now: number): number[] {
    return this.node.turn(ns(now), FRAMES_MAX).map(packetId);
  }

  age(now: number): void {
    this.node.age(ns(now));
  }

  setOpenUntil(until: number, now: number): number[] {
    return this.at(now, () => this.node.setOpenUntil(ns(until)));
  }

  prepare(transition: PlaneTransition, now: number): number[] {
    return this.at(now, () => this.node.prepare(this.toCome(transition)));
  }

  hold(now: number): number[] {
    return this.at(now, () => this.node.hold());
  }

  release(now: number): number[] {
    return this.at(now, () => this.node.release());
  }

  acquire(from: readonly number[], now: number): number[] {
    return this.at(now, () => this.node.acquire([...from]));
  }

  takeover(transition: PlaneTransition, now: number): number[] {
    return this.at(now, () => this.node.takeover(this.toCome(transition)));
  }

  install(criteria: PlaneCriteria, now: number): number[] {
    return this.at(now, () => this.node.replaceCriteria(this.native(criteria)));
  }

  adopt(dead: readonly number[], now: number): number[] {
    return this.at(now, () => this.node.adopt([...dead]));
  }

  clearContested(): void {
    this.node.clearContested();
  }

  exportList(kind: ListKind, to: number, from: unknown, now: number): PlaneList {
    this.node.age(ns(now));
    const cursor = typeof from === 'bigint' ? from : 0n;
    const list = this.node.exportList(kind, to, 0, cursor, LIST_BLOCK);
    const next = list.cursor === 0n ? null : list.cursor;
    return { records: list, count: list.records.length / RECORD_BYTES, now: list.now, next };
  }

  importList(list: PlaneList, kind: ListKind, owners: readonly number[], now: number): void {
    this.node.age(ns(now));
    const { records, now: senderNow } = list.records as NativeRecords;
    this.node.importList(records, senderNow, Uint16Array.from(owners), kind);
  }

  entries(now: number): PlaneEntry[] {
    const tick = Math.floor(nanoseconds(now) / TICK_NS);
    const entries: PlaneEntry[] = [];
    let cursor = 0n;
    do {
      const list = this.node.exportList('tables', this.options.self, 0, cursor, 1024);
      cursor = list.cursor;
      for (const record of readAll(list.records, RECORD_BYTES, readRecord)) {
        const { protocol, client, server, owner, status } = record;
        const { openedTick: opened, lastSeenTick: seen } = record;
        if (tick - seen >= this.timeout(protocol, status)) continue;
        const key = `${protocol} [${client.address}]:${client.port}>${server.port}`;
        entries.push({ key, owner, status, opened, seen });
      }
    } while (cursor !== 0n);
    return entries;
  }

  /** Ticks. */
  private timeout(protocol: string, status: PlaneEntry['status']): number {
    const seconds = protocol === 'tcp' ? this.options.timeouts : OTHER_TIMEOUTS;
    return (seconds[STATUS_NAMES.indexOf(status)] as number) * 10;
  }

  held(): number {
    return this.node.snapshot()[0]?.held ?? 0;
  }

  contested(): number {
    return this.node.snapshot()[0]?.contested ?? 0;
  }
}
