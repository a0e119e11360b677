import type { EventQueue } from './queue.js';

/** Somebody who reads along; the sentence is made only when there is one. */
export class Trace {
  constructor(
    private readonly queue: EventQueue,
    private readonly write: ((line: string) => void) | undefined,
  ) {}

  line(who: string, text: () => string): void {
    this.write?.(`${this.queue.now.toFixed(3).padStart(10)} ${who.padEnd(8)} ${text()}`);
  }

  get reading(): boolean {
    return this.write !== undefined;
  }
}
