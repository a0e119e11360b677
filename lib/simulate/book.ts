import type { ListKind } from '../protocol/index.js';
import type { Tuple } from './packets.js';
import type { PlanePacket } from './plane.js';
import { firstStatus, STATUS } from './status.js';

// The connections of a twin: own and others in one Map, and how lists of others are merged into it
// (see native/table/lists.cc for the fast one).

const TICK_MS = 100;
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
  /** It came with a list, and this node has not seen it close itself. */
  imported: boolean;
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

/** A living node has the connection, and it goes on: it says so itself, or nobody knows better. */
function isKept({ status, adopted, confirmed }: Record, trusted: boolean): boolean {
  return status !== STATUS.CLOSING && !adopted && (trusted || confirmed);
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
    return Math.floor(now / TICK_MS);
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

  /** `at`: when the packet was received. */
  enter(packet: PlanePacket, owner: number, at: number, reopened: boolean): void {
    const tick = this.tick(at);
    this.put({
      key: packet.key,
      tuple: packet.tuple,
      owner,
      status: firstStatus(packet.kind),
      opened: tick,
      seen: tick,
      midstream: packet.kind !== 'syn' && packet.kind !== 'datagram',
      reopened,
      adopted: false,
      concluded: false,
      imported: false,
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
    this.contested.delete(entry.key);
  }

  expire(now: number): void {
    for (const entry of this.byKey.values()) {
      if (this.isOver(entry, now)) this.erase(entry);
    }
  }

  /** Its node has died, and its client has not been told so yet. */
  isOrphan(entry: Entry): boolean {
    const { adopted, status, tuple } = entry;
    return adopted && status !== STATUS.CLOSING && tuple.protocol === 'tcp';
  }

  /** Whoever owns it now answers the packet, received at `at`, with a reset, if it was the dead's. */
  end(entry: Entry, at: number): void {
    entry.status = STATUS.CLOSING;
    entry.seen = Math.max(entry.seen, this.tick(at));
    entry.imported = false;
    entry.concluded = true;
  }

  /**
   * It has closed, or died with its node, and its key may be another connection's. Not when only a
   * list says that it has closed, and the SYN, received at `at`, came before: then that is this
   * connection's, the first or a repetition, and this node is behind.
   */
  isFree(entry: Entry, at: number): boolean {
    if (this.isOrphan(entry)) return true;
    if (entry.status !== STATUS.CLOSING) return false;
    return !entry.imported || this.tick(at) > entry.seen + CLOSED_APART_TICKS;
  }

  /**
   * It has closed, and its client was silent for so long that it may have taken the same addresses
   * and ports again.
   */
  isLeft({ status, seen }: Entry, at: number): boolean {
    return status === STATUS.CLOSING && this.tick(at) > seen + TAKEN_AGAIN_TICKS;
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
    const isLater = entry !== undefined && isLaterLife(record, entry);
    if (!entry || (isLater && (entry.owner !== this.self || entry.status === STATUS.CLOSING))) {
      this.contested.delete(record.key);
      this.put({ ...record, imported: true, answered: false });
    } else if (isLaterLife(entry, record)) {
      // It tells of an earlier connection.
    } else {
      if (entry.concluded) this.reconsider(entry, record, kind);
      const believed = this.believes(kind, record, entry);
      this.join(entry, believed ? record : { ...record, owner: entry.owner }, kind);
    }
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
    if (record.concluded) return;
    const goesOn = record.status !== STATUS.CLOSING;
    if (goesOn && (kind === 'own' || !isKept(record, kind === 'tables'))) return;
    entry.concluded = false;
    entry.imported = true;
    if (goesOn) entry.status = STATUS.ESTABLISHED;
  }

  /** The same connection, seen by two nodes. */
  private join(entry: Entry, record: Record, kind: ListKind): void {
    // Before what the record says is taken over.
    const kept = isKept(entry, entry.owner === this.self && kind !== 'tables');
    // What somebody noted does not weigh more than what the owner itself has said.
    // Except what this node only inherited before it came: there the tables know better.
    const isOutdated = kind === 'tables' && entry.adopted;
    if (record.confirmed || !entry.confirmed || isOutdated) {
      const isTaken = (record.confirmed || kind === 'tables') && !record.adopted;
      if (entry.owner !== record.owner) entry.adopted = record.adopted;
      else if (isTaken) entry.adopted = false;
      entry.owner = record.owner;
      entry.confirmed = record.confirmed;
    }
    entry.seen = Math.max(entry.seen, record.seen);
    entry.opened = Math.min(entry.opened, record.opened);
    entry.reopened ||= record.reopened;
    // Who pulls the tables was away, and may have missed packets.
    const missed = kind === 'tables' && record.status > entry.status;
    if (!missed && !entry.midstream && !entry.imported && !entry.concluded) return;
    entry.imported ||= missed;
    const isOver = record.status > entry.status && record.concluded;
    if (isOver) entry.concluded = !kept;
    const status = isOver && kept ? STATUS.ESTABLISHED : record.status;
    entry.status = Math.max(entry.status, status);
    entry.midstream &&= record.midstream;
  }

  private isOver(entry: Entry, now: number): boolean {
    const timeouts = entry.tuple.protocol === 'tcp' ? this.tcpTimeouts : UDP_TIMEOUTS;
    const ticks = (timeouts[entry.status] ?? 0) * 10;
    return this.tick(now) - entry.seen >= ticks;
  }
}
