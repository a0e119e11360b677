// The numbers of a transport; their list is PEER_COUNTERS.
import { PEER_COUNTERS, type PeerCounter } from './types.js';

/** Counts from 0. */
export class Counters {
  readonly #counts = Object.fromEntries(
    Object.keys(PEER_COUNTERS).map((name) => [name, 0]),
  ) as Record<PeerCounter, number>;

  add(name: PeerCounter, by = 1): void {
    this.#counts[name] += by;
  }

  all(): Record<PeerCounter, number> {
    return { ...this.#counts };
  }
}
