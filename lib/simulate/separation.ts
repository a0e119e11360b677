import { livingMember } from '../protocol/index.js';
import type { Path } from './network.js';
import type { Process } from './process.js';
import type { World } from './world.js';

const PATHS: readonly Path[] = ['sync', 'wire'];

/**
 * Two nodes with quorum `paths` that could not hear each other on any path have both gone on, as
 * that quorum says: each answers for all until they hear each other again. What the invariants say
 * of one cluster does not hold for two.
 */
export class Separation {
  /** When they could not hear each other last, and when they were two clusters last. */
  private apartAt = Number.NEGATIVE_INFINITY;
  private splitAt = Number.NEGATIVE_INFINITY;
  private split = false;

  /** @param ended - they are one cluster again: whoever is a member of it lives */
  constructor(
    private readonly world: () => World,
    private readonly ended: (members: readonly Process[]) => void,
  ) {}

  /** To be called between events. */
  look(): void {
    const { scenario, queue, running } = this.world();
    if (scenario.quorum !== 'paths') return;
    const processes = scenario.names.flatMap((name) => running(name) ?? []);
    if (processes.some((one) => processes.some((other) => this.areApart(one, other)))) {
      this.apartAt = queue.now;
    }
    this.outlives(processes);
    const pairs = processes.flatMap((one) => processes.map((other) => [one, other] as const));
    if (this.isRecent && pairs.some(([one, other]) => areSplit(one, other))) this.split = true;
    if (!this.split) return;
    this.splitAt = queue.now;
    if (!pairs.every(([one, other]) => counts(one, other))) return;
    this.split = false;
    this.ended(processes);
  }

  /**
   * Whoever had ended its life is gone itself, with all that it had decided: the other one was
   * paused or cut off, has not heard of it, and goes on as the only cluster that there is.
   */
  private outlives(processes: readonly Process[]): void {
    const [only, ...others] = processes.filter(({ installed }) => installed !== null);
    if (!only || others.length > 0 || only.life.over === null) return;
    if (counts(only, only)) this.ended([only]);
  }

  /** They are two clusters, or were a moment ago. */
  get isSplit(): boolean {
    const { queue, scenario } = this.world();
    return queue.now - this.splitAt < scenario.timing.failAfter;
  }

  /** They could not hear each other so lately that either may not know yet of the other. */
  get isRecent(): boolean {
    const { queue, scenario } = this.world();
    return queue.now - this.apartAt < 2 * scenario.timing.failAfter;
  }

  /** Neither can hear the other: it takes both directions, and both nodes running. */
  private areApart(one: Process, other: Process): boolean {
    if (one === other) return false;
    const { network } = this.world();
    const cut = PATHS.every(
      (path) =>
        network.isCut(one.name, other.name, path) || network.isCut(other.name, one.name, path),
    );
    return cut || one.control.paused;
  }
}

/** `one` decides by a view in which `other` lives. */
function counts(one: Process, other: Process): boolean {
  return livingMember(one.installed, other.name)?.incarnation === other.life.incarnation;
}

/** `other` opens connections, and `one` goes on as if it were not there. */
function areSplit(one: Process, other: Process): boolean {
  if (one === other || one.installed === null || other.installed === null) return false;
  const opens = (each: Process): boolean => each.openUntil > each.now;
  if (!opens(other)) return false;
  return other.life.over !== null || (opens(one) && !counts(one, other));
}
