// The servers of a churning cluster and the allocation between them, planned as a coordinator does.
import { type Allocation, type Member, plan, planTakeover } from '../../lib/index.js';
import type { Random } from '../../lib/simulate/random.js';

/**
 * How a server goes. `drain`: it is taken out of service for a while, gets no new connections and
 * keeps those that it has. `abrupt`: it dies with everything that it has.
 */
export type Departure = 'drain' | 'abrupt';

/** Servers, some of which are away. */
export class Servers {
  private readonly names: readonly string[];
  private readonly up: Set<number>;
  private allocation: Allocation;

  constructor(
    count: number,
    buckets: number,
    private readonly departure: Departure,
  ) {
    this.names = Array.from({ length: count }, (_, i) => `server-${i + 1}`);
    this.up = new Set(this.names.keys());
    this.allocation = plan({ members: this.members(), buckets });
  }

  /** Node indexes by bucket: a server's index is its place in the list. */
  get owners(): Uint16Array {
    const { names, owners } = this.allocation;
    const indexes = names.map((name) => this.names.indexOf(name));
    return owners.map((owner) => indexes[owner] as number);
  }

  get running(): number {
    return this.up.size;
  }

  /** One of the running servers. */
  some(random: Random): number {
    return random.pick([...this.up]);
  }

  remove(server: number): void {
    this.up.delete(server);
    const previous = this.allocation;
    this.allocation =
      this.departure === 'drain'
        ? plan({ members: this.members(), buckets: previous.owners.length, previous })
        : planTakeover(previous, [this.names[server] as string], this.members());
  }

  restore(server: number): void {
    this.up.add(server);
    const previous = this.allocation;
    const buckets = previous.owners.length;
    this.allocation = plan({ members: this.members(), buckets, previous });
  }

  /** Who drains is a member still, with no share; who has died is none. */
  private members(): Member[] {
    const all = this.names.map((name, index) => ({ name, weight: this.up.has(index) ? 1 : 0 }));
    return this.departure === 'drain' ? all : all.filter(({ weight }) => weight > 0);
  }
}
