interface Entry {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
}

function before(left: Entry, right: Entry): boolean {
  return left.time < right.time || (left.time === right.time && left.order < right.order);
}

/**
 * What will happen, ordered by simulated time; what is due at the same moment happens in the order
 * of asking. Milliseconds of a true clock that no node can read. A binary heap.
 */
export class EventQueue {
  /** The true time. */
  now = 0;
  /** How many events have happened. */
  steps = 0;
  private readonly heap: Entry[] = [];
  private order = 0;

  /** Runs `run` at `time`, or now when that has passed. */
  at(time: number, run: () => void): void {
    const entry = { time: Math.max(time, this.now), order: this.order++, run };
    const { heap } = this;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Entry;
      if (!before(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  after(delay: number, run: () => void): void {
    this.at(this.now + delay, run);
  }

  /** The next event happens, if it is due by `until`. */
  step(until: number): boolean {
    const first = this.heap[0];
    if (!first || first.time > until) {
      this.now = Math.max(this.now, until);
      return false;
    }
    const last = this.heap.pop() as Entry;
    if (this.heap.length > 0) this.sink(last);
    this.now = first.time;
    this.steps += 1;
    first.run();
    return true;
  }

  private sink(entry: Entry): void {
    const { heap } = this;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) {
        child += 1;
      }
      const below = heap[child] as Entry;
      if (!before(below, entry)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = entry;
  }
}
