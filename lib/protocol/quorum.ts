// How many nodes it takes. Two quorums must share a node: that is all that exactness asks of them.
import type { View } from './types.js';
import { living } from './view.js';

/** Which sets of nodes may decide. */
export class Quorum {
  constructor(
    private readonly kind: 'majority' | 'paths',
    private configured: readonly string[],
  ) {}

  configure(names: readonly string[]): void {
    this.configured = names;
  }

  /** The nodes of the configuration. */
  names(): readonly string[] {
    return this.configured;
  }

  /**
   * True when `names` may decide.
   *
   * @param without - nodes that need not be asked with quorum `paths`: dead, or silent on
   * every path
   */
  has(names: ReadonlySet<string>, view: View | null, without: ReadonlySet<string>): boolean {
    if (this.kind === 'majority') {
      const present = this.configured.filter((name) => names.has(name)).length;
      return present > this.configured.length / 2;
    }
    const needed = view === null ? this.configured : living(view).map(({ name }) => name);
    return needed.every((name) => names.has(name) || without.has(name));
  }

  /**
   * The newest of one's own readings that a quorum has granted, oneself included at `now`; null
   * while there is none.
   *
   * @param granted - by peer, the newest reading that it has granted
   * @param without - nodes whose consent is not needed with quorum `paths`: they are dead
   */
  reading(
    self: string,
    granted: ReadonlyMap<string, number>,
    view: View | null,
    without: ReadonlySet<string>,
    now: number,
  ): number | null {
    const readings = this.configured
      .filter((name) => name !== self)
      .map((name) => ({ name, reading: granted.get(name) ?? Number.NEGATIVE_INFINITY }));
    if (this.kind === 'majority') {
      const sorted = [now, ...readings.map(({ reading }) => reading)].sort((a, b) => b - a);
      const least = sorted[Math.floor(this.configured.length / 2)] ?? Number.NEGATIVE_INFINITY;
      return Number.isFinite(least) ? least : null;
    }
    const partners = new Set(view === null ? [] : living(view).map(({ name }) => name));
    const needed = readings.filter(({ name }) => partners.has(name) && !without.has(name));
    const least = Math.min(now, ...needed.map(({ reading }) => reading));
    return Number.isFinite(least) ? least : null;
  }
}
