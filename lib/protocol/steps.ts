// One step at a time: a message that is said to some nodes until each has answered.
import type { Core } from './core.js';
import type { Message, Step } from './types.js';

/** A step that waits for answers. */
export interface Waiting {
  readonly step: Step;
  readonly epoch: number;
  /** Made anew for every repetition, since it may name who has died; null: nobody is asked. */
  readonly message: (() => Message) | null;
  readonly missing: Set<string>;
  readonly then: () => void;
  readonly since: number;
  sentAt: number;
  told: boolean;
}

/** How often an unanswered message is sent again; milliseconds. */
const AGAIN = 60;
/** After how long without an answer those who look on are told. */
const TELL_AFTER = 2000;

export class Steps {
  private waiting: Waiting | null = null;

  constructor(private readonly core: Core) {}

  get current(): Waiting | null {
    return this.waiting;
  }

  /** Says `message` to each of `to` until it has answered, then goes on. */
  begin(
    step: Step,
    epoch: number,
    to: readonly string[],
    message: () => Message,
    then: () => void,
  ): void {
    this.wait(step, epoch, message, new Set(to), then);
    for (const name of to) this.core.send(name, message());
  }

  /** Waits for time alone, as a part of `step`. */
  pause(step: Step, epoch: number, until: number, then: () => void): void {
    const nobody = new Set(['']);
    this.wait(step, epoch, null, nobody, then);
    this.core.at(until, () => nobody.clear());
  }

  private wait(
    step: Step,
    epoch: number,
    message: (() => Message) | null,
    missing: Set<string>,
    then: () => void,
  ): void {
    const { now } = this.core;
    this.waiting = { step, epoch, message, missing, then, since: now, sentAt: now, told: false };
    this.core.wake(now);
  }

  answered(from: string, step: Step, epoch: number): void {
    if (this.waiting?.step === step && this.waiting.epoch === epoch) {
      this.waiting.missing.delete(from);
    }
  }

  abandon(): void {
    this.waiting = null;
  }

  /** Goes on without `dead` when all others have answered, else repeats what is unanswered. */
  attend(dead: Iterable<string>): void {
    const { waiting, core } = this;
    if (!waiting) return;
    for (const name of dead) waiting.missing.delete(name);
    if (waiting.missing.size === 0) {
      this.waiting = null;
      waiting.then();
      return;
    }
    if (waiting.message === null) return;
    if (!waiting.told && core.now - waiting.since > TELL_AFTER) {
      waiting.told = true;
      core.notice({ notice: 'waiting', step: waiting.step, names: [...waiting.missing] });
    }
    if (core.now - waiting.sentAt >= AGAIN) {
      waiting.sentAt = core.now;
      for (const name of waiting.missing) core.send(name, waiting.message());
    }
    core.wake(waiting.sentAt + AGAIN);
  }
}
