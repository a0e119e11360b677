import { type Allocation, plan } from '../allocation/index.js';

// The nodes behind a dispatcher, and which buckets each has. Pure: what happens goes in, the
// allocation comes out.

/** A node as the allocation sees it. */
export interface Target {
  readonly name: string;
  readonly weight: number;
  readonly draining: boolean;
  readonly down: boolean;
}

/** All of them at one moment; what two dispatchers tell each other. */
export interface TargetsState {
  readonly allocation: Allocation;
  readonly nodes: readonly Target[];
}

function shareOf({ weight, draining, down }: Target): number {
  return draining || down ? 0 : weight;
}

/** True when both say the same of every node. */
function isSame(one: readonly Target[], other: readonly Target[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/**
 * The nodes and the allocation between them. When nobody could have any bucket, the buckets stay
 * where they are: a packet that goes to a node whose checks fail may be answered, one that goes
 * nowhere is not.
 */
export class Targets {
  private state: TargetsState;

  /** Every change makes an epoch of its own, from 1 on. */
  constructor(
    nodes: readonly { readonly name: string; readonly weight: number }[],
    private readonly buckets: number,
  ) {
    const targets = nodes.map(({ name, weight }) => {
      return { name, weight, draining: false, down: false };
    });
    this.state = { allocation: this.planned(targets, undefined), nodes: targets };
  }

  get current(): TargetsState {
    return this.state;
  }

  get(name: string): Target | undefined {
    return this.state.nodes.find((target) => target.name === name);
  }

  /** Nobody takes new connections. */
  get isEmpty(): boolean {
    return !this.state.nodes.some((target) => shareOf(target) > 0);
  }

  /** Nodes that opening packets may go to, with their weights. */
  get open(): readonly Target[] {
    return this.state.nodes.filter((target) => shareOf(target) > 0);
  }

  /** Changes some nodes; false when all of that was so already. */
  change(changes: ReadonlyMap<string, Partial<Omit<Target, 'name'>>>): boolean {
    const nodes = this.state.nodes.map((target) => ({ ...target, ...changes.get(target.name) }));
    return this.replace(nodes);
  }

  /** Other nodes are configured: who stays keeps what is known of it, but for its weight. */
  configure(configured: readonly { readonly name: string; readonly weight: number }[]): boolean {
    const nodes = configured.map(({ name, weight }) => {
      const known = this.get(name);
      return { name, weight, draining: known?.draining ?? false, down: known?.down ?? false };
    });
    return this.replace(nodes);
  }

  /**
   * Takes over what the active dispatcher says; false when it is not news. `anew`: it is the first
   * time since that one is active, and what was decided here before does not count.
   */
  follow(state: TargetsState, anew = false): boolean {
    const { allocation } = this.state;
    const older = !anew && state.allocation.epoch < allocation.epoch;
    const same =
      state.allocation.epoch === allocation.epoch &&
      isSame(state.nodes, this.state.nodes) &&
      state.allocation.names.join() === allocation.names.join() &&
      state.allocation.owners.every((owner, bucket) => owner === allocation.owners[bucket]);
    if (older || same || state.allocation.owners.length !== this.buckets) return false;
    this.state = state;
    return true;
  }

  private replace(nodes: readonly Target[]): boolean {
    if (isSame(nodes, this.state.nodes)) return false;
    this.state = { allocation: this.planned(nodes, this.state.allocation), nodes };
    return true;
  }

  private planned(nodes: readonly Target[], previous: Allocation | undefined): Allocation {
    const members = nodes.map((target) => ({ name: target.name, weight: shareOf(target) }));
    if (members.every(({ weight }) => weight === 0)) {
      if (previous !== undefined) return { ...previous, epoch: previous.epoch + 1 };
      // Weights that are all 0 are refused with the configuration.
      return plan({
        members: nodes.map(({ name }) => ({ name, weight: 1 })),
        buckets: this.buckets,
      });
    }
    const planned = plan({ members, buckets: this.buckets, previous });
    // Also where no bucket moves: who is down is a part of what is decided by.
    return { ...planned, epoch: (previous?.epoch ?? 0) + 1 };
  }
}
