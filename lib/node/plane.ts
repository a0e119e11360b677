import {
  type Configuration,
  type ResolvedRule,
  resolveDistribution,
  resolveQuicSettings,
  resolveSettings,
} from '../config/index.js';
import type { Logger } from '../log/index.js';
import {
  awaitNative,
  type NativeEngine,
  type NativeImported,
  type NodeIndexes,
  nativeCriteria,
  nativeQuic,
  nativeTransition,
  RECORD_BYTES,
} from '../native/index.js';
import type { ListBlock } from '../peers/index.js';
import { type ListKind, living, type PlaneWork, type View } from '../protocol/index.js';
import { toNative } from './expectation.js';
import type { ExpectingPlane } from './expectations.js';

// The data plane as the protocol sees it: what it asks for in its words is done here with the
// engine's. A call returns when all workers have done it, between two of their bursts.

/**
 * Records in one block of a list: 64 KiB, half of what an allocator maps anew for each block, and
 * what holds a worker up for some ten microseconds.
 */
const BLOCK_RECORDS = 1024;
/** An index that no node has: nobody owns a bucket before there is a view. */
const NOBODY = 0xffff;

/** What a piece of work has come to. */
export interface PlaneDone {
  /** The workers have connections of which other nodes may have noted another owner. */
  readonly contested: boolean;
}

/** The host's guard, as far as port rules let packets through it. */
export interface Passes {
  passesOther(rules: readonly ResolvedRule[]): boolean;
  letPass(rules: readonly ResolvedRule[]): Promise<void>;
}

/** The engine of one node, in the protocol's words. */
export class Plane {
  private order: Promise<unknown> = Promise.resolve();

  constructor(
    protected readonly engine: NativeEngine,
    protected readonly config: Configuration,
    protected readonly indexes: NodeIndexes,
    private readonly passes: Passes,
    private readonly logger: Logger,
  ) {}

  /** Does `work` after everything that was asked for before. */
  do(work: PlaneWork): Promise<PlaneDone> {
    return this.inTurn(() => this.perform(work));
  }

  /** Past `until` (milliseconds of the monotonic clock) no connection is opened. */
  lease(until: number): void {
    const end = Number.isFinite(until) ? BigInt(Math.floor(until * 1e6)) : 2n ** 64n - 1n;
    this.engine.setOpenUntil(end);
  }

  /** This node has left: nothing is its own any more, open connections included. */
  async forsake(): Promise<void> {
    await this.order;
    await awaitNative(this.engine.replaceCriteria(noCriteria(this.config, this.indexes)));
    await awaitNative(this.engine.adopt([this.indexes.of(this.config.node)]));
  }

  /** A list for another node, in blocks. */
  async *list(kind: ListKind, to: string): AsyncGenerator<ListBlock> {
    const target = this.indexes.of(to);
    for (let worker = 0; worker < this.config.workers; worker += 1) {
      let cursor = 0n;
      do {
        const piece = await awaitNative(
          this.engine.exportList(kind, target, worker, cursor, BLOCK_RECORDS),
        );
        cursor = piece.cursor;
        // An empty piece is given, too: whoever takes it dates the one that is made next.
        yield { records: piece.records, now: piece.now, names: this.indexes.names() };
      } while (cursor !== 0n);
    }
  }

  /** Merges a block of another node's list. */
  merge({ records, now, names }: ListBlock, kind: ListKind): Promise<NativeImported> {
    const owners = Uint16Array.from(names, (name) => this.indexes.of(name));
    return awaitNative(this.engine.importList(records, now, owners, kind));
  }

  /** What expectations ask of the workers, each after everything that was asked for before. */
  get expecting(): ExpectingPlane {
    const { engine, indexes } = this;
    return {
      expect: (expectation) =>
        this.inTurn(() => awaitNative(engine.expect(toNative(expectation, indexes)))),
      unexpect: (owner, id) =>
        this.inTurn(async () => {
          await awaitNative(engine.unexpect(indexes.of(owner), BigInt(id)));
        }),
      clear: () => this.inTurn(() => awaitNative(engine.clearExpectations())),
      contested: () => this.inTurn(() => this.hasContested()),
    };
  }

  /** The expectations, as a list for a newcomer. */
  async *expectations(): AsyncGenerator<ListBlock> {
    const { expectations, now } = await awaitNative(this.engine.expectations());
    const names = this.indexes.names();
    for (let at = 0; at < expectations.length; at += BLOCK_RECORDS * RECORD_BYTES) {
      const records = expectations.subarray(at, at + BLOCK_RECORDS * RECORD_BYTES);
      yield { records, now, names };
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.order.then(work);
    this.order = done.catch(() => {});
    return done;
  }

  /** How many records of `kind` there are, as far as `wanted` says so. */
  async count(kind: ListKind, wanted: (record: Buffer) => boolean): Promise<number> {
    let count = 0;
    for await (const { records } of this.list(kind, this.config.node)) {
      for (let at = 0; at < records.length; at += RECORD_BYTES) {
        if (wanted(records.subarray(at, at + RECORD_BYTES))) count += 1;
      }
    }
    return count;
  }

  protected async perform(work: PlaneWork): Promise<PlaneDone> {
    const { engine } = this;
    switch (work.work) {
      case 'install':
        await this.install(work.view);
        if (work.dead.length > 0) await awaitNative(engine.adopt(this.indexesOf(work.dead)));
        return { contested: await this.hasContested() };
      case 'prepare':
      case 'takeover': {
        const distribution = resolveSettings(work.transition.next.criteria.settings);
        const transition = nativeTransition(work.transition, distribution, this.indexes);
        await awaitNative(engine[work.work](transition));
        break;
      }
      case 'hold':
        await awaitNative(engine.hold());
        break;
      case 'release':
        await awaitNative(engine.release());
        break;
      case 'acquire':
        // What is held may be of a connection that is adopted.
        if (work.dead.length > 0) await awaitNative(engine.adopt(this.indexesOf(work.dead)));
        await awaitNative(engine.acquire(this.indexesOf(work.from)));
        break;
      case 'clear':
        await awaitNative(engine.clearContested());
        break;
    }
    return { contested: false };
  }

  /**
   * Where other packets are passed by this view, the guard closes first and opens afterwards: the
   * kernel must get none that the workers decide.
   */
  private async install(view: View): Promise<void> {
    const { rules } = resolveSettings(view.criteria.settings);
    const other = this.passes.passesOther(rules);
    if (other) await this.letPass([]);
    await awaitNative(this.engine.replaceCriteria(this.criteria(view)));
    if (other) await this.letPass(rules);
  }

  /** What the guard cannot do keeps nobody from deciding; the next view tries again. */
  private async letPass(rules: readonly ResolvedRule[]): Promise<void> {
    try {
      await this.passes.letPass(rules);
    } catch (error) {
      this.logger.error({ err: error }, 'the guard does not let pass what the rules say');
    }
  }

  private indexesOf(names: readonly string[]): number[] {
    return names.map((name) => this.indexes.of(name));
  }

  private criteria(view: View) {
    const { config, indexes } = this;
    const { allocation, criteria } = view;
    const distribution = resolveSettings(criteria.settings);
    const names = living(view).map(({ name }) => name);
    return {
      ...nativeCriteria(config, config.node, allocation, indexes, distribution),
      quic: nativeQuic(resolveQuicSettings(criteria.settings), names, indexes),
    };
  }

  private async hasContested(): Promise<boolean> {
    const snapshots = await awaitNative(this.engine.snapshot());
    return snapshots.some(({ contested }) => contested > 0);
  }
}

/**
 * The criteria of a node that has no view yet: every bucket is nobody's, and nothing is noted, since
 * whose it is cannot be said.
 */
export function noCriteria(config: Configuration, indexes: NodeIndexes) {
  // Without rules as well: those of the cluster may be others.
  const distribution = { ...resolveDistribution(config), rules: [] };
  const allocation = { epoch: 0, names: [], owners: new Uint16Array(distribution.buckets) };
  const criteria = nativeCriteria(config, config.node, allocation, indexes, distribution);
  return { ...criteria, owners: criteria.owners.map(() => NOBODY), tracking: 'own' as const };
}
