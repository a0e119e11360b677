import type { Configuration } from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import {
  awaitNative,
  KEY_BYTES,
  type NativeEngine,
  type NativeReconciled,
  protocolName,
  readAll,
  readFlow,
} from '../native/index.js';
import type {
  ReconciledConnection,
  ReconcileRequest,
  ReconcileSummary,
  ReconcileView,
} from './types.js';

// `tracking: os`: the own table and what the operating system has open, compared again and again
// (docs/decisions/os-list.md). The engine does it; here it is asked to, in time.

/** Connections that a round names when nobody says how many. */
const NAMED = 100;

function connectionsOf({ keys, outcomes }: NativeReconciled): ReconciledConnection[] {
  return [...readAll(keys, KEY_BYTES, readFlow)].map((flow, index) => ({
    outcome: outcomes[index] ?? 'dropped',
    protocol: protocolName(flow.protocolNumber),
    protocolNumber: flow.protocolNumber,
    client: flow.source,
    server: flow.destination,
  }));
}

/** Compares when asked, and every `os.every` seconds. */
export class Reconciler {
  private order: Promise<unknown> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private failed = false;
  private last: ReconcileSummary | null = null;
  private settled = (): boolean => false;

  constructor(
    private readonly engine: NativeEngine,
    private readonly config: Configuration,
    private readonly logger: Logger,
  ) {}

  /** The last round in short; null before the first one, and with another tracking. */
  status(): ReconcileSummary | null {
    return this.last;
  }

  /**
   * Before the node speaks to the others: enters what is open, wherever its bucket is. Returns
   * whether there was anything.
   *
   * @throws FlowsieveError FLOWSIEVE_MISSING naming the kernel feature that is not there
   */
  async restore(): Promise<boolean> {
    if (this.config.tracking !== 'os') return false;
    const { restored, dryRun, noRoom } = await this.compare({}, true);
    if (restored > 0) {
      const would = dryRun ? 'would be' : 'are';
      this.logger.info({ restored, noRoom }, `open connections ${would} restored from the system`);
    }
    return restored > 0 && !dryRun;
  }

  /**
   * From now on a round every `os.every` seconds.
   *
   * @param settled - whether the node has a view of the cluster and takes part in it
   */
  begin(settled: () => boolean): void {
    this.settled = settled;
    if (this.config.tracking === 'os') this.wait();
  }

  private wait(): void {
    if (this.closed) return;
    this.timer = setTimeout(() => {
      void this.round().finally(() => this.wait());
    }, this.config.os.every * 1000);
    this.timer.unref();
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.order;
  }

  /**
   * One round now.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE with another tracking than os, or while the node takes no
   * part in the cluster
   */
  async reconcile(request: ReconcileRequest = {}): Promise<ReconcileView> {
    if (this.config.tracking !== 'os') {
      const message =
        `Expected tracking os for a comparison with the operating system's list but received ` +
        `${this.config.tracking}.`;
      throw new FlowsieveError('FLOWSIEVE_STATE', message, { path: 'tracking' });
    }
    if (!this.settled()) {
      const message =
        'Expected a member of the cluster for a comparison but received a node that is none.';
      throw new FlowsieveError('FLOWSIEVE_STATE', message);
    }
    return this.compare(request, false);
  }

  private async round(): Promise<void> {
    if (this.closed || !this.settled()) return;
    try {
      await this.compare({ limit: 0 }, false);
      this.failed = false;
    } catch (error) {
      // Said once: it would fail every few seconds.
      if (!this.failed)
        this.logger.error({ err: error }, 'reading the list of open sockets failed');
      this.failed = true;
    }
  }

  /** One after the other: each has the tables as the one before has left them. */
  private compare(request: ReconcileRequest, anywhere: boolean): Promise<ReconcileView> {
    const compared = this.order.then(() => this.compareNow(request, anywhere));
    this.order = compared.catch(() => {});
    return compared;
  }

  private async compareNow(request: ReconcileRequest, anywhere: boolean): Promise<ReconcileView> {
    const { match, conntrack, dryRun: configured } = this.config.os;
    const dryRun = configured || request.dryRun === true;
    const begun = performance.now();
    const native = await awaitNative(
      this.engine.reconcile({
        match: {
          source: match.includes('source'),
          sourcePort: match.includes('sourcePort'),
          destination: match.includes('destination'),
          destinationPort: match.includes('destinationPort'),
        },
        conntrack: conntrack === 'auto' ? 'auto' : conntrack ? 'always' : 'never',
        dry: dryRun,
        anywhere,
        named: request.limit ?? NAMED,
      }),
    );
    const { keys: _keys, outcomes: _outcomes, ...counts } = native;
    const view = {
      at: Date.now() / 1000,
      took: (performance.now() - begun) / 1000,
      dryRun,
      ...counts,
    };
    if (!dryRun || configured) this.last = view;
    return { ...view, connections: connectionsOf(native) };
  }
}
