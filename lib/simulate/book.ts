import type { ListKind } from '../protocol/index.js';
import { nanoseconds } from './clock.js';
import type { PacketKind, Tuple } from './packets.js';
import type { PlanePacket } from './plane.js';
import { firstStatus, nextStatus, STATUS } from './status.js';

// The connections of a twin: own and others in one Map, and how lists of others are merged into it
// (see native/table/lists.cc for the fast one).

const TICK_NS = 100_000_000;
// Nodes receive a packet at nearly the same moment, but a list adds the time of its way. Nobody
// takes the same addresses and ports again within a second.
const SLACK_TICKS = 8;
// Nodes are no further apart about when a connection closed.
const CLOSED_APART_TICKS = 3;
// And after so long it may have been taken again.
const TAKEN_AGAIN_TICKS = 8;
// Seconds, by status: the defaults of UDP; the last is never asked for.
const UDP_TIMEOUTS = [30, 120, 30] as const;

/** A connection as it travels. */
export interface Record {
  readonly key: string;
  readonly tuple: Tuple;
  owner: number;
  status: number;
  /** Ticks of the node that has it. */
  opened: number;
  seen: number;
  /** Became known by a packet that opens nothing. */
  midstream: boolean;
  /** It was preceded by one that has closed. */
  reopened: boolean;
  /** The owner itself has said so, perhaps to others. Otherwise that is what should be. */
  confirmed: boolean;
  /** Its owner was a dead node, whose place this one takes; none of its packets was answered. */
  adopted: boolean;
  /** It is taken to be over since its owner died, not since a packet said so. */
  concluded: boolean;
}

/** A connection in the table. */
export interface Entry extends Record {
  /** Grows from entry to entry: a list that goes on there misses nothing. */
  readonly serial: number;
  /** Its beginning came with a list, or its end is only concluded: lists may know more of it. */
  imported: boolean;
  /** A packet has closed it, or has made this node conclude that: not a list alone. */
  closedHere: boolean;
  /** Adopted, and of UDP: this node has answered it. */
  answered: boolean;
}

/**
 * `later` is another connection with the same addresses and ports. That it was noted later is not
 * enough: any datagram of an unknown flow looks like its first, and any SYN like the first one.
 */
function isLaterLife(later: Record, earlier: Record): boolean {
  if (later.midstream || later.opened <= earlier.opened + SLACK_TICKS) return false;
  return later.reopened || earlier.status === STATUS.CLOSING;
}

/** `entry` has its end from this very record, or from another like it, and not from a packet. */
function isSameEnd(record: Record, entry: Entry): boolean {
  const isClosed = entry.status === STATUS.CLOSING && record.status === STATUS.CLOSING;
  const isByList = isClosed && !entry.closedHere && !record.reopened;
  return isByList && record.seen <= entry.seen + SLACK_TICKS;
}

function isConcluded({ status, concluded }: Record): boolean {
  return status === STATUS.CLOSING && concluded;
}

/** A living node has the connection, and it goes on: it says so itself, or nobody knows better. */
function isKept({ status, adopted, confirmed }: Record, trusted: boolean): boolean {
  return status !== STATUS.CLOSING && !adopted && (trusted || confirmed);
}

/**
 * What somebody noted does not weigh more than what the owner itself has said, nor does the word of
 * one who has inherited the connection: the dead node may have been noted wrongly. Except what this
 * node only inherited before it came: there the tables know better.
 */
function isOutweighed(kind: ListKind, record: Record, entry: Entry): boolean {
  if (!entry.confirmed) return false;
  if (!record.confirmed) return !(kind === 'tables' && entry.adopted);
  const isAnother = entry.owner !== record.owner;
  return kind !== 'tables' && !entry.adopted && isAnother && record.adopted;
}

/** A table of connections. */
export class Book {
  /** Keys of connections that were opened in a moving bucket. */
  readonly contested = new Set<string>();
  private readonly byKey = new Map<string, Entry>();
  private serials = 0;

  constructor(
    private readonly self: number,
    private readonly tcpTimeouts: readonly [number, number, number],
  ) {}

  tick(now: number): number {
    return Math.floor(nanoseconds(now) / TICK_NS);
  }

  find(key: string, now: number): Entry | undefined {
    const entry = this.byKey.get(key);
    if (!entry || !this.isOver(entry, now)) return entry;
    this.erase(entry);
    return undefined;
  }

  /** All connections, in the order in which they were entered. */
  all(now: number): Entry[] {
    this.expire(now);
    return [...this.byKey.values()];
  }

  /** Ticks: when the packet was received, and when its connection was opened. */
  enter(
    packet: PlanePacket,
    owner: number,
    { seen, opened, reopened }: { seen: number; opened: number; reopened: boolean },
  ): void {
    const status = firstStatus(packet.kind);
    this.put({
      key: packet.key,
      tuple: packet.tuple,
      owner,
      status,
      opened,
      seen,
      midstream: packet.kind !== 'syn' && packet.kind !== 'datagram',
      reopened,
      adopted: false,
      concluded: false,
      imported: false,
      closedHere: status === STATUS.CLOSING,
      answered: false,
      confirmed: false,
    });
  }

  private put(entry: Omit<Entry, 'serial'>): void {
    this.serials += 1;
    // An entry with this key goes first, so that the order is that of the serials.
    this.byKey.delete(entry.key);
    this.byKey.set(entry.key, { ...entry, serial: this.serials });
  }

  erase(entry: Entry): void {
    this.byKey.delete(entry.key);
  }

  expire(now: number): void {
    for (const entry of this.byKey.values()) {
      if (this.isOver(entry, now)) this.erase(entry);
    }
  }

  /** Its node has died, and its client has not been told so yet. */
  private isOrphan(entry: Entry): boolean {
    const { adopted, status, tuple } = entry;
    return adopted && status !== STATUS.CLOSING && tuple.protocol === 'tcp';
  }

  /** A packet of a known connection. */
  follow(entry: Entry, kind: PacketKind, tick: number): void {
    if (!this.isOrphan(entry) || kind !== 'data') {
      nextStatus(entry, kind, tick);
      return;
    }
    // Whoever owns it now answers with a reset, if it was the dead node's.
    entry.status = STATUS.CLOSING;
    entry.seen = Math.max(entry.seen, tick);
    entry.imported = true;
    entry.closedHere = true;
    entry.concluded = true;
  }

  /**
   * It has closed, or died with its node, and its key may be another connection's. Not when only a
   * list says that it has closed, and the SYN, received at `tick`, came before: then that is this
   * connection's, the first or a repetition, and this node is behind.
   */
  isFree(entry: Entry, tick: number): boolean {
    if (this.isOrphan(entry)) return true;
    if (entry.status !== STATUS.CLOSING) return false;
    return !entry.imported || entry.closedHere || tick > entry.seen + CLOSED_APART_TICKS;
  }

  /**
   * It has closed, and its client was silent for so long that it may have taken the same addresses
   * and ports again.
   */
  isLeft({ status, seen }: Entry, tick: number): boolean {
    return status === STATUS.CLOSING && tick > seen + TAKEN_AGAIN_TICKS;
  }

  /** Whether its owner has taken the connection is not known, and did perhaps not. */
  isGuess(entry: Entry): boolean {
    return entry.status === STATUS.OPENING && entry.owner !== this.self && !entry.confirmed;
  }

  /**
   * A dead node's connection gets another owner. Should that node live after all, it may have it
   * back. What it had not answered, as far as is known, this node forgets if it would be its own:
   * whoever comes again is decided by bucket and lease.
   */
  adopt(entry: Entry, owner: number): void {
    const isOpening = entry.status === STATUS.OPENING;
    if (isOpening && owner === this.self) {
      this.erase(entry);
      return;
    }
    entry.owner = owner;
    entry.adopted = !isOpening;
    entry.answered = false;
    entry.confirmed = false;
  }

  /**
   * The new owner of a dead node's connection answers what opens it. That must be told: others may
   * have noted another owner, and gave it to another heir.
   */
  answer(entry: Entry): void {
    entry.owner = this.self;
    entry.adopted = false;
    this.contested.add(entry.key);
  }

  /** Merges a record of another node, whose owner is already an index of this one. */
  merge(foreign: Record, senderTick: number, kind: ListKind, now: number): void {
    const shift = this.tick(now) - senderTick;
    const { seen, opened } = foreign;
    const record = { ...foreign, seen: seen + shift, opened: opened + shift };
    const entry = this.find(record.key, now);
    // Of its own connections a node knows best: somebody's guess makes none.
    if (record.owner === this.self && !record.confirmed && entry?.owner !== this.self) return;
    if (!entry) {
      if (!this.isOver(record, now)) this.take(record);
    } else if (isLaterLife(record, entry) && !isSameEnd(record, entry)) {
      const isOpen = entry.owner === this.self && entry.status !== STATUS.CLOSING;
      if (!isOpen || this.believes(kind, record, entry)) this.take(record);
    } else if (!isLaterLife(entry, record)) {
      this.join(entry, record, kind);
    }
  }

  private take(record: Record): void {
    this.put({ ...record, imported: true, closedHere: false, answered: false });
  }

  /** Whether a list of this kind may change the owner of a connection that is known. */
  private believes(kind: ListKind, record: Record, entry: Entry): boolean {
    // What a node that returns brings may have become another's for good while it was away. The
    // members have looked at that when it asks for their tables, which are right about all of it.
    const adopted = entry.adopted && entry.status !== STATUS.CLOSING;
    // Who has only inherited it has nothing of it, and its next heir may have answered since.
    if (kind === 'own') return !record.adopted && (adopted || entry.midstream);
    return kind === 'tables' || adopted || entry.owner !== this.self;
  }

  /**
   * The end was only concluded. Somebody has seen a packet that was it, or the connection goes on:
   * its owner says so, or the members' tables. Who returns does not know what became of it.
   */
  private reconsider(entry: Entry, record: Record, kind: ListKind): void {
    if (isConcluded(record)) return;
    const goesOn = record.status !== STATUS.CLOSING;
    if (goesOn && (kind === 'own' || !isKept(record, kind === 'tables'))) return;
    entry.concluded = false;
    entry.closedHere = false;
    if (goesOn) {
      entry.status = STATUS.ESTABLISHED;
      entry.seen = Math.max(entry.seen, record.seen);
    } else {
      entry.adopted = false;
    }
  }

  /** The same connection, seen by two nodes. */
  private join(entry: Entry, record: Record, kind: ListKind): void {
    entry.opened = Math.min(entry.opened, record.opened);
    if (isConcluded(entry)) this.reconsider(entry, record, kind);
    const isAnother = entry.owner !== record.owner;
    const isRight = !isAnother || this.believes(kind, record, entry);
    const counts = isRight && !isOutweighed(kind, record, entry);
    // Who pulls the tables was away, and may have missed packets. Otherwise a node that has seen
    // all of a connection learns from lists only whose it is.
    const missed = kind === 'tables' && record.status > entry.status;
    if (missed || entry.midstream || entry.imported) {
      this.complete(entry, record, kind, isAnother && counts);
    }
    if (!counts) return;
    if (isAnother) {
      entry.adopted = record.adopted;
      entry.confirmed = record.confirmed;
    } else {
      // To whoever says so it was never a dead node's.
      if ((record.confirmed || kind === 'tables') && !record.adopted) entry.adopted = false;
      entry.confirmed ||= record.confirmed;
    }
    entry.owner = record.owner;
  }

  /** What the record knows more of the connection; `taken`: its owner is another from now on. */
  private complete(entry: Entry, record: Record, kind: ListKind, taken: boolean): void {
    entry.imported = true;
    entry.midstream &&= record.midstream;
    entry.reopened ||= record.reopened;
    entry.seen = Math.max(entry.seen, record.seen);
    let { status } = record;
    if (isConcluded(record)) {
      if (!taken && isKept(entry, entry.owner === this.self && kind !== 'tables')) {
        status = STATUS.ESTABLISHED;
      } else if (entry.status !== STATUS.CLOSING) {
        entry.concluded = true;
        entry.adopted = true;
      }
    }
    entry.status = Math.max(entry.status, status);
  }

  private isOver(entry: Record, now: number): boolean {
    const timeouts = entry.tuple.protocol === 'tcp' ? this.tcpTimeouts : UDP_TIMEOUTS;
    const ticks = (timeouts[entry.status] ?? 0) * 10;
    return this.tick(now) - entry.seen >= ticks;
  }
}
