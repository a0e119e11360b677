import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Allocation, movedBuckets, plan } from '../allocation/index.js';
import type { Configuration, NodeConfiguration } from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';
import { Host } from '../host/index.js';
import { createLogger, type Logger } from '../log/index.js';
import {
  addon,
  addressBytes,
  addressText,
  awaitNative,
  callNative,
  classesOf,
  type NativeEngine,
  type NativeWorkerSnapshot,
  NodeIndexes,
  nameCounters,
  nativeCriteria,
  nativeWorkerOptions,
  RECORD_BYTES,
  readAll,
  readRecord,
  vocabulary,
} from '../native/index.js';
import { type AlarmChange, Alarms } from './alarms.js';
import { compareForReload } from './reload.js';
import type {
  Administered,
  AllocationView,
  ConnectionsPage,
  ConnectionsQuery,
  ConnectionView,
  PacketClass,
  Status,
} from './types.js';
import {
  allocationView,
  connectionView,
  cursorText,
  isWanted,
  readCursor,
  staticMembers,
  sumTables,
  workerStatus,
} from './views.js';

/** What a node tells those who listen. */
export interface NodeEvents {
  /** The allocation has changed; these buckets have another owner now. */
  allocation: [{ epoch: number; movedBuckets: readonly number[] }];
  /** A node has come to the list of nodes or gone from it. */
  member: [{ name: string; state: 'member' | 'left' }];
  /** An alarm was raised, or has ended. */
  alarm: [AlarmChange];
  /** One of the connections that were entered lately: a sample, not all. */
  connection: [ConnectionView];
}

/** How a node is run, besides its configuration. */
export interface NodeOptions {
  readonly logger?: Logger;
  /** Where the journal of host changes is kept; default: the folder of the admin socket. */
  readonly runDirectory?: string;
}

const WATCH_MS = 1000;
const CLASH_WAIT_MS = 300;
const ANNOUNCEMENTS = 3;
const SAMPLE_EVERY = 64;
// Crossings for one page of connections: with a narrow filter a page may end before it is full.
const BLOCKS_A_PAGE = 256;

const { version } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string };

/**
 * One node of the cluster, live: what is set on the host, the engine, and the allocation by
 * which it decides.
 *
 * The node list is static: every node plans the allocation from its configuration alone, and all
 * come to the same one.
 */
export class Node extends EventEmitter<NodeEvents> implements Administered {
  readonly vocabulary = vocabulary;
  private readonly alarms = new Alarms();
  private readonly startedAt = Date.now();
  private watching: NodeJS.Timeout | undefined;
  private watchRound: Promise<void> = Promise.resolve();
  private reloading: Promise<void> = Promise.resolve();

  /** The node list, which a reload changes; the rest of the configuration stays. */
  private nodes: readonly NodeConfiguration[];

  private constructor(
    private readonly config: Configuration,
    private current: Allocation,
    private readonly indexes: NodeIndexes,
    private readonly host: Host,
    private readonly engine: NativeEngine,
    private readonly logger: Logger,
  ) {
    super();
    this.nodes = config.nodes;
  }

  /**
   * Sets up the host, opens the engine and begins to decide. When it resolves, the first
   * packet can be decided.
   *
   * @throws FlowsieveError with nothing left behind; FLOWSIEVE_MISSING and FLOWSIEVE_PRIVILEGE name
   * what is missing, FLOWSIEVE_STATE what is in the way
   */
  static async start(config: Configuration, options: NodeOptions = {}): Promise<Node> {
    const logger =
      options.logger ?? createLogger({ bindings: { cluster: config.cluster, node: config.node } });
    for (const warning of config.warnings) logger.warn(warning);
    const captured = captureInterface(config);
    const indexes = new NodeIndexes();
    const allocation = plan({ members: config.nodes, buckets: config.distribution.buckets });
    const host = await Host.prepare({
      cluster: config.cluster,
      addresses: config.addresses,
      interface: captured,
      device: config.deliver.device,
      onNotice: (sentence) => logger.info(sentence),
      // Beside the socket: nodes that share a host have one each.
      runDirectory: options.runDirectory ?? dirname(config.admin.socket),
    });
    let engine: NativeEngine | undefined;
    try {
      await refuseClashes(config, captured);
      engine = openEngine(config, captured, allocation, indexes);
      await host.addTun();
      callNative(() => engine?.start());
      await awaitNative(engine.announce());
    } catch (error) {
      await engine?.close();
      await host.undo();
      throw error;
    }
    const node = new Node(config, allocation, indexes, host, engine, logger);
    node.watch();
    return node;
  }

  /**
   * Takes over the weights and the node list of a new configuration. Open connections
   * stay where they are.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE when the change would break open connections; nothing
   * has changed then
   */
  reload(next: Configuration): Promise<void> {
    // One after the other: each plans from what the one before has left.
    const reloaded = this.reloading.then(() => this.takeOver(next));
    this.reloading = reloaded.catch(() => {});
    return reloaded;
  }

  private async takeOver(next: Configuration): Promise<void> {
    const { nodesChanged, needRestart } = compareForReload(this.config, this.nodes, next);
    if (needRestart.length > 0) {
      this.logger.warn({ keys: needRestart }, 'These keys take effect only with the next start.');
    }
    if (!nodesChanged) return;
    const before = this.current;
    const { buckets } = this.config.distribution;
    const planned = plan({ members: next.nodes, buckets });
    const allocation = { ...planned, epoch: before.epoch + 1 };
    const criteria = nativeCriteria(this.config, this.config.node, allocation, this.indexes);
    await awaitNative(this.engine.replaceCriteria(criteria));
    this.current = allocation;
    this.tellMembers(next.nodes);
    this.nodes = next.nodes;
    const moved = movedBuckets(before, allocation);
    this.logger.info({ epoch: allocation.epoch, moved: moved.length }, 'allocation changed');
    this.emit('allocation', { epoch: allocation.epoch, movedBuckets: moved });
  }

  /** Stops deciding and puts the host back. Returns what could not be put back, in sentences. */
  async stop(): Promise<readonly string[]> {
    clearInterval(this.watching);
    await this.watchRound;
    await this.engine.stop();
    // The device, and with it the addresses, goes with the engine; the guard, which keeps the
    // kernel silent, goes last.
    await this.engine.close();
    return this.host.undo();
  }

  async status(): Promise<Status> {
    const snapshots = await awaitNative(this.engine.snapshot());
    const { counters, drops } = nameCounters(snapshots);
    const workers = snapshots.map(workerStatus);
    const memory = process.memoryUsage();
    const members = staticMembers(this.nodes, this.current);
    return {
      cluster: this.config.cluster,
      node: this.config.node,
      state: 'member',
      epoch: this.current.epoch,
      coordinator: null,
      members,
      tables: sumTables(workers.map(({ tables }) => tables)),
      classes: classesOf(counters, true) as Record<PacketClass, number>,
      drops,
      handover: { completed: 0, rolledBack: 0, held: 0, heldDropped: 0 },
      uptime: (Date.now() - this.startedAt) / 1000,
      version,
      pid: process.pid,
      interface: this.config.interface ?? '',
      addresses: this.config.addresses,
      counters,
      workers,
      memory: {
        residentBytes: memory.rss,
        heapBytes: memory.heapUsed,
        nativeBytes: workers.reduce((sum, worker) => sum + worker.memoryBytes, 0),
      },
      host: { changes: this.host.list(), guard: await this.host.guardStatus().catch(() => null) },
      alarms: this.alarms.list(),
      allocation: {
        epoch: this.current.epoch,
        buckets: this.current.owners.length,
        own: members.find(({ name }) => name === this.config.node)?.buckets ?? 0,
      },
    };
  }

  async connections(query: ConnectionsQuery): Promise<ConnectionsPage> {
    const { workers } = this.config;
    let { worker, place } = readCursor(query.cursor, workers);
    const found: ConnectionView[] = [];
    for (let blocks = 0; blocks < BLOCKS_A_PAGE && found.length < query.limit; blocks += 1) {
      const block = await awaitNative(
        this.engine.connections(worker, place, query.limit - found.length),
      );
      found.push(...this.viewsOf(block.records, block.now).filter((view) => isWanted(view, query)));
      place = block.cursor;
      if (place !== 0n) continue;
      worker += 1;
      if (worker === workers) return { connections: found, cursor: null };
    }
    return { connections: found, cursor: cursorText({ worker, place }) };
  }

  allocation(): AllocationView {
    return allocationView(this.nodes, this.current);
  }

  private viewsOf(records: Buffer, nowTick: number): ConnectionView[] {
    const names = this.indexes.names();
    const now = Date.now() / 1000;
    return [...readAll(records, RECORD_BYTES, readRecord)].map((record) =>
      connectionView(record, names, this.config.node, nowTick, now),
    );
  }

  private tellMembers(next: readonly NodeConfiguration[]): void {
    const before = new Set(this.nodes.map(({ name }) => name));
    const after = new Set(next.map(({ name }) => name));
    for (const name of after) if (!before.has(name)) this.emit('member', { name, state: 'member' });
    for (const name of before) if (!after.has(name)) this.emit('member', { name, state: 'left' });
  }

  /**
   * Looks at the counters every second: alarms, and samples for those who listen. In the first
   * seconds it also announces the cluster addresses again: an interface that has just come up loses
   * what is said at once, and so do neighbours.
   */
  private watch(): void {
    let announcements = ANNOUNCEMENTS;
    this.watching = setInterval(() => {
      this.watchRound = this.watchRound
        .then(() => (announcements-- > 0 ? awaitNative(this.engine.announce()) : undefined))
        .then(async () => this.look(await awaitNative(this.engine.snapshot())))
        .catch((error: unknown) =>
          this.logger.error({ err: error }, 'reading the counters failed'),
        );
    }, WATCH_MS);
    this.watching.unref();
  }

  private look(snapshots: readonly NativeWorkerSnapshot[]): void {
    for (const change of this.alarms.observe(nameCounters(snapshots), Date.now() / 1000)) {
      const { alarm, raised } = change;
      if (raised) this.logger.warn({ alarm: alarm.name }, alarm.message);
      else this.logger.info({ alarm: alarm.name }, 'alarm ended');
      this.emit('alarm', change);
    }
    if (this.listenerCount('connection') === 0) return;
    for (const { samples, now } of snapshots) {
      for (const view of this.viewsOf(samples, now)) this.emit('connection', view);
    }
  }
}

function captureInterface(config: Configuration): string {
  if (config.interface !== undefined) return config.interface;
  throw new FlowsieveError(
    'FLOWSIEVE_CONFIGURATION',
    'Expected the name of the capture interface for interface but received nothing.',
    { path: 'interface' },
  );
}

/** Nobody but the cluster may have the cluster's addresses. */
async function refuseClashes(config: Configuration, captured: string): Promise<void> {
  if (config.linkAddress === null) return;
  const addresses = Buffer.concat(config.addresses.map((address) => addressBytes(address)));
  const [clash] = await awaitNative(
    addon.findClashes(captured, addresses, config.linkAddress, CLASH_WAIT_MS),
  );
  if (clash === undefined) return;
  const address = config.addresses.find((text) =>
    clash.address.equals(Buffer.from(addressBytes(text))),
  );
  throw new FlowsieveError(
    'FLOWSIEVE_CLASH',
    `Expected nobody else to have the cluster address ${address ?? addressText(clash.address, false)} on ` +
      `${captured} but received an answer from ${clash.linkAddress}.`,
    { path: 'addresses' },
  );
}

function openEngine(
  config: Configuration,
  captured: string,
  allocation: Allocation,
  indexes: NodeIndexes,
): NativeEngine {
  const self = config.node;
  const worker = nativeWorkerOptions(config, self, indexes, {
    everything: false,
    bothDirections: false,
    sampleEvery: SAMPLE_EVERY,
  });
  return callNative(
    () =>
      new addon.Engine(
        {
          worker,
          workers: config.workers,
          interface: captured,
          device: config.deliver.device,
          link: config.link,
          linkAddress: config.linkAddress ?? '',
        },
        nativeCriteria(config, self, allocation, indexes),
      ),
  );
}
