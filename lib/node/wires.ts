import type { WirePath } from '../peers/index.js';

// The networks of a gateway as one path of heartbeats. A node is heard on it when it is heard on
// every network: a gateway that is cut from one side sees half of its connections. So a heartbeat
// goes out on all, and what came by all is handed on, once.

/** Frames that have come by some networks and not yet by all. */
const WAITING_MAX = 1024;
/** Of the end of a sealed frame, which is its authentication tag: no two frames have the same. */
const TAG_BYTES = 16;

/** Joins paths to one; a single path stays as it is. */
export function joinWires(wires: readonly WirePath[]): WirePath {
  const [only] = wires;
  if (only && wires.length === 1) return only;
  let take: (payload: Buffer, source: string) => void = () => {};
  const seen = new Map<string, Set<number>>();
  const arrived = (payload: Buffer, source: string, by: number): void => {
    const tag = payload.subarray(-TAG_BYTES).toString('latin1');
    const networks = seen.get(tag) ?? new Set();
    networks.add(by);
    seen.delete(tag); // to the end: the oldest is forgotten first
    seen.set(tag, networks);
    for (const oldest of seen.keys()) {
      if (seen.size <= WAITING_MAX) break;
      seen.delete(oldest);
    }
    // What comes again after all is somebody's repetition, which the taker refuses and counts.
    if (networks.size === wires.length) take(payload, source);
  };
  for (const [by, wire] of wires.entries()) {
    wire.onFrame((payload, source) => arrived(payload, source, by));
  }
  return {
    send: (payload) => wires.map((wire) => wire.send(payload)).every((sent) => sent),
    onFrame: (taker) => {
      take = taker;
    },
    close: () => {
      for (const wire of wires) wire.close();
    },
  };
}
