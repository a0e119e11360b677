import type { ListKind } from '../protocol/index.js';
import { Book, type Entry, type Record } from './book.js';
import type {
  Plane,
  PlaneCriteria,
  PlaneEntry,
  PlaneList,
  PlaneOptions,
  PlanePacket,
  PlaneTransition,
} from './plane.js';
import { nextStatus, STATUS } from './status.js';

// The plain twin of the native data plane: the decision of section 2 of the design and the table of
// docs/decisions/cluster-protocol.md, over a Map. Written from those pages, not from the C++.

const STATUS_NAMES = ['OPENING', 'ESTABLISHED', 'CLOSING'] as const;
const RECALL_MS = 1500;
const RECALL_MAX = 1024;
const LIST_BLOCK = 32;

interface Received {
  readonly packet: PlanePacket;
  /** When it came; it may be decided much later. */
  readonly at: number;
}

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

function isOpening(packet: PlanePacket): boolean {
  return packet.kind === 'syn' || packet.kind === 'datagram';
}

/** The newest ones are kept. */
function keep(list: Received[], received: Received): void {
  list.push(received);
  if (list.length > RECALL_MAX) list.shift();
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
  private left: Received[] = [];
  /** Opening packets that were this node's to answer, but came when it had no lease. */
  private refused: Received[] = [];
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
    const packets = this.arrived;
    this.arrived = [];
    for (const { packet, at } of packets) this.decide(packet, at, now);
    return this.taken();
  }

  age(now: number): void {
    this.book.expire(now);
    const waiting = this.waiting;
    this.waiting = [];
    for (const one of waiting) {
      if (now - one.since < this.options.holdMs) this.waiting.push(one);
      else this.noteInVain(one, now);
    }
  }

  /** What has waited in vain is the loser's, as it is for those who hold nothing. */
  private noteInVain({ packet, at }: Waiting, now: number): void {
    const entry = this.book.find(packet.key, now);
    if (entry) {
      nextStatus(entry, packet.kind, this.book.tick(at));
      return;
    }
    this.book.enter(packet, this.ownersOf(packet).old, at, false);
  }

  setOpenUntil(until: number, now: number): number[] {
    this.openUntil = until;
    if (until === 0) this.refused = [];
    else if (now <= until) this.answerRefused(now);
    return this.taken();
  }

  /** Nobody else has answered what was this node's all the time: its life is not over. */
  private answerRefused(now: number): void {
    const { refused } = this;
    this.refused = [];
    for (const received of refused) {
      const { packet, at } = received;
      if (now - at > RECALL_MS) continue;
      const entry = this.book.find(packet.key, now);
      const verdict = this.verdict(packet);
      if (entry) this.answerAgain(received, entry);
      else if (verdict.owner === this.self) this.decideUnknown(received, verdict, false, now);
    }
  }

  /** The connection was opened by an earlier packet of it that had been refused. */
  private answerAgain({ packet, at }: Received, entry: Entry): void {
    const isOpening = entry.status === STATUS.OPENING && !entry.adopted;
    const isOfThisLife = this.book.tick(at) >= entry.opened - 1;
    if (entry.owner !== this.self || !isOpening || !isOfThisLife) return;
    nextStatus(entry, packet.kind, this.book.tick(at));
    this.delivered.push(packet.id);
  }

  /** What another answers by now stays that one's. */
  private forgetRefused(): void {
    this.refused = this.refused.filter(({ packet }) => this.verdict(packet).owner === this.self);
  }

  prepare(to: PlaneTransition, now: number): number[] {
    const delivered = this.discardHeld(now);
    this.progress = { to, holding: false, released: false, acquired: new Set() };
    return delivered;
  }

  hold(): number[] {
    if (this.progress) this.progress.holding = true;
    return [];
  }

  release(now: number): number[] {
    const delivered = this.turn(now);
    if (this.progress) this.progress.released = true;
    this.forgetRefused();
    return delivered;
  }

  acquire(from: readonly number[], now: number): number[] {
    const { progress } = this;
    if (!progress) return [];
    for (const loser of from) progress.acquired.add(loser);
    this.resolve(now, (packet) => from.includes(this.ownersOf(packet).old));
    return this.taken();
  }

  takeover(to: PlaneTransition, now: number): number[] {
    const delivered = this.prepare(to, now);
    this.hold();
    return delivered;
  }

  install(criteria: PlaneCriteria, now: number): number[] {
    if (this.progress?.to.epoch === criteria.epoch) this.before = this.criteria;
    this.criteria = criteria;
    this.progress = null;
    this.forgetRefused();
    return this.discardHeld(now);
  }

  adopt(dead: readonly number[], now: number): number[] {
    const view =
      this.progress && this.progress.to.dead.length > 0 ? this.progress.to : this.criteria;
    const heir = (entry: Entry): number => this.bucketOwner(view, entry);
    const recent = this.left.filter(({ at }) => now - at <= RECALL_MS);
    for (const { packet } of recent) {
      const entry = this.book.find(packet.key, now);
      if (!entry || entry.status !== STATUS.OPENING || !dead.includes(entry.owner)) continue;
      if (heir(entry) !== this.self) continue;
      // All of them at once: the entry is then no longer a dead node's.
      this.deliverOpenings(recent, entry);
      this.book.answer(entry);
    }
    for (const entry of this.book.all(now)) {
      if (dead.includes(entry.owner)) this.book.adopt(entry, heir(entry));
    }
    return this.taken();
  }

  clearContested(): void {
    this.book.contested.clear();
    this.before = null;
  }

  exportList(kind: ListKind, to: number, from: unknown, now: number): PlaneList {
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
    for (const record of list.records as readonly Record[]) {
      const owner = owners[record.owner] ?? record.owner;
      this.book.merge({ ...record, owner }, list.now, kind, now);
    }
  }

  entries(now: number): PlaneEntry[] {
    return this.book.all(now).map(({ key, owner, status }) => {
      return { key, owner, status: STATUS_NAMES[status] ?? 'OPENING' };
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

  private deliverOpenings(recent: readonly Received[], { key, opened }: Entry): void {
    for (const { packet, at } of recent) {
      // An earlier connection may have had the same addresses and ports.
      const isOfThisLife = this.book.tick(at) >= opened - 1;
      if (packet.key === key && isOfThisLife) this.delivered.push(packet.id);
    }
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
  private decide(packet: PlanePacket, at: number, now: number, waited = false): void {
    let entry = this.book.find(packet.key, now);
    let reopened = false;
    if (entry && packet.kind === 'syn' && !waited && this.book.isFree(entry, at)) {
      this.book.erase(entry);
      entry = undefined;
      reopened = true;
    }
    if (entry && isOpening(packet) && this.book.isGuess(entry)) {
      entry = this.guessAgain(entry, packet);
    }
    if (entry) {
      // Past its lease this node may have been declared dead: what comes anew, what it has only
      // inherited, and what may have been opened while it saw nothing, is another's to answer.
      if (entry.owner === this.self && now > this.openUntil && this.book.isLeft(entry, at)) return;
      if (this.book.isOrphan(entry) && packet.kind === 'data') this.book.end(entry, at);
      else nextStatus(entry, packet.kind, this.book.tick(at));
      const isInherited = entry.adopted && !entry.answered;
      const isRefused = now > this.openUntil && (packet.kind === 'syn' || isInherited);
      if (entry.owner !== this.self || isRefused) return;
      this.delivered.push(packet.id);
      entry.answered = packet.kind === 'datagram';
      return;
    }
    const verdict = this.verdict(packet);
    if (verdict.hold) this.waiting.push({ packet, at, since: now });
    else this.decideUnknown({ packet, at }, verdict, reopened, now);
    if (!waited && now > this.openUntil) this.keepRefused({ packet, at });
  }

  /** Not what was another's before, and may be noted as that one's: the others were not told. */
  private keepRefused(received: Received): void {
    const { packet } = received;
    const { owner, hold } = this.verdict(packet);
    const isOwn = owner === this.self && !hold && this.ownersOf(packet).old === this.self;
    const gained = this.before !== null && this.bucketOwner(this.before, packet) !== this.self;
    if (isOpening(packet) && this.openUntil > 0 && isOwn && !gained) keep(this.refused, received);
  }

  /** The entry, when its owner is still the one who should take the connection. */
  private guessAgain(entry: Entry, packet: PlanePacket): Entry | undefined {
    const { owner, hold } = this.verdict(packet);
    // A SYN comes again when nobody has answered; a datagram comes again in any case.
    if (packet.kind !== 'syn' && owner !== this.self && !hold) return entry;
    if (owner === entry.owner && !hold && this.isTracked(packet)) return entry;
    this.book.erase(entry);
    return undefined;
  }

  private decideUnknown(
    received: Received,
    verdict: Verdict,
    reopened: boolean,
    now: number,
  ): void {
    const { packet, at } = received;
    const mine = verdict.owner === this.self;
    if (mine && now > this.openUntil) return;
    if (mine) this.delivered.push(packet.id);
    else if (isOpening(packet)) keep(this.left, received);
    if (!mine && !this.isTracked(packet)) return;
    this.book.enter(packet, verdict.owner, at, reopened);
    if (verdict.contested) this.book.contested.add(packet.key);
  }

  /** Connections of others that are noted. */
  private isTracked(packet: PlanePacket): boolean {
    if (this.options.tracking === 'observe') return true;
    const { old, next } = this.ownersOf(packet);
    return next === this.self && old !== next;
  }

  /** Decides what waits and is chosen, in the order in which it came. */
  private resolve(now: number, chosen: (packet: PlanePacket) => boolean): void {
    this.age(now);
    const waiting = this.waiting;
    this.waiting = [];
    for (const one of waiting) {
      if (chosen(one.packet)) this.decide(one.packet, one.at, now, true);
      else this.waiting.push(one);
    }
  }

  /** A transition ends: what still waits is decided by the criteria alone. */
  private discardHeld(now: number): number[] {
    this.progress = null;
    this.resolve(now, () => true);
    return this.taken();
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
      if (kind === 'released') return contested.has(entry.key) && next === to;
      if (kind === 'contested') return own && contested.has(entry.key);
      return own && (contested.has(entry.key) || dead.includes(old));
    });
  }
}
