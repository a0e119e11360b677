import type {
  Action,
  Configured,
  Coordination,
  ListKind,
  Message,
  Notice,
  PlaneWork,
  ProtocolEvent,
  ProtocolState,
  View,
  Wish,
} from '../protocol/index.js';
import { Activity } from './activity.js';
import type { NodeClock } from './clock.js';
import type { Life, Packet } from './model.js';
import type { Plane, PlaneCriteria } from './plane.js';
import { Pulls } from './pulls.js';
import { Server } from './server.js';
import { Ring } from './wire.js';
import { describeAction, describeEvent } from './words.js';
import { Worker } from './worker.js';
import type { World } from './world.js';

/** What a process is started with. */
export interface ProcessOptions {
  readonly name: string;
  readonly incarnation: number;
  readonly configured: Configured;
  readonly clock: NodeClock;
  /** Names by the indexes of this process; its own is among them, not the first. */
  readonly names: readonly string[];
}

/**
 * A node's process: a core, a data plane, and between them the shell that does what the core asks
 * for. The event loop and the data plane's thread run, and stop, each by itself.
 */
export class Process {
  readonly control: Activity;
  readonly data: Activity;
  readonly plane: Plane;
  readonly core: Coordination;
  readonly server: Server;
  readonly name: string;
  readonly self: number;
  life: Life;
  /** The newest moment until which the data plane may open connections, on this node's clock. */
  openUntil = 0;
  /** The newest view that the data plane was given. */
  installed: View | null = null;
  ended = false;
  onAnswer: ((request: number, refused: string | null) => void) | null = null;
  private readonly worker: Worker;
  readonly pulls: Pulls;
  private readonly ring = new Ring();
  private wakeTicket = 0;
  private wakeAt = Number.NaN;
  private working = false;

  constructor(
    readonly world: World,
    readonly options: ProcessOptions,
  ) {
    const { name, incarnation, configured, names } = options;
    const { queue, scenario } = world;
    this.name = name;
    this.self = names.indexOf(name);
    this.control = new Activity(queue);
    this.data = new Activity(queue);
    this.life = { name, incarnation, over: null };
    this.server = new Server(world, this);
    this.plane = world.makePlane({
      self: this.self,
      criteria: this.nobody(),
      tracking: scenario.tracking,
      holdMs: scenario.holdMs,
      timeouts: scenario.timeouts,
      now: this.now,
      seed: world.seed * 256 + this.self,
    });
    this.plane.setOpenUntil(0, this.now);
    this.worker = new Worker(this);
    this.pulls = new Pulls(this);
    const { quorum, timing } = scenario;
    this.core = world.makeCore({ name, incarnation, configured, quorum, timing }, this.now);
    this.handle({ type: 'tick' });
    this.keepAging();
  }

  get now(): number {
    return this.options.clock.local(this.world.queue.now);
  }

  state(): ProtocolState {
    return this.core.state(this.now);
  }

  /** Criteria before there is a view: nothing is anybody's. */
  private nobody(): PlaneCriteria {
    const { criteria } = this.options.configured;
    const owners = new Uint16Array(criteria.buckets).fill(this.options.names.length);
    return { distribution: this.world.distributions.of(criteria), epoch: 0, owners };
  }

  /** Something happens to the core. */
  handle(event: ProtocolEvent): void {
    const { trace } = this.world;
    if (trace.reading && event.type !== 'tick' && event.type !== 'heartbeat') {
      trace.line(this.name, () => `<- ${describeEvent(event)}`);
    }
    for (const action of this.core.handle(event, this.now)) this.perform(action);
    this.sleep();
  }

  /** Once it is due, the core gets its tick. */
  private sleep(): void {
    if (this.core.wakeAt === this.wakeAt) return;
    this.wakeAt = this.core.wakeAt;
    const ticket = ++this.wakeTicket;
    if (!Number.isFinite(this.wakeAt)) return;
    // A timer is never early, and mostly a little late.
    const due = this.options.clock.true(this.wakeAt) + this.world.random.between(0, 1);
    this.world.queue.at(due, () => {
      this.control.run(() => {
        if (ticket !== this.wakeTicket) return;
        this.wakeAt = Number.NaN;
        this.handle({ type: 'tick' });
      });
    });
  }

  private perform(action: Action): void {
    const { trace } = this.world;
    if (trace.reading && action.type !== 'heartbeat' && action.type !== 'lease') {
      trace.line(this.name, () => `   ${describeAction(action)}`);
    }
    this.world.onAction(this, action);
    if (this.ended) return;
    if (action.type === 'heartbeat') this.beat(action);
    else if (action.type === 'send') this.send(action.to, action.message, action);
    else if (action.type === 'plane') this.worker.ask(action.token, action.work);
    else if (action.type === 'pull') this.pulls.start(action);
    else if (action.type === 'lease') this.lease(action.until);
    else if (action.type === 'answer') this.onAnswer?.(action.request, action.refused);
    else this.notice(action.notice);
  }

  private beat(action: Extract<Action, { type: 'heartbeat' }>): void {
    const { network, onSend, random } = this.world;
    for (const peer of this.options.configured.nodes) {
      if (peer === this.name || (action.only && !action.only.includes(peer))) continue;
      onSend?.(this, peer, action);
      const arrive = (): void => {
        this.world.running(peer)?.control.run(() => {
          const process = this.world.running(peer);
          process?.handle({ type: 'heartbeat', heartbeat: action.heartbeat });
        });
      };
      // Where both come, the second says nothing new: most of those are left out.
      const came = network.send(this.name, peer, 'sync', arrive);
      if (!came || random.chance(0.1)) network.send(this.name, peer, 'wire', arrive);
    }
  }

  private send(to: string, message: Message, action: Action): void {
    this.world.onSend?.(this, to, action);
    this.toPeer(to, (process) => process.handle({ type: 'message', from: this.name, message }));
  }

  /** Something for the process of a peer, over a stream. */
  toPeer(to: string, arrive: (process: Process) => void): void {
    this.world.network.send(this.name, to, 'sync', () => {
      const process = this.world.running(to);
      process?.control.run(() => {
        if (!process.ended) arrive(process);
      });
    });
  }

  private lease(until: number): void {
    const had = this.openUntil > this.now;
    if (had !== until > this.now) {
      const word = had ? 'gives its lease up' : 'has a lease again';
      this.world.trace.line(
        this.name,
        () => `   ${word}, until ${(until - this.now).toFixed(1)} ms`,
      );
    }
    this.openUntil = until;
    this.delivered(this.plane.setOpenUntil(until, this.now));
  }

  private notice(notice: Notice): void {
    if (notice.notice !== 'life') return;
    this.life = { name: this.name, incarnation: notice.incarnation, over: null };
  }

  /** The data plane has done something, and delivers these. */
  delivered(ids: readonly number[]): void {
    for (const id of ids) {
      const packet = this.world.wire.packets[id];
      if (packet) this.server.take(packet);
      else this.world.judge.fail(`${this.name} delivered a packet that nobody sent: ${id}`);
    }
  }

  /** A packet comes in on the wire; the data plane gets to it when it gets to it. */
  receive(time: number, packet: Packet): void {
    const arrival = this.ring.push(time, packet);
    if (this.working) return;
    this.working = true;
    this.world.queue.at(arrival + this.lag(), () => this.data.run(() => this.work()));
  }

  private lag(): number {
    const { random, scenario } = this.world;
    const { usual, spikes, spike } = scenario.lag;
    const lag = random.exponential(usual);
    return random.chance(spikes) ? lag + random.between(0, spike) : Math.min(lag, 10 * usual);
  }

  private work(): void {
    this.drain();
    this.working = false;
    const next = this.ring.next;
    if (next === undefined) return;
    this.working = true;
    this.world.queue.at(next + this.lag(), () => this.data.run(() => this.work()));
  }

  /** Gives everything that has come to the data plane, which has not decided it yet. */
  arrived(): Packet[] {
    const arrivals = this.ring.take(this.world.queue.now);
    // Before its first view a node cannot say whose anything is, and looks at nothing.
    if (!this.installed) return [];
    return arrivals.map(({ time, packet }) => {
      this.plane.push(packet, this.options.clock.local(time));
      return packet;
    });
  }

  /** The data plane decides all that has come. */
  drain(): void {
    const packets = this.arrived();
    if (packets.length === 0) return;
    this.decided(packets, this.plane.turn(this.now));
  }

  /** The data plane has decided these packets, and delivers some, perhaps older ones among them. */
  decided(packets: readonly Packet[], ids: readonly number[]): void {
    this.delivered(ids);
    const taken = new Set(ids);
    for (const packet of packets) {
      if (!taken.has(packet.id)) this.server.pass(packet);
    }
  }

  private keepAging(): void {
    const { random } = this.world;
    this.data.after(random.between(20, 60), () => {
      this.plane.age(this.now);
      this.keepAging();
    });
  }

  /** The core's word whether a peer may have a list now. */
  serves(kind: ListKind, epoch: number, to: string): boolean {
    return this.core.serves(kind, epoch, to);
  }

  wish(request: number, wish: Wish): void {
    this.control.run(() => this.handle({ type: 'wish', request, wish }));
  }

  /** What is done for the core has been done, or could not be. */
  done(token: number, ok: boolean, contested?: boolean): void {
    if (this.ended) return;
    this.handle({ type: 'done', token, ok, ...(contested === undefined ? {} : { contested }) });
  }

  /** It is gone, with everything that it knew. */
  end(why: string): void {
    this.ended = true;
    this.life.over ??= why;
    this.control.end();
    this.data.end();
  }

  /** The newest work that the core has asked for is done. */
  get idle(): boolean {
    return this.worker.idle;
  }

  get lastWork(): PlaneWork['work'] | null {
    return this.worker.last;
  }
}
