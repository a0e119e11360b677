import type { Configuration } from '../config/index.js';
import type { Logger } from '../log/index.js';
import type { NativeEngine, NodeIndexes } from '../native/index.js';
import { living, type Member, type PlaneWork, type View } from '../protocol/index.js';
import { type Passes, Plane, type PlaneDone } from './plane.js';

// The data plane of a dispatcher as the protocol sees it. The nodes of the protocol are the
// dispatchers here; what they agree on is which of them forwards. Both receive and decide every
// packet, so that there is nothing to hand over but that.
//
// The active one is the member that has lived the longest, and does not drain: so a dispatcher that
// comes back never takes anything from the one that is at work.

const FOR_EVER = 2n ** 64n - 1n;

/** Who forwards by this view; null: nobody. */
export function activeOf(view: View): string | null {
  const rank = ({ state }: Member): number => (state === 'member' ? 0 : 1);
  const able = living(view).filter(({ state }) => state === 'member' || state === 'draining');
  const [first] = able.sort(
    (left, right) =>
      rank(left) - rank(right) ||
      left.incarnation - right.incarnation ||
      Number(left.name > right.name) - Number(left.name < right.name),
  );
  return first?.name ?? null;
}

/** The engine of one dispatcher, in the protocol's words. */
export class DispatcherPlane extends Plane {
  private current: string | null = null;
  private next: View | null = null;
  private leaseEnd = 0n;

  /** `onRole`: the active dispatcher is another one than before. */
  constructor(
    engine: NativeEngine,
    config: Configuration,
    indexes: NodeIndexes,
    passes: Passes,
    logger: Logger,
    private readonly onRole: () => void,
  ) {
    super(engine, config, indexes, passes, logger);
    // It decides whatever the lease says; what leaves is bound to it.
    engine.setOpenUntil(FOR_EVER);
    engine.setActiveUntil(0n);
  }

  /** The name of the active dispatcher; null while there is none. */
  get active(): string | null {
    return this.current;
  }

  get isActive(): boolean {
    return this.current === this.config.node;
  }

  override lease(until: number): void {
    this.leaseEnd = Number.isFinite(until) ? BigInt(Math.floor(until * 1e6)) : FOR_EVER;
    this.apply();
  }

  override async forsake(): Promise<void> {
    this.become(null);
    await super.forsake();
  }

  protected override perform(work: PlaneWork): Promise<PlaneDone> {
    switch (work.work) {
      case 'install':
        this.next = null;
        this.become(activeOf(work.view));
        break;
      case 'prepare':
      case 'takeover':
        this.next = work.transition.next;
        break;
      case 'acquire': {
        // The one before forwards until it installs the next view: for a moment both may, which
        // sends a packet twice to the same node; never neither.
        const next = this.next === null ? null : activeOf(this.next);
        if (next === this.config.node) this.become(next);
        break;
      }
      case 'hold':
      case 'release':
      case 'clear':
        break;
    }
    return Promise.resolve({ contested: false });
  }

  private become(active: string | null): void {
    if (active === this.current) return;
    this.current = active;
    this.apply();
    this.onRole();
  }

  private apply(): void {
    this.engine.setActiveUntil(this.isActive ? this.leaseEnd : 0n);
  }
}
