import type { ListKind } from '../protocol/index.js';
import { Book, type Entry, type Record } from './book.js';
import { nanoseconds } from './clock.js';
import { LeftPackets, type Received } from './left.js';
import type {
  Plane,
  PlaneCriteria,
  PlaneEntry,
  PlaneList,
  PlaneOptions,
  PlanePacket,
  PlaneTransition,
} from './plane.js';
import { STATUS } from './status.js';

// The plain twin of the native data plane: the decision of section 2 of the design and the table of
// docs/decisions/cluster-protocol.md, over a Map. Written from those pages, not from the C++.
//
// Deadlines: a packet is decided by the connections that were there when it was received; lists,
// adoption and what is answered late go by the connections that are there now. age() removes what
// is over by now: a packet that had been received before, and is decided after, comes too late.

const STATUS_NAMES = ['OPENING', 'ESTABLISHED', 'CLOSING'] as const;
const LIST_BLOCK = 32;
// A node that is behind by more has no lease, and a time further back is none.
const BEHIND_MS_MAX = 5000;

interface Waiting extends Received {
  readonly since: number;
}

interface Progress {
  readonly to: PlaneTransition;
  holding: boolean;
  released: boolean;
  readonly acquired: Set<number>;
}

/** Whose an unknown packet is. */
interface Verdict {
  readonly owner: number;
  readonly hold: boolean;
  readonly contested: boolean;
}

/** How a connection began, besides its packet. */
interface Beginning {
  /** Ticks. */
  readonly opened: number;
  readonly reopened: boolean;
}

function isOpening(packet: PlanePacket): boolean {
  return packet.kind === 'syn' || packet.kind === 'datagram';
}

/** A data plane in plain JavaScript. */
export class TwinPlane implements Plane {
  private readonly book: Book;
  private readonly self: number;
  private criteria: PlaneCriteria;
  private progress: Progress | null = null;
  /** Others may still decide by these: what this node has gained since is contested. */
  private before: PlaneCriteria | null = null;
  private openUntil = Number.POSITIVE_INFINITY;
  private arrived: Received[] = [];
  private waiting: Waiting[] = [];
  private readonly left = new LeftPackets();
  private delivered: number[] = [];

  constructor(private readonly options: PlaneOptions) {
    this.self = options.self;
    this.criteria = options.criteria;
    this.book = new Book(options.self, options.timeouts);
  }

  push(packet: PlanePacket, received: number): void {
    this.arrived.push({ packet, at: received });
  }

  turn(now: number): number[] {
    this.answerRefused(now);
    const packets = this.arrived;
    this.arrived = [];
    for (const { packet, at } of packets) {
      this.decide({ packet, at: Math.min(now, Math.max(at, now - BEHIND_MS_MAX)) }, now);
    }
    return this.taken();
  }

  age(now: number): void {
    this.expireWaiting(now);
    this.book.expire(now);
  }

  private expireWaiting(now: number): void {
    const isOver = ({ since }: Waiting): boolean =>
      nanoseconds(now) - nanoseconds(since) >= this.options.holdMs * 1e6;
    const over = this.waiting.filter(isOver);
    this.waiting = this.waiting.filter((one) => !isOver(one));
    for (const one of over) this.noteInVain(one);
  }

  /** What has waited in vain is the loser's, as it is for those who hold nothing. */
  private noteInVain({ packet, at }: Waiting): void {
    const entry = this.book.find(packet.key, at);
    const { old } = this.ownersOf(packet);
    const tick = this.book.tick(at);
    if (entry) this.book.follow(entry, packet.kind, tick);
    else if (old !== this.self && this.options.tracking === 'observe') {
      this.book.enter(packet, old, { seen: tick, opened: tick, reopened: false });
    }
  }

  private isLeaseOver(now: number): boolean {
    return nanoseconds(now) >= nanoseconds(this.openUntil);
  }

  setOpenUntil(until: number, now: number): number[] {
    this.openUntil = until;
    if (until === 0) this.left.take(now, ({ owner }) => owner === this.self);
    this.answerRefused(now);
    return this.taken();
  }

  /** Nobody else has answered what was this node's all the time: its life is not over. */
  private answerRefused(now: number): void {
    if (this.isLeaseOver(now)) return;
    for (const received of this.left.take(now, ({ owner }) => owner === this.self)) {
      const { packet, at } = received;
      const entry = this.book.find(packet.key, now);
      const tick = this.book.tick(at);
      const verdict = this.verdict(packet);
      if (entry) this.answerAgain(received, entry);
      else if (verdict.owner === this.self) {
        this.decideUnknown(received, verdict, { opened: tick, reopened: false }, now);
      }
    }
  }

  /** The connection was opened by an earlier packet of it that had been refused. */
  private answerAgain({ packet, at }: Received, entry: Entry): void {
    const isOpening = entry.status === STATUS.OPENING && !entry.adopted;
    const isOfThisLife = this.book.tick(at) >= entry.opened - 1;
    if (entry.owner !== this.self || !isOpening || !isOfThisLife) return;
    this.book.follow(entry, packet.kind, this.book.tick(at));
    this.delivered.push(packet.id);
  }

  /** What another answers by now stays that one's. */
  private forgetRefused(now: number): void {
    this.left.take(
      now,
      ({ packet, owner }) => owner === this.self && this.verdict(packet).owner !== this.self,
    );
  }

  prepare(to: PlaneTransition, now: number): number[] {
    this.prepares(to, false, now);
    return this.taken();
  }

  /** What an abandoned transition left waiting is decided, or waits, by this one. */
  private prepares(to: PlaneTransition, holding: boolean, now: number): void {
    if (this.progress?.to.epoch === to.epoch) return;
    this.progress = { to, holding, released: false, acquired: new Set() };
    this.resolve(now);
  }

  hold(): number[] {
    if (this.progress) this.progress.holding = true;
    return [];
  }

  release(now: number): number[] {
    const delivered = this.turn(now);
    if (!this.progress) return delivered;
    this.progress.released = true;
    this.forgetRefused(now);
    return delivered;
  }

  acquire(from: readonly number[], now: number): number[] {
    const { progress } = this;
    if (!progress) return [];
    for (const loser of from) progress.acquired.add(loser);
    this.resolve(now);
    return this.taken();
  }

  takeover(to: PlaneTransition, now: number): number[] {
    this.prepares(to, true, now);
    return this.taken();
  }

  install(criteria: PlaneCriteria, now: number): number[] {
    this.expireWaiting(now);
    if (this.progress?.to.epoch === criteria.epoch) this.before = this.criteria;
    this.criteria = criteria;
    this.progress = null;
    this.forgetRefused(now);
    this.resolve(now);
    return this.taken();
  }

  adopt(dead: readonly number[], now: number): number[] {
    if (!this.isLeaseOver(now)) this.recall(dead, now);
    for (const entry of this.book.all(now)) {
      const heir = this.heir(entry);
      if (dead.includes(entry.owner) && heir !== entry.owner) this.book.adopt(entry, heir);
    }
    return this.taken();
  }

  /** Answers what was left to the dead of late, where the connection is still opening. */
  private recall(dead: readonly number[], now: number): void {
    for (const received of this.left.take(now, ({ owner }) => dead.includes(owner))) {
      const { packet, at } = received;
      const entry = this.book.find(packet.key, now);
      if (!entry) this.recallUntracked(received, dead, now);
      // An earlier connection may have had the same addresses and ports.
      if (!entry || this.book.tick(at) < entry.opened - 1) continue;
      if (entry.status !== STATUS.OPENING) continue;
      const isTaken = entry.owner === this.self;
      if (!isTaken && (!dead.includes(entry.owner) || this.heir(entry) !== this.self)) continue;
      if (!isTaken) this.book.answer(entry);
      this.delivered.push(packet.id);
    }
  }

  /** Who notes only its own connections decides as if the dead had released already. */
  private recallUntracked(received: Received, dead: readonly number[], now: number): void {
    if (this.options.tracking === 'observe') return;
    const { progress } = this;
    const acquired = new Set(progress?.acquired);
    for (const node of dead) progress?.acquired.add(node);
    this.decide(received, now, true);
    if (progress) this.progress = { ...progress, acquired };
  }

  private heir(entry: Entry): number {
    const isTakeover = this.progress !== null && this.progress.to.dead.length > 0;
    return this.bucketOwner(isTakeover ? (this.progress as Progress).to : this.criteria, entry);
  }

  clearContested(): void {
    this.book.contested.clear();
    this.before = null;
  }

  exportList(kind: ListKind, to: number, from: unknown, now: number): PlaneList {
    this.age(now);
    const after = typeof from === 'number' ? from : 0;
    const wanted = this.wanted(kind, to, now).filter(({ serial }) => serial > after);
    const block = wanted.slice(0, LIST_BLOCK);
    const records = block.map((entry) => ({
      ...entry,
      // Who returns has what it has answered, wherever that came from.
      adopted: entry.adopted && !(kind === 'own' && entry.answered),
      confirmed: entry.confirmed || entry.owner === this.self,
    }));
    const next = wanted.length > LIST_BLOCK ? block[LIST_BLOCK - 1]?.serial : null;
    return { records, count: records.length, now: this.book.tick(now), next: next ?? null };
  }

  importList(list: PlaneList, kind: ListKind, owners: readonly number[], now: number): void {
    this.age(now);
    for (const record of list.records as readonly Record[]) {
      const owner = owners[record.owner] ?? record.owner;
      this.book.merge({ ...record, owner }, list.now, kind, now);
    }
  }

  entries(now: number): PlaneEntry[] {
    return this.book.all(now).map(({ key, owner, status, opened, seen }) => {
      return { key, owner, status: STATUS_NAMES[status] ?? 'OPENING', opened, seen };
    });
  }

  held(): number {
    return this.waiting.length;
  }

  contested(): number {
    return this.book.contested.size;
  }

  private taken(): number[] {
    const { delivered } = this;
    this.delivered = [];
    return delivered;
  }

  private bucketOwner(
    view: PlaneCriteria,
    { tuple, key }: Pick<PlanePacket, 'tuple' | 'key'>,
  ): number {
    return view.owners[view.distribution.bucket(tuple, key)] ?? -1;
  }

  private ownersOf(packet: Pick<PlanePacket, 'tuple' | 'key'>): { old: number; next: number } {
    const old = this.bucketOwner(this.criteria, packet);
    return { old, next: this.progress ? this.bucketOwner(this.progress.to, packet) : old };
  }

  /** The table "who decides an unknown packet during a transition". */
  private verdict(packet: PlanePacket): Verdict {
    const { old, next } = this.ownersOf(packet);
    const { progress, self } = this;
    if (!progress || old === next) {
      const gained = this.before !== null && this.bucketOwner(this.before, packet) !== self;
      return { owner: old, hold: false, contested: old === self && gained };
    }
    if (old === self) {
      return { owner: progress.released ? next : self, hold: false, contested: !progress.released };
    }
    if (next === self) {
      if (progress.acquired.has(old)) return { owner: self, hold: false, contested: true };
      return { owner: old, hold: progress.holding, contested: false };
    }
    return { owner: old, hold: false, contested: false };
  }

  /** `waited`: it was held; what has closed its connection meanwhile came after it. */
  private decide(received: Received, now: number, waited = false): void {
    const { packet, at } = received;
    const tick = this.book.tick(at);
    let entry = this.book.find(packet.key, at);
    let how: Beginning = { opened: tick, reopened: false };
    if (entry && packet.kind === 'syn' && !waited && this.book.isFree(entry, tick)) {
      this.book.erase(entry);
      entry = undefined;
      how = { opened: tick, reopened: true };
    }
    if (entry && isOpening(packet) && this.isDecidedAnew(entry, packet)) {
      // It is not another connection by that: the others know it since its first packet.
      how = { opened: Math.min(entry.opened, tick), reopened: entry.reopened };
      this.book.erase(entry);
      entry = undefined;
    }
    if (entry) this.decideKnown(entry, packet, tick, now);
    else {
      const verdict = this.verdict(packet);
      if (verdict.hold) this.wait(received, now);
      else this.decideUnknown(received, verdict, how, now);
      if (!waited && this.isLeaseOver(now)) this.keepRefused(received);
    }
  }

  private wait(received: Received, now: number): void {
    this.expireWaiting(now);
    this.waiting.push({ ...received, since: now });
  }

  private decideKnown(entry: Entry, packet: PlanePacket, tick: number, now: number): void {
    const isOwn = entry.owner === this.self;
    const isInherited = entry.adopted && !entry.answered;
    // Past its lease this node may have been declared dead: what comes anew, what it has only
    // inherited, and what may have been opened while it saw nothing, is another's to answer.
    const isRefused = isOwn && this.isLeaseOver(now);
    if (isRefused && this.book.isLeft(entry, tick)) return;
    this.book.follow(entry, packet.kind, tick);
    if (!isOwn || (isRefused && (packet.kind === 'syn' || isInherited))) return;
    this.delivered.push(packet.id);
    if (isInherited && packet.kind === 'datagram') entry.answered = true;
  }

  /** Not what was another's before, and may be noted as that one's: the others were not told. */
  private keepRefused(received: Received): void {
    const { packet } = received;
    const { owner, hold } = this.verdict(packet);
    const isOwn = owner === this.self && !hold && this.ownersOf(packet).old === this.self;
    const gained = this.before !== null && this.bucketOwner(this.before, packet) !== this.self;
    if (!isOpening(packet) || this.openUntil === 0 || !isOwn || gained) return;
    this.left.keep(received, this.self);
  }

  /** Nobody here knows whether the noted owner has taken it, and it should be another by now. */
  private isDecidedAnew(entry: Entry, packet: PlanePacket): boolean {
    if (!this.book.isGuess(entry)) return false;
    const { owner, hold } = this.verdict(packet);
    if (hold || owner === this.self) return true;
    // A SYN comes again when nobody has answered; a datagram comes again in any case.
    return packet.kind === 'syn' && (owner !== entry.owner || !this.isTracked(packet));
  }

  private decideUnknown(received: Received, verdict: Verdict, how: Beginning, now: number): void {
    const { packet, at } = received;
    const mine = verdict.owner === this.self;
    if (mine && this.isLeaseOver(now)) return;
    if (mine) this.delivered.push(packet.id);
    else if (isOpening(packet)) this.left.keep(received, verdict.owner);
    if (!mine && !this.isTracked(packet)) return;
    this.book.enter(packet, verdict.owner, { ...how, seen: this.book.tick(at) });
    if (verdict.contested) this.book.contested.add(packet.key);
  }

  /** Connections of others that are noted. */
  private isTracked(packet: PlanePacket): boolean {
    if (this.options.tracking === 'observe') return true;
    const { old, next } = this.ownersOf(packet);
    return next === this.self && old !== next;
  }

  /** Decides what waits, in the order in which it came; what is still to be held goes on. */
  private resolve(now: number): void {
    this.expireWaiting(now);
    const { waiting } = this;
    this.waiting = [];
    for (const one of waiting) {
      if (this.isHeld(one)) this.waiting.push(one);
      else this.decide(one, now, true);
    }
  }

  private isHeld({ packet, at }: Waiting): boolean {
    const entry = this.book.find(packet.key, at);
    if (entry && !(isOpening(packet) && this.isDecidedAnew(entry, packet))) return false;
    if (!this.verdict(packet).hold) return false;
    if (entry) this.book.erase(entry);
    return true;
  }

  private wanted(kind: ListKind, to: number, now: number): Entry[] {
    const dead = this.progress?.to.dead ?? [];
    const { contested } = this.book;
    return this.book.all(now).filter((entry) => {
      const own = entry.owner === this.self;
      const { old, next } = this.ownersOf(entry);
      if (kind === 'tables') return true;
      if (kind === 'own') return own;
      if (kind === 'moving') return old === this.self && next === to;
      if (kind === 'released') return own && contested.has(entry.key) && next === to;
      if (kind === 'contested') return own && contested.has(entry.key);
      return own && (contested.has(entry.key) || dead.includes(old));
    });
  }
}
