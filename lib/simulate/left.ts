import { nanoseconds } from './clock.js';
import type { PlanePacket } from './plane.js';

const AGE_NS_MAX = 1_500_000_000;
const PLACES = 1024;

/** A packet, and when it came; it may be decided much later. */
export interface Received {
  readonly packet: PlanePacket;
  readonly at: number;
}

interface Left extends Received {
  /** To whom it was left, or this node, when that had no lease. */
  readonly owner: number;
}

/** The newest opening packets that a twin has left to others, or refused without a lease. */
export class LeftPackets {
  private places: (Left | null)[] = [];

  keep(received: Received, owner: number): void {
    this.places.push({ ...received, owner });
    if (this.places.length > PLACES) this.places.shift();
  }

  /** Takes out, in the order in which they came, those that `chosen` chooses and are not too old. */
  take(now: number, chosen: (left: Left) => boolean): Received[] {
    const taken: Received[] = [];
    this.places = this.places.map((left) => {
      const isOld = left === null || nanoseconds(now) > nanoseconds(left.at) + AGE_NS_MAX;
      if (isOld || !chosen(left)) return left;
      taken.push(left);
      return null;
    });
    return taken;
  }
}
