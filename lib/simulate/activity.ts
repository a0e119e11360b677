import type { EventQueue } from './queue.js';

/**
 * Something of a process that runs when the machine lets it: its event loop, or the thread of its
 * data plane. While it is paused, whatever is due waits, in order.
 */
export class Activity {
  private pauses = 0;
  private ended = false;
  private waiting: (() => void)[] = [];

  constructor(private readonly queue: EventQueue) {}

  get paused(): boolean {
    return this.pauses > 0;
  }

  /** At once, or when it goes on; never after its end. */
  run(what: () => void): void {
    if (this.ended) return;
    if (this.pauses > 0 || this.waiting.length > 0) this.waiting.push(what);
    else what();
  }

  after(delay: number, what: () => void): void {
    this.queue.after(delay, () => this.run(what));
  }

  pause(): void {
    this.pauses += 1;
  }

  /** Goes on, `first` with this, then with all that has waited. */
  resume(first?: () => void): void {
    this.pauses -= 1;
    if (this.pauses > 0 || this.ended) return;
    if (first) this.waiting.unshift(first);
    // What a waiting piece asks for comes behind those that wait already.
    while (this.waiting.length > 0 && this.pauses === 0 && !this.ended) {
      const next = this.waiting[0];
      next?.();
      this.waiting.shift();
    }
  }

  end(): void {
    this.ended = true;
    this.waiting = [];
  }
}
