import { probe } from './probes.js';
import { Rating } from './rating.js';
import type { Checked, Health, HealthSettings, Outcome } from './types.js';

// Checks one node again and again: never two checks at the same time.

/** The last check of a node. */
export interface LastCheck extends Outcome {
  /** Seconds since the Unix epoch. */
  readonly at: number;
  readonly milliseconds: number;
}

export class Monitor {
  private readonly rating: Rating;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private current: LastCheck | null = null;

  /** `onChange`: the node's health is another than before. */
  constructor(
    private readonly checked: Checked,
    private readonly settings: HealthSettings,
    private readonly onChange: (health: Health, last: LastCheck) => void,
  ) {
    this.rating = new Rating(settings.rise, settings.fall);
  }

  /** `unknown` for ever where nothing is checked. */
  get health(): Health {
    return this.rating.health;
  }

  get last(): LastCheck | null {
    return this.current;
  }

  /** Begins; resolves when the first check has ended. */
  async start(): Promise<void> {
    if (this.settings.type === 'none') return;
    await this.check();
  }

  /** No check begins any more, and one that is under way changes nothing. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private async check(): Promise<void> {
    const began = performance.now();
    const outcome = await probe(this.checked, this.settings);
    if (this.closed) return;
    const milliseconds = performance.now() - began;
    this.current = { ...outcome, at: Date.now() / 1000, milliseconds };
    const wait = Math.max(0, this.settings.interval - milliseconds);
    this.timer = setTimeout(() => void this.check(), wait);
    this.timer.unref();
    if (this.rating.take(outcome.good)) this.onChange(this.rating.health, this.current);
  }
}
