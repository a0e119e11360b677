import type { Health } from './types.js';

// Whether a node is up, by one check after the other. Pure.

/** The first check decides; afterwards it takes `rise` good or `fall` bad ones in a row. */
export class Rating {
  private current: Health = 'unknown';
  private streak = 0;

  constructor(
    private readonly rise: number,
    private readonly fall: number,
  ) {}

  get health(): Health {
    return this.current;
  }

  /** Takes the next check in; true when the health has changed by it. */
  take(good: boolean): boolean {
    const wanted = good ? 'up' : 'down';
    if (this.current === wanted) {
      this.streak = 0;
      return false;
    }
    this.streak += 1;
    const needed = this.current === 'unknown' ? 1 : good ? this.rise : this.fall;
    if (this.streak < needed) return false;
    this.current = wanted;
    this.streak = 0;
    return true;
  }
}
