import type { Entry } from './book.js';
import type { PacketKind } from './packets.js';

/** The order is that of a connection's life. */
export const STATUS = { OPENING: 0, ESTABLISHED: 1, CLOSING: 2 } as const;

/** The status of a connection that this packet makes known. */
export function firstStatus(kind: PacketKind): number {
  if (kind === 'syn' || kind === 'datagram') return STATUS.OPENING;
  return kind === 'data' ? STATUS.ESTABLISHED : STATUS.CLOSING;
}

/** What a packet of a known connection does to its entry. */
export function nextStatus(entry: Entry, kind: PacketKind, tick: number): void {
  // A SYN on an established connection may be anybody's, and changes nothing.
  if (kind === 'syn' && entry.status !== STATUS.OPENING) return;
  entry.seen = Math.max(entry.seen, tick);
  if (kind === 'fin' || kind === 'reset') {
    entry.status = STATUS.CLOSING;
    entry.closedHere = true;
    entry.concluded = false;
  } else if (kind !== 'syn' && entry.status === STATUS.OPENING) {
    entry.status = STATUS.ESTABLISHED;
  }
}
