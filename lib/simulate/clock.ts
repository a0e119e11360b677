/**
 * A node's monotonic clock: it began at another moment than those of the others, and runs a little
 * faster or slower.
 */
export class NodeClock {
  constructor(
    private readonly offset: number,
    private readonly pace: number,
  ) {}

  /** What the clock shows at a true time; in nanoseconds it is whole, as a real one's. */
  local(time: number): number {
    return Math.floor((this.offset + time * this.pace) * 1e6) / 1e6;
  }

  /** A true time at which the clock shows at least `local`. */
  true(local: number): number {
    return (local - this.offset) / this.pace + 1e-6;
  }
}

/** A node's time as the data plane counts it. */
export function nanoseconds(local: number): number {
  return Math.round(local * 1e6);
}
