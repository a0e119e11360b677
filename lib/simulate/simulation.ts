import {
  type Action,
  type Coordination,
  Protocol,
  type ProtocolOptions,
} from '../protocol/index.js';
import { Changes } from './changes.js';
import { Clients, RETRY_MS_MAX } from './clients.js';
import { Faults } from './faults.js';
import { Distributions } from './hashing.js';
import { Host } from './hosts.js';
import { Judge } from './judge.js';
import { NativePlane } from './native.js';
import { Network } from './network.js';
import type { MakePlane } from './plane.js';
import type { Process } from './process.js';
import { EventQueue } from './queue.js';
import { Random } from './random.js';
import { makeScenario, type Scenario } from './scenario.js';
import { disagreements, unsettled } from './settled.js';
import { Trace } from './trace.js';
import { TwinPlane } from './twin.js';
import { Wire } from './wire.js';
import type { World } from './world.js';

/** What a simulation is made from; the seed chooses whatever is not said. */
export interface SimulationOptions {
  readonly seed: number;
  readonly nodes?: number | undefined;
  /** Simulated seconds in which things happen; forming and settling come on top. */
  readonly seconds?: number | undefined;
  /** False: only changes that somebody wants. */
  readonly faults?: boolean | undefined;
  /** Is given one line for everything that happens. */
  readonly trace?: ((line: string) => void) | undefined;
  /** The worker of the live path (that is the default), its plain twin, or one made to order. */
  readonly plane?: 'native' | 'twin' | MakePlane | undefined;
  /** Another core than the one of lib/protocol. */
  readonly core?: ((options: ProtocolOptions, now: number) => Coordination) | undefined;
  /** Is told of every heartbeat and message, once for each node that it goes to. */
  readonly sent?: ((from: string, to: string, action: Action) => void) | undefined;
  /** Changes what the seed has chosen. */
  readonly scenario?: ((scenario: Scenario) => Scenario) | undefined;
}

/** What came of it. */
export interface SimulationResult {
  readonly seed: number;
  readonly ok: boolean;
  /** What must never happen, a sentence each. */
  readonly violations: readonly string[];
  readonly nodes: number;
  readonly faultless: boolean;
  /** Packets that open connections, and connections that were opened. */
  readonly openings: number;
  readonly connections: number;
  /** Epochs that were reached. */
  readonly transitions: number;
  /** Events that happened, and simulated milliseconds. */
  readonly steps: number;
  readonly milliseconds: number;
  /** The longest that an opening packet was waiting for its answer. */
  readonly slowestAnswerMs: number;
  /** What broke with nodes that died, left, or were declared dead. */
  readonly excused: {
    readonly reset: number;
    readonly missed: number;
    readonly twice: number;
    readonly forgotten: number;
    readonly guessed: number;
    readonly stuck: number;
    /** What two nodes with quorum `paths` did while they could not hear each other. */
    readonly split: number;
  };
}

const FORM_MS_MAX = 8000;
const SETTLE_MS_MAX = 12_000;
const POLL_MS = 50;

function makePlaneOf(plane: 'native' | 'twin' | MakePlane): MakePlane {
  if (plane === 'native') return (options) => new NativePlane(options);
  return plane === 'twin' ? (options) => new TwinPlane(options) : plane;
}

/** One simulation, for those who want to go through it in their own order. */
export class Simulation {
  readonly queue = new EventQueue();
  private readonly random: Random;
  private readonly scenario: Scenario;
  private readonly judge: Judge;
  private readonly clients: Clients;
  readonly hosts: Host[];
  private readonly changes: Changes;
  private readonly faults: Faults;
  private readonly world: World;

  constructor(private readonly options: SimulationOptions) {
    this.random = new Random(options.seed);
    const scenario = makeScenario(this.random, options);
    this.scenario = options.scenario?.(scenario) ?? scenario;
    this.judge = new Judge(() => this.world);
    this.clients = new Clients(() => this.world);
    this.world = this.makeWorld();
    this.hosts = this.scenario.names.map((_, index) => new Host(this.world, index));
    this.changes = new Changes(this.world, this.hosts);
    this.faults = new Faults(this.world, this.hosts, this.changes);
  }

  private makeWorld(): World {
    const { queue, random, scenario, options } = this;
    const network = new Network(queue, random);
    network.weather = scenario.weather;
    return {
      seed: options.seed,
      scenario,
      queue,
      random,
      network,
      trace: new Trace(queue, options.trace),
      wire: new Wire(queue, random, scenario.spread),
      distributions: new Distributions(),
      judge: this.judge,
      clients: this.clients,
      makeCore: options.core ?? ((made, now) => new Protocol(made, now)),
      makePlane: makePlaneOf(options.plane ?? 'native'),
      running: (name) => this.hosts.find((host) => host.name === name)?.process ?? null,
      onAction: (process, action) => this.onAction(process, action),
      onSend: options.sent && ((process, to, action) => options.sent?.(process.name, to, action)),
    };
  }

  private onAction(process: Process, action: Action): void {
    if (action.type === 'plane') {
      const { work } = action.work;
      if (work === 'prepare' || work === 'takeover') this.clients.rush();
      if (work === 'clear') this.clients.calm();
      if (action.work.work === 'acquire') {
        // Where a loser's list is not waited for, that one must be dead.
        const { epoch, from, dead } = action.work;
        const missing = from.filter((name) => !process.pulls.hasReleased(epoch, name));
        for (const name of [...missing, ...dead]) this.judge.seesDeath(process, name);
      }
      if (action.work.work === 'prepare') {
        this.judge.seesAllocation(process, action.work.transition.next);
      }
    }
    if (action.type === 'notice' && action.notice.notice === 'life') {
      this.queue.after(0, () => this.judge.begins(process));
    }
    this.faults.onAction(process, action);
  }

  /** Runs until `until`, or until `done` says so; asks that every now and then. */
  run(until: number, done: () => boolean = () => false): boolean {
    while (this.queue.now < until) {
      const next = Math.min(until, this.queue.now + POLL_MS);
      while (this.queue.step(next)) this.judge.check();
      this.judge.check();
      if (done()) return true;
    }
    return false;
  }

  private recurring(mean: number, until: number, what: () => void): void {
    this.queue.after(this.random.exponential(mean), () => {
      if (this.queue.now > until) return;
      what();
      if (this.random.chance(this.scenario.pairs)) what();
      this.recurring(mean, until, what);
    });
  }

  /** As many nodes as the scenario says start, and agree. */
  form(): void {
    const starters = this.random.shuffled(this.hosts).slice(0, this.scenario.starters);
    for (const host of starters) {
      this.queue.after(this.random.between(0, 300), () => host.start());
    }
    const formed = (): boolean =>
      starters.every(({ process }) => process) && unsettled(this.hosts) === null;
    if (!this.run(FORM_MS_MAX, formed)) {
      this.judge.fail(`(5) The cluster did not form: ${unsettled(this.hosts)}.`);
    }
  }

  simulate(): SimulationResult {
    const { queue, scenario, clients } = this;
    this.form();
    clients.begin();
    const end = queue.now + scenario.busy;
    this.recurring(scenario.changeGap, end, () => this.changes.some());
    if (!scenario.faultless) this.recurring(scenario.faultGap, end, () => this.faults.some());
    this.run(end);
    this.faults.mend();
    clients.calm();
    this.settle();
    return this.result();
  }

  /** Nothing happens any more but traffic; soon everybody agrees, and stays so. */
  private settle(): void {
    const { queue, clients, judge } = this;
    const settled = (): boolean => unsettled(this.hosts) === null;
    this.run(queue.now + SETTLE_MS_MAX, settled);
    // In that time every client that was not answered tries again.
    this.run(queue.now + RETRY_MS_MAX);
    clients.end();
    this.run(queue.now + RETRY_MS_MAX);
    // A change that was on its way may begin a little later.
    this.run(queue.now + SETTLE_MS_MAX, settled);
    const reason = unsettled(this.hosts);
    if (reason) judge.fail(`(5) After ${SETTLE_MS_MAX} ms of quiet ${reason}.`);
    // What was on its way to a table when it was last asked has come there by then.
    this.run(queue.now + 300);
    const guess = (): void => {
      judge.excused.guessed += 1;
    };
    for (const sentence of disagreements(this.hosts, clients.connections, guess)) {
      judge.fail(sentence);
    }
    for (const connection of clients.connections) {
      if (connection.state !== 'opening') continue;
      // The first datagram was lost, and the second made everybody believe that it was not: who
      // gained the bucket since cannot know better until the entries' time is over.
      const isFlow = connection.tuple.protocol === 'udp' && connection.knocks > 3;
      if (isFlow) judge.excused.stuck += 1;
      else judge.fail(`(2) Nobody answered connection ${connection.id} ${connection.key}.`);
    }
  }

  private result(): SimulationResult {
    const { judge, scenario, queue, hosts } = this;
    const { connections } = this.clients;
    const epochs = hosts.map((host) => host.process?.installed?.epoch ?? 0);
    return {
      seed: this.options.seed,
      ok: judge.violations.length === 0,
      violations: judge.violations,
      nodes: scenario.names.length,
      faultless: scenario.faultless,
      openings: judge.answered.count,
      connections: connections.length,
      transitions: Math.max(0, ...epochs),
      steps: queue.steps,
      milliseconds: queue.now,
      slowestAnswerMs: judge.answered.slowest,
      excused: judge.excused,
    };
  }
}

/** Runs one simulation, from its seed to the end. */
export function simulate(options: SimulationOptions): SimulationResult {
  const { plane = 'native' } = options;
  if (plane !== 'native') return new Simulation(options).simulate();
  const made: NativePlane[] = [];
  const makePlane: MakePlane = (planeOptions) => {
    const each = new NativePlane(planeOptions);
    made.push(each);
    return each;
  };
  try {
    return new Simulation({ ...options, plane: makePlane }).simulate();
  } finally {
    for (const each of made) each.close();
  }
}
