import { expectedSentence, FlowsieveError } from '../errors/index.js';
import { type Health, type HealthSettings, type LastCheck, Monitor } from '../health/index.js';
import type { Logger } from '../log/index.js';
import {
  awaitNative,
  type NativeEngine,
  type NativeWorkerSnapshot,
  type NodeIndexes,
} from '../native/index.js';
import { type Target, Targets, type TargetsState } from './targets.js';
import { type Destination, findWays, type WaySettings, type WayStatus } from './ways.js';

// The dispatcher: what its engine forwards, and to whom.
//
//   health checks --> targets (pure) --> criteria ----> engine: which node a packet belongs to
//   commands ------>     |    ^
//                        v    | of the active one, at the standby
//                   the other dispatcher, which pulls the connections after every change
//   routes, neighbours ----------------> hops --------> engine: how packets get there
//
// Of two dispatchers the active one decides about the nodes; both check them, so that whichever is
// active acts by what it has seen itself.

/** How often routes and neighbours are asked for, and the standby is told of the nodes. */
const LOOK_MS = 1000;

/** A node behind the dispatcher. */
export interface DispatchNode extends Destination {
  readonly weight: number;
  readonly health: HealthSettings;
}

/** What a dispatcher is configured with. */
export interface DispatchSettings extends WaySettings {
  readonly nodes: readonly DispatchNode[];
  readonly select: 'bucket' | 'leastConnections';
  readonly onFailure: 'stay' | 'move';
}

/** What the workers are to decide by. */
export interface DispatchCriteria {
  readonly targets: TargetsState;
  /** Names and weights of nodes that opening packets are shared among by their connections. */
  readonly candidates: readonly Target[];
}

/** Where a dispatcher stands. */
export interface DispatchParts {
  readonly engine: NativeEngine;
  readonly indexes: NodeIndexes;
  readonly buckets: number;
  readonly logger: Logger;
  /** Hands criteria to the engine. */
  install(criteria: DispatchCriteria): Promise<void>;
  /** This dispatcher forwards, and decides about the nodes. */
  isActive(): boolean;
  /** The name of the active one; null while there is none. */
  active(): string | null;
  /** Tells the other dispatchers. */
  tell(state: TargetsState): void;
  /** Fetches the connections of the active one; resolves when they are here. */
  fetch(from: string): Promise<void>;
  onEvent(event: DispatchEvent): void;
}

/** Something that happened to a node behind the dispatcher. */
export interface DispatchEvent {
  readonly event: 'node';
  readonly name: string;
  readonly change: 'up' | 'down' | 'draining' | 'resumed';
  /** What the last check found. */
  readonly found: string;
}

/** A node behind the dispatcher, as it is shown. */
export interface DispatchNodeStatus {
  readonly name: string;
  readonly address: string;
  readonly health: Health;
  /** Its checks fail, as the active dispatcher sees it. */
  readonly down: boolean;
  readonly draining: boolean;
  readonly weight: number;
  readonly buckets: number;
  readonly connections: number;
  readonly packets: number;
  readonly bytes: number;
  readonly way: WayStatus | null;
  readonly lastCheck: LastCheck | null;
}

/** A dispatcher at one moment. */
export interface DispatchStatus {
  /** It forwards; the other one of a pair does not. */
  readonly active: boolean;
  /** Of the allocation between the nodes. */
  readonly epoch: number;
  readonly nodes: readonly DispatchNodeStatus[];
}

/** How often the standby fetches the connections although nothing has changed. */
const FETCH_MS = { bucket: 60_000, leastConnections: 1000 } as const;

export class Dispatch {
  private readonly targets: Targets;
  private monitors = new Map<string, Monitor>();
  private ways: ReadonlyMap<string, WayStatus> = new Map();
  private hopsInForce = '';
  private timer: NodeJS.Timeout | undefined;
  private order: Promise<void> = Promise.resolve();
  private looking: Promise<void> = Promise.resolve();
  private closed = false;
  private fetching: Promise<void> | null = null;
  private fetchAgain = true;
  /** What the active dispatcher says has been taken over. */
  private followed = false;
  /** The configuration names other nodes; whoever is active takes that up. */
  private configuredAnew = false;
  private fetchedAt = 0;

  constructor(
    private readonly parts: DispatchParts,
    private settings: DispatchSettings,
  ) {
    this.targets = new Targets(settings.nodes, parts.buckets);
  }

  /** Looks for the ways, checks every node once, and begins to decide. */
  async start(): Promise<void> {
    await this.installed();
    await this.findWays();
    await this.watch();
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.timer.unref();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    for (const monitor of this.monitors.values()) monitor.close();
    await this.looking;
    await this.order;
  }

  /** The active dispatcher has become another one, or this one. */
  async roleChanged(): Promise<void> {
    this.fetchAgain = true;
    this.followed = false;
    if (!this.parts.isActive() || this.closed) return;
    this.takeUpConfiguration();
    await this.installed();
    await this.judge();
    this.parts.tell(this.targets.current);
  }

  /** The nodes have been configured anew. */
  async configure(settings: DispatchSettings): Promise<void> {
    this.settings = settings;
    for (const monitor of this.monitors.values()) monitor.close();
    this.monitors = new Map();
    this.configuredAnew = true;
    const changed = this.parts.isActive() && this.takeUpConfiguration();
    await this.findWays();
    await this.watch();
    if (changed) await this.changed([]);
  }

  private takeUpConfiguration(): boolean {
    if (!this.configuredAnew) return false;
    this.configuredAnew = false;
    return this.targets.configure(this.settings.nodes);
  }

  /** What the active dispatcher says. */
  follow(from: string, state: TargetsState): void {
    if (this.parts.isActive() || from !== this.parts.active()) return;
    const names = state.nodes.map(({ name }) => name).join();
    if (names === this.settings.nodes.map(({ name }) => name).join()) this.configuredAnew = false;
    const changed = this.targets.follow(state, !this.followed);
    this.followed = true;
    if (changed) {
      this.fetchAgain = true;
      void this.changed([]);
    }
    this.fetch(from);
  }

  /** @throws FlowsieveError FLOWSIEVE_STATE, FLOWSIEVE_ARGUMENT */
  async drain(name: string): Promise<void> {
    await this.command(name, 'drain', { draining: true }, 'draining');
  }

  /** @throws FlowsieveError FLOWSIEVE_STATE, FLOWSIEVE_ARGUMENT */
  async resume(name: string): Promise<void> {
    await this.command(name, 'resume', { draining: false }, 'resumed');
  }

  /** @throws FlowsieveError FLOWSIEVE_STATE, FLOWSIEVE_ARGUMENT */
  async weight(name: string, weight: number): Promise<void> {
    await this.command(name, 'weight', { weight }, null);
  }

  get state(): TargetsState {
    return this.targets.current;
  }

  status(snapshots: readonly NativeWorkerSnapshot[]): DispatchStatus {
    const { allocation, nodes } = this.targets.current;
    return {
      active: this.parts.isActive(),
      epoch: allocation.epoch,
      nodes: nodes.map(({ name, weight, draining, down }) => {
        const monitor = this.monitors.get(name);
        const index = allocation.names.indexOf(name);
        return {
          name,
          address: this.settings.nodes.find((node) => node.name === name)?.address ?? '',
          health: monitor?.health ?? 'unknown',
          down,
          draining,
          weight,
          buckets: allocation.owners.filter((owner) => owner === index).length,
          ...countsOf(snapshots, this.parts.indexes.of(name)),
          way: this.ways.get(name) ?? null,
          lastCheck: monitor?.last ?? null,
        };
      }),
    };
  }

  /** Sentences about what is wrong with the nodes now, by a word for programs. */
  conditions(): Map<string, string> {
    const found = new Map<string, string>();
    const { nodes } = this.targets.current;
    const down = nodes.filter((node) => node.down).map(({ name }) => name);
    if (this.targets.isEmpty) {
      found.set('noNodes', 'No node takes connections: all are down, draining or without weight.');
    } else if (down.length > 0) {
      found.set('nodeDown', `The health checks of ${down.join(', ')} fail.`);
    }
    const closed = [...this.ways].filter(([, { state }]) => state !== 'open');
    if (closed.length > 0) {
      const each = closed.map(([name, { state }]) => `${name} (${state})`);
      found.set('noWay', `There is no way to ${each.join(', ')}: packets to it are dropped.`);
    }
    return found;
  }

  // ---- nodes ---------------------------------------------------------------------------------

  private async command(
    name: string,
    what: string,
    change: Partial<Omit<Target, 'name'>>,
    event: DispatchEvent['change'] | null,
  ): Promise<void> {
    if (!this.parts.isActive()) {
      const active = this.parts.active() ?? 'not known';
      const received = `the standby: the active one is ${active}`;
      throw new FlowsieveError(
        'FLOWSIEVE_STATE',
        expectedSentence('the active dispatcher', what, received),
      );
    }
    if (this.targets.get(name) === undefined) {
      const names = this.settings.nodes.map((node) => node.name).join(', ');
      throw new FlowsieveError(
        'FLOWSIEVE_ARGUMENT',
        expectedSentence(`one of the nodes ${names}`, what, name),
        { path: 'node' },
      );
    }
    if (!this.targets.change(new Map([[name, change]]))) return;
    if (event !== null) this.parts.onEvent({ event: 'node', name, change: event, found: '' });
    await this.changed([]);
  }

  private async watch(): Promise<void> {
    const started = this.settings.nodes.map((node) => {
      const monitor = new Monitor(node, node.health, (health, last) => {
        this.parts.logger.info({ node: node.name, health, found: last.found }, 'health');
        void this.judge();
      });
      this.monitors.set(node.name, monitor);
      return monitor.start();
    });
    await Promise.all(started);
    await this.judge();
  }

  /** Lets the allocation follow the health of the nodes. */
  private async judge(): Promise<void> {
    if (!this.parts.isActive() || this.closed) return;
    const changes = new Map<string, { down: boolean }>();
    const failed: string[] = [];
    for (const [name, monitor] of this.monitors) {
      const down = monitor.health === 'down';
      const before = this.targets.get(name)?.down ?? false;
      if (before === down) continue;
      changes.set(name, { down });
      if (down) failed.push(name);
      const found = monitor.last?.found ?? '';
      this.parts.onEvent({ event: 'node', name, change: down ? 'down' : 'up', found });
    }
    if (this.targets.change(changes)) await this.changed(failed);
  }

  /** `failed`: nodes whose connections go to others where the configuration says so. */
  private async changed(failed: readonly string[]): Promise<void> {
    await this.installed();
    const { engine, indexes } = this.parts;
    if (failed.length > 0 && this.settings.onFailure === 'move' && !this.targets.isEmpty) {
      await awaitNative(engine.adopt(failed.map((name) => indexes.of(name))));
    }
    if (this.parts.isActive()) this.parts.tell(this.targets.current);
  }

  /** One after the other, so that the last one stays. */
  private installed(): Promise<void> {
    const done = this.order.then(() => {
      const least = this.settings.select === 'leastConnections';
      return this.parts.install({
        targets: this.targets.current,
        candidates: least ? this.targets.open : [],
      });
    });
    this.order = done.catch((error: unknown) => {
      this.parts.logger.error({ err: error }, 'the criteria were not taken over');
    });
    return this.order;
  }

  // ---- ways, and the other dispatcher ----------------------------------------------------------

  private look(): void {
    if (this.parts.isActive()) this.parts.tell(this.targets.current);
    this.looking = this.looking
      .then(() => this.findWays())
      .catch((error: unknown) =>
        this.parts.logger.error({ err: error }, 'the ways to the nodes were not found'),
      );
  }

  private async findWays(): Promise<void> {
    if (this.closed) return;
    const { engine, indexes } = this.parts;
    const { hops, statuses } = await findWays(this.settings.nodes, this.settings, indexes);
    this.ways = statuses;
    // What was resolved once stays in use while the kernel asks again.
    const described = JSON.stringify(hops);
    if (described === this.hopsInForce) return;
    this.hopsInForce = described;
    await awaitNative(engine.setHops(hops));
  }

  private fetch(from: string): void {
    const due = performance.now() - this.fetchedAt > FETCH_MS[this.settings.select];
    if (this.fetching !== null || !(this.fetchAgain || due)) return;
    this.fetchAgain = false;
    this.fetching = this.order
      .then(() => this.parts.fetch(from))
      .catch((error: unknown) => {
        this.fetchAgain = true;
        this.parts.logger.debug({ err: error, from }, 'connections not fetched');
      })
      .finally(() => {
        this.fetching = null;
        this.fetchedAt = performance.now();
      });
  }
}

/** What all workers have for one node. */
function countsOf(snapshots: readonly NativeWorkerSnapshot[], index: number) {
  const sum = (offset: number): number =>
    snapshots.reduce((total, { nodes }) => total + (nodes[3 * index + offset] ?? 0), 0);
  return { packets: sum(0), bytes: sum(1), connections: sum(2) };
}
