// What is refused is counted by reason, and each reason is logged at most once a minute, however
// much comes: a flood must not fill the log as well.
import type { Logger } from '../log/index.js';

/** Every reason to refuse what came over the network, and what it means. */
export const REFUSALS = {
  garbage: 'what came is nothing that flowsieve sends',
  version: 'it comes from another version of the protocol',
  layout: 'its sender hashes packets by another layout',
  cluster: 'it belongs to another cluster',
  secret: 'it was made with a secret that this node does not have',
  name: 'its sender is none of the configured nodes',
  address: 'it comes from an address that is not its sender’s',
  destination: 'it was meant for another node',
  forged: 'it does not open with the key that it names',
  replay: 'it came before, or too late',
  incarnation: 'its sender has begun a later life',
  life: 'it was meant for another life of this node',
  malformed: 'it is authentic and not what the protocol says',
  crowded: 'there are too many connections from its address',
  slow: 'its sender took too long',
  old: 'it tells how things were too long ago',
} as const;

/** A reason to refuse. */
export type Refusal = keyof typeof REFUSALS;

const QUIET_MS = 60_000;

/** Counts and logs. */
export class Refusals {
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #counts = new Map<Refusal, number>();
  readonly #logged = new Map<Refusal, { at: number; count: number }>();

  constructor(logger: Logger, now: () => number) {
    this.#logger = logger;
    this.#now = now;
  }

  /** Counts one; `about` is only asked when it is logged, and says what came from whom. */
  add(reason: Refusal, about: () => string): void {
    const count = (this.#counts.get(reason) ?? 0) + 1;
    this.#counts.set(reason, count);
    const last = this.#logged.get(reason);
    const now = this.#now();
    if (last && now - last.at < QUIET_MS) return;
    this.#logged.set(reason, { at: now, count });
    const since = count - (last?.count ?? 0);
    this.#logger.warn({ reason, count, since }, `Refused ${about()}: ${REFUSALS[reason]}.`);
  }

  /** How often each reason occurred; reasons that did not are 0. */
  counts(): Record<Refusal, number> {
    const reasons = Object.keys(REFUSALS) as Refusal[];
    const pairs = reasons.map((reason) => [reason, this.#counts.get(reason) ?? 0]);
    return Object.fromEntries(pairs) as Record<Refusal, number>;
  }
}
