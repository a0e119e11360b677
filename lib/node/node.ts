import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Configuration } from '../config/index.js';
import type { Dispatch } from '../dispatch/index.js';
import { FlowsieveError } from '../errors/index.js';
import { Host } from '../host/index.js';
import { createLogger, type Logger } from '../log/index.js';
import {
  awaitNative,
  callNative,
  classesOf,
  type NativeEngine,
  type NativeWorkerSnapshot,
  NodeIndexes,
  nameCounters,
  nativeReservations,
  RECORD_BYTES,
  readAll,
  readRecord,
  vocabulary,
} from '../native/index.js';
import type { Peers } from '../peers/index.js';
import {
  isLiving,
  type Message,
  type Notice,
  Protocol,
  type ProtocolState,
} from '../protocol/index.js';
import { Alarms } from './alarms.js';
import { auditOf, auditSummary } from './audit.js';
import { Balance } from './balance.js';
import { Chronicle, type NodeEvents } from './chronicle.js';
import { monotonicMs } from './clock.js';
import { conditionsOf } from './conditions.js';
import { Departure, othersIn } from './departure.js';
import { DispatcherPlane } from './dispatcher-plane.js';
import { dispatchSettings, makeDispatch, targetsView } from './dispatching.js';
import { type Expectation, expectationView, matchedOf, readExpectations } from './expectation.js';
import { Expectations, isAboutExpectations, membersOf } from './expectations.js';
import { FtpHelper } from './ftp.js';
import {
  captureInterface,
  configuredOf,
  hostOptions,
  openEngine,
  peersConfiguration,
  refuseClashes,
  runInRealTime,
  startPeers,
} from './parts.js';
import { Plane } from './plane.js';
import { Reconciler } from './reconcile.js';
import { reloadOf } from './reload.js';
import { Reports } from './reports.js';
import { Shell } from './shell.js';
import type {
  AllocationView,
  AuditView,
  ClusterAdministered,
  ClusterEvent,
  ClusterStatus,
  ConnectionsPage,
  ConnectionsQuery,
  ConnectionView,
  DrainRequest,
  ExpectationRequest,
  ExpectationView,
  PacketClass,
  ReconcileRequest,
  ReconcileView,
} from './types.js';
import {
  allocationView,
  connectionView,
  cursorText,
  isWanted,
  memberStatuses,
  peerPaths,
  readCursor,
  ruleViews,
  sumTables,
  workerStatus,
} from './views.js';

/** How a node is run, besides its configuration. */
export interface NodeOptions {
  readonly logger?: Logger;
  /** Where the journal of host changes is kept; default: the folder of the admin socket. */
  readonly runDirectory?: string;
  /**
   * For a process that does nothing else: its threads go before what else runs on the machine,
   * where that is allowed.
   */
  readonly inRealTime?: boolean;
}

const WATCH_MS = 1000;
const ANNOUNCEMENTS = 3;
// Crossings for one page of connections: with a narrow filter a page may end before it is full.
const BLOCKS_A_PAGE = 256;
/** How long a node that is started waits for a quorum before it says that it is ready without. */
const QUORUM_WAIT_MS = 3000;
const LOOK_MS = 10;

const { version } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string };

/** What a node is put together from. */
interface NodeParts {
  readonly config: Configuration;
  readonly indexes: NodeIndexes;
  readonly host: Host;
  readonly engine: NativeEngine;
  readonly logger: Logger;
  readonly reconciler: Reconciler;
  /** Connections stand in the tables that no other node knows of. */
  readonly brings: boolean;
}

/**
 * One node of the cluster, live: what is set on the host, the engine, the protocol with its
 * peers, and what they have agreed on.
 */
export class Node extends EventEmitter<NodeEvents> implements ClusterAdministered {
  readonly vocabulary = vocabulary;
  private readonly alarms = new Alarms();
  private readonly startedAt = Date.now();
  private readonly logger: Logger;
  private readonly engine: NativeEngine;
  private readonly indexes: NodeIndexes;
  private readonly plane: Plane;
  /** Null but with topology dispatcher. */
  private readonly dispatch: Dispatch | null;
  private readonly shell: Shell;
  private peers: Peers | null = null;
  private watching: NodeJS.Timeout | undefined;
  private watchRound: Promise<void> = Promise.resolve();
  private reloading: Promise<void> = Promise.resolve();
  private readonly reports = new Reports();
  private readonly balance = new Balance();
  private readonly chronicle: Chronicle;
  private readonly departure: Departure;
  private readonly expected: Expectations;
  private ftp: FtpHelper | null = null;
  /** The configuration in force, which a reload changes in part. */
  private config: Configuration;

  private constructor(private readonly parts: NodeParts) {
    super();
    const { config, engine, indexes, logger } = parts;
    this.config = config;
    this.engine = engine;
    this.indexes = indexes;
    this.logger = logger;
    this.chronicle = new Chronicle(logger, this);
    if (config.topology === 'dispatcher') {
      const plane = new DispatcherPlane(engine, config, indexes, parts.host, logger, () => {
        void this.dispatch?.roleChanged();
      });
      this.plane = plane;
      this.dispatch = makeDispatch({
        ...parts,
        plane,
        tell: (next) => this.tellElements({ type: 'targets', next }),
        fetch: (from) => this.fetchTables(from),
        onEvent: (event) => this.chronicle.node(event),
      });
    } else {
      this.plane = new Plane(engine, config, indexes, parts.host, logger);
      this.dispatch = null;
    }
    const coordination = new Protocol(
      {
        name: config.node,
        incarnation: this.startedAt,
        configured: configuredOf(config),
        quorum: config.quorum,
        timing: config.sync,
        brings: parts.brings,
      },
      monotonicMs(),
    );
    this.shell = new Shell({
      coordination,
      plane: this.plane,
      logger,
      onNotice: (notice) => this.heed(notice),
      onExpected: (block) => this.expected.learn(readExpectations(block, monotonicMs())),
    });
    this.expected = new Expectations({
      self: config.node,
      plane: this.plane.expecting,
      logger,
      guardMs: () => this.config.sync.guard,
      members: () => membersOf(this.shell.state(), config.node),
      send: (to, message) => this.peers?.send(to, message),
      pullContested: (from) => this.shell.pullContested(from),
      now: monotonicMs,
      matched: () => this.matched(),
      onEnded: (expectation, why) => this.emit('expectation', { id: expectation.id, why }),
    });
    this.departure = new Departure(this.shell, this.plane, logger, () => this.config);
  }

  /**
   * Sets up the host, opens the engine, joins the cluster and begins to decide. When it resolves,
   * the first packet can be decided; when no quorum of the nodes is there, that is a few seconds
   * later, and the node opens no connections until one is.
   *
   * @throws FlowsieveError with nothing left behind; FLOWSIEVE_MISSING and FLOWSIEVE_PRIVILEGE name
   * what is missing, FLOWSIEVE_STATE what is in the way
   */
  static async start(config: Configuration, options: NodeOptions = {}): Promise<Node> {
    const logger =
      options.logger ?? createLogger({ bindings: { cluster: config.cluster, node: config.node } });
    for (const warning of config.warnings) logger.warn(warning);
    const captured = captureInterface(config);
    if (config.elements.length > 1) peersConfiguration(config);
    const indexes = new NodeIndexes();
    indexes.of(config.node);
    const host = await Host.prepare({
      ...hostOptions(config, captured),
      onNotice: (sentence) => logger.info(sentence),
      // Beside the socket: nodes that share a host have one each.
      runDirectory: options.runDirectory ?? dirname(config.admin.socket),
    });
    let engine: NativeEngine | undefined;
    let node: Node | undefined;
    try {
      await refuseClashes(config);
      engine = openEngine(config, captured, indexes);
      await awaitNative(engine.reserve(nativeReservations(config, indexes)));
      if (config.topology === 'filter') await host.addTun();
      // Before the first packet is decided, and before anybody else has a say in it.
      const reconciler = new Reconciler(engine, config, logger);
      const brings = await reconciler.restore();
      callNative(() => engine?.start());
      // Before the first heartbeat, and when the workers are there.
      if (options.inRealTime) runInRealTime(logger);
      node = new Node({ config, indexes, host, engine, logger, reconciler, brings });
      await node.meetPeers();
      await node.dispatch?.start();
      node.shell.begin();
      await awaitNative(engine.announce());
      await node.joined();
      await node.help();
    } catch (error) {
      node?.expected.close();
      node?.shell.close();
      await node?.dispatch?.close();
      await node?.peers?.close();
      await engine?.close();
      await host.undo();
      node?.ftp?.close();
      throw error;
    }
    node.watch();
    node.beginToReconcile();
    return node;
  }

  /**
   * Takes over what a new configuration changes, as far as a running node can. Open connections
   * stay where they are.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE for a change that the nodes cannot go through together;
   * nothing has changed then
   */
  reload(next: Configuration): Promise<void> {
    // One after the other: each compares with what the one before has left.
    const reloaded = this.reloading.then(() => this.takeOver(next));
    this.reloading = reloaded.catch(() => {});
    return reloaded;
  }

  private async takeOver(next: Configuration): Promise<void> {
    const { changed, needRestart } = reloadOf(this.parts.config, this.config, next);
    if (needRestart.length > 0) {
      this.logger.warn({ keys: needRestart }, 'These keys take effect only with the next start.');
    }
    if (changed.size === 0) return;
    if (next.elements.length > 1) this.peers?.configure(peersConfiguration(next));
    this.config = next;
    await awaitNative(this.engine.reserve(nativeReservations(next, this.indexes)));
    await this.meetPeers();
    this.shell.feed({ type: 'configure', configured: configuredOf(next) });
    await this.dispatch?.configure(dispatchSettings(next));
    this.logger.info({ keys: [...changed] }, 'configuration taken over');
  }

  async drain(request: DrainRequest = {}): Promise<void> {
    if (request.node === undefined) await this.departure.drain(request);
    else await this.behind('drain').drain(request.node);
  }

  async resume(node?: string): Promise<void> {
    if (node === undefined) await this.departure.resume();
    else await this.behind('resume').resume(node);
  }

  async weight(node: string, weight: number): Promise<void> {
    if (this.dispatch) await this.dispatch.weight(node, weight);
    else await this.shell.wish({ wish: 'weight', node, weight });
  }

  /**
   * Leaves the cluster, stops deciding and puts the host back. Returns what could not be put back, in
   * sentences.
   */
  async stop(): Promise<readonly string[]> {
    await this.departure.leave();
    await this.parts.reconciler.close();
    clearInterval(this.watching);
    await this.watchRound;
    this.expected.close();
    this.shell.close();
    await this.dispatch?.close();
    await this.peers?.close();
    await this.engine.stop();
    // The device, and with it the addresses, goes with the engine; the guard, which keeps the
    // kernel silent, goes last.
    await this.engine.close();
    const left = await this.parts.host.undo();
    this.ftp?.close();
    return left;
  }

  async status(): Promise<ClusterStatus> {
    const snapshots = await awaitNative(this.engine.snapshot());
    const { counters, drops } = nameCounters(snapshots);
    const workers = snapshots.map(workerStatus);
    const memory = process.memoryUsage();
    const state = this.shell.state();
    const members = memberStatuses(this.config, state, monotonicMs(), Date.now() / 1000);
    const { host } = this.parts;
    const epoch = state.view?.epoch ?? 0;
    return {
      cluster: this.config.cluster,
      node: this.config.node,
      state: state.state,
      epoch,
      coordinator: state.coordinator,
      members,
      tables: sumTables(workers.map(({ tables }) => tables)),
      classes: classesOf(counters, true) as Record<PacketClass, number>,
      drops,
      handover: {
        completed: state.completed,
        rolledBack: state.rolledBack,
        held: counters['held'] ?? 0,
        heldDropped: (drops['holdFull'] ?? 0) + (drops['holdExpired'] ?? 0),
      },
      uptime: (Date.now() - this.startedAt) / 1000,
      version,
      pid: process.pid,
      interface: this.config.interfaces.map(({ name }) => name).join(', '),
      addresses: this.config.addresses,
      counters,
      workers,
      memory: {
        residentBytes: memory.rss,
        heapBytes: memory.heapUsed,
        nativeBytes: workers.reduce((sum, worker) => sum + worker.memoryBytes, 0),
      },
      host: { changes: host.list(), guard: await host.guardStatus().catch(() => null) },
      alarms: this.alarms.list(),
      allocation: {
        epoch,
        buckets: state.view?.criteria.buckets ?? this.config.distribution.buckets,
        own: members.find(({ name }) => name === this.config.node)?.buckets ?? 0,
      },
      rules: ruleViews(state),
      drain: this.departure.status(),
      peers: peerPaths(this.peers?.status().peers ?? [], performance.now(), Date.now() / 1000),
      audit: auditSummary(this.audit()),
      os: this.parts.reconciler.status(),
      ...(this.dispatch ? { dispatcher: this.dispatch.status(snapshots) } : {}),
      expectations: this.expected.status(),
      ftp: this.ftp?.status() ?? null,
    };
  }

  reconcile(request: ReconcileRequest = {}): Promise<ReconcileView> {
    return this.parts.reconciler.reconcile(request);
  }

  async connections(query: ConnectionsQuery): Promise<ConnectionsPage> {
    const { workers } = this.parts.config;
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
    if (this.dispatch) return targetsView(this.config, this.dispatch.state);
    return allocationView(this.config, this.shell.state());
  }

  audit(): AuditView {
    const { view } = this.shell.state();
    const members = view?.members.filter(isLiving).map(({ name }) => name) ?? [];
    const membersOf = (epoch: number) => this.chronicle.membersOf(epoch);
    return auditOf(this.reports.all(), members, view?.epoch ?? 0, membersOf);
  }

  events(): readonly ClusterEvent[] {
    return this.chronicle.events();
  }

  async expect(request: ExpectationRequest): Promise<ExpectationView> {
    return this.expectationView(await this.expected.expect(request), 0);
  }

  unexpect(id: number): Promise<void> {
    return this.expected.unexpect(id);
  }

  async expectations(): Promise<readonly ExpectationView[]> {
    const matched = await this.matched();
    return this.expected.all().map((each) => this.expectationView(each, matched(each)));
  }

  private expectationView(expectation: Expectation, matched: number): ExpectationView {
    const now = Date.now() / 1000;
    return expectationView(expectation, this.config.node, matched, monotonicMs(), now);
  }

  /** How many packets have met an expectation on this node. */
  private async matched(): Promise<(expectation: Expectation) => number> {
    const { expectations, matched } = await awaitNative(this.engine.expectations());
    return matchedOf(expectations, matched, this.indexes.names());
  }

  // ---- the cluster -------------------------------------------------------------------------

  private async meetPeers(): Promise<void> {
    const { incarnation } = this.shell.state();
    this.peers ??= await startPeers(this.config, incarnation, this.logger, {
      onHeartbeat: (heartbeat) => this.shell.heartbeat(heartbeat),
      onMessage: (from, message) => this.takeMessage(from, message),
      onList: (to, { kind, epoch }) =>
        kind === 'tables' && this.servesTables(to)
          ? this.plane.list(kind, to)
          : this.shell.serve(to, kind, epoch),
    });
    this.shell.speakTo(this.peers);
  }

  /** Begins with the helpers that the configuration asks for. */
  private async help(): Promise<void> {
    const { config, host, logger } = this.parts;
    const [captured] = config.interfaces;
    if (captured === undefined || config.helpers.ftp.ports.length === 0) return;
    const expect = (request: ExpectationRequest) => this.expected.expect(request);
    this.ftp = await FtpHelper.start(config, captured.name, host, logger, expect);
  }

  private takeMessage(from: string, message: Message): void {
    if (message.type === 'report') this.reports.take(from, message.report);
    else if (message.type === 'targets') this.dispatch?.follow(from, message.next);
    else if (isAboutExpectations(message)) this.expected.take(from, message);
    else this.shell.message(from, message);
  }

  // ---- the dispatcher ----------------------------------------------------------------------

  private behind(what: string): Dispatch {
    if (this.dispatch) return this.dispatch;
    throw new FlowsieveError(
      'FLOWSIEVE_STATE',
      `Expected a dispatcher for ${what} of another node but received a node.`,
    );
  }

  private tellElements(message: Message): void {
    const { node } = this.config;
    for (const name of othersIn(this.shell.state().view, node)) this.peers?.send(name, message);
  }

  private async fetchTables(from: string): Promise<void> {
    const epoch = this.shell.state().view?.epoch ?? 0;
    await this.peers?.pull(from, { kind: 'tables', epoch }, async (block) => {
      await this.plane.merge(block, 'tables');
    });
  }

  /** Between dispatchers, whoever is one of them may have all connections at any time. */
  private servesTables(to: string): boolean {
    const others = othersIn(this.shell.state().view, this.config.node);
    return this.dispatch !== null && others.includes(to);
  }

  /** Resolves when this node is a member, or there is no quorum to be a member of. */
  private async joined(): Promise<void> {
    const since = monotonicMs();
    while (this.shell.state().state !== 'member') {
      if (monotonicMs() - since > QUORUM_WAIT_MS) {
        return this.logger.warn('No quorum is there: no connections are opened until one is.');
      }
      await pause(LOOK_MS);
    }
  }

  private beginToReconcile(): void {
    this.parts.reconciler.begin(() => {
      const { state, view } = this.shell.state();
      return view !== null && (state === 'member' || state === 'draining');
    });
  }

  private heed(notice: Notice): void {
    if (notice.notice === 'life') {
      this.peers?.setIdentity({ name: this.config.node, incarnation: notice.incarnation });
      this.expected.lifeOver();
    }
    if (notice.notice === 'view') this.expected.membersChanged();
    this.chronicle.heed(notice);
  }

  // ---- looking on --------------------------------------------------------------------------

  private viewsOf(records: Buffer, nowTick: number): ConnectionView[] {
    const names = this.indexes.names();
    const now = Date.now() / 1000;
    return [...readAll(records, RECORD_BYTES, readRecord)].map((record) =>
      connectionView(record, names, this.config.node, nowTick, now),
    );
  }

  /**
   * Looks at the counters every second: alarms, and samples for those who listen. At first it also
   * announces the cluster addresses again: what has just come up loses what is said at once.
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

  private async look(snapshots: readonly NativeWorkerSnapshot[]): Promise<void> {
    const { node } = this.config;
    const state = this.shell.state();
    this.tellOthers(state, snapshots);
    await this.expected.look();
    const counted = { ...nameCounters(snapshots), refused: this.peers?.status().refused };
    const conditions = conditionsOf({
      ...state,
      now: monotonicMs(),
      self: node,
      quorum: this.config.quorum,
      nodes: this.config.elements.map(({ name }) => name),
      heard: state.peers.filter(({ suspected }) => !suspected).map(({ name }) => name),
      audit: this.audit(),
      unseen: this.reports.unseen([node, ...othersIn(state.view, node)]),
    });
    for (const [name, message] of this.dispatch?.conditions() ?? []) {
      conditions.push({ name, message });
    }
    for (const change of this.alarms.observe(counted, Date.now() / 1000, conditions)) {
      this.chronicle.alarm(change);
    }
    if (this.listenerCount('connection') === 0) return;
    for (const { samples, now } of snapshots) {
      for (const view of this.viewsOf(samples, now)) this.emit('connection', view);
    }
  }

  /** What this node has counted, for the audit and the balance of all. */
  private tellOthers(state: ProtocolState, snapshots: readonly NativeWorkerSnapshot[]): void {
    const { node } = this.config;
    const peers = this.peers?.status().peers ?? [];
    const report = this.reports.make(node, state.incarnation, snapshots, peers, performance.now());
    for (const name of othersIn(state.view, node))
      this.peers?.send(name, { type: 'report', report });
    const { rebalance } = this.config;
    const moved = this.balance.look(rebalance, state, this.reports.all(), monotonicMs());
    if (moved) this.shell.feed(moved);
  }
}
