import { setTimeout as pause } from 'node:timers/promises';
import type { Configuration } from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import { addon, addressBytes, awaitNative } from '../native/index.js';
import { living, type View } from '../protocol/index.js';
import { monotonicMs } from './clock.js';
import { Drain, openConnections } from './drain.js';
import type { Plane } from './plane.js';
import type { Shell } from './shell.js';
import type { DrainRequest, DrainStatus } from './types.js';

// How a node goes: it drains, or leaves at once, and perhaps comes back.

/** How often the open connections of a draining node are counted. */
const COUNT_MS = 1000;
/** How long a node that leaves waits until its buckets are another's, and until that is known. */
const LEAVE_WAIT_MS = 1000;
const LOOK_MS = 10;

/** The members of a view that take part, but `self`. */
export function othersIn(view: View | null, self: string): string[] {
  const names = view ? living(view).map(({ name }) => name) : [];
  return names.filter((name) => name !== self);
}

export class Departure {
  private draining: Drain | null = null;
  private leaving: Promise<void> | null = null;

  /** @param config - the configuration in force */
  constructor(
    private readonly shell: Shell,
    private readonly plane: Plane,
    private readonly logger: Logger,
    private readonly config: () => Configuration,
  ) {}

  /** How far a drain is; null without one. */
  status(): DrainStatus | null {
    return this.draining?.status() ?? null;
  }

  /** See ClusterAdministered.drain. */
  async drain({ deadline, wait = true }: DrainRequest): Promise<void> {
    if (this.draining) {
      throw new FlowsieveError(
        'FLOWSIEVE_STATE',
        'Expected a node that does not drain for drain but received one that does.',
      );
    }
    const { drain: configured, node } = this.config();
    const drain = new Drain(Date.now() / 1000, deadline ?? configured.deadline, configured.then);
    this.draining = drain;
    try {
      if (this.others().length > 0) await this.shell.wish({ wish: 'drain', node });
    } catch (error) {
      this.draining = null;
      throw error;
    }
    this.logger.info({ deadline: drain.deadline, then: drain.then }, 'draining');
    const left = this.drained(drain).then(() =>
      this.draining === drain ? this.leave() : undefined,
    );
    if (wait) await left;
    else left.catch((error: unknown) => this.logger.error({ err: error }, 'not drained'));
  }

  /** See ClusterAdministered.resume. */
  async resume(): Promise<void> {
    const { state } = this.shell.state();
    if (!this.draining && state !== 'left' && state !== 'draining') {
      throw new FlowsieveError(
        'FLOWSIEVE_STATE',
        'Expected a node that drains or has left for resume but received one that does not.',
      );
    }
    await this.leaving;
    this.leaving = null;
    this.draining = null;
    await this.shell.wish({ wish: 'resume', node: this.config().node });
    this.logger.info('resumed');
  }

  /**
   * Gives the buckets away and leaves the cluster now: open connections are the others', who reset
   * them. Takes a second or two at most, whatever the others do.
   */
  leave(): Promise<void> {
    this.leaving ??= this.leaveNow();
    return this.leaving;
  }

  private async leaveNow(): Promise<void> {
    const { node } = this.config();
    const started = monotonicMs();
    const within = (): boolean => monotonicMs() - started < LEAVE_WAIT_MS;
    if (this.others().length > 0 && this.ownBuckets() > 0) {
      // Refused when nobody is left to take them.
      const asked = this.shell.wish({ wish: 'drain', node }).catch(() => {});
      await Promise.race([asked, pause(LEAVE_WAIT_MS, undefined, { ref: false })]);
      while (this.ownBuckets() > 0 && within()) await pause(LOOK_MS);
    }
    const left = this.shell.wish({ wish: 'leave', node, incarnation: 0 }).catch(() => {});
    await Promise.race([left, pause(LEAVE_WAIT_MS, undefined, { ref: false })]);
    await this.plane.forsake();
    this.logger.info('left the cluster');
  }

  private others(): string[] {
    return othersIn(this.shell.state().view, this.config().node);
  }

  private ownBuckets(): number {
    const { view } = this.shell.state();
    if (!view) return 0;
    const self = view.allocation.names.indexOf(this.config().node);
    return view.allocation.owners.filter((owner) => owner === self).length;
  }

  /** Resolves when nothing is open any more, or at the deadline when its end has been seen to. */
  private async drained(drain: Drain): Promise<void> {
    for (;;) {
      drain.observe(await openConnections(this.plane, this.config().node), Date.now() / 1000);
      if (this.draining !== drain || this.leaving) return;
      const given = this.ownBuckets() === 0 || this.others().length === 0;
      if (drain.isDone && given) return;
      if (drain.isOver(Date.now() / 1000)) break;
      await pause(Math.min(COUNT_MS, drain.msLeft(Date.now() / 1000)));
    }
    const { connections } = drain.open;
    this.logger.warn({ connections, then: drain.then }, 'the deadline of the drain has come');
    if (drain.then !== 'reset') return;
    const addresses = this.config().addresses.map((address) => addressBytes(address));
    const { reset, failed } = await awaitNative(addon.resetSockets(Buffer.concat(addresses)));
    this.logger.info({ reset, failed }, 'connections reset');
  }
}
