import type { Configured } from '../protocol/index.js';
import { NodeClock } from './clock.js';
import { makeCriteria } from './hashing.js';
import type { Packet } from './model.js';
import { Process } from './process.js';
import type { World } from './world.js';

// Milliseconds since the Unix epoch at the simulation's beginning.
const BEGINNING = 1_700_000_000_000;

/** A machine: a process may run on it, and after its end another one. */
export class Host {
  readonly name: string;
  readonly clock: NodeClock;
  configured: Configured;
  process: Process | null = null;
  /** It was drained, and not resumed. */
  drained = false;
  /** Milliseconds by which its clock of the day is wrong: what its lives are numbered by. */
  dayShift = 0;
  /** It is about to leave. */
  leaving = false;

  constructor(
    private readonly world: World,
    index: number,
  ) {
    const { scenario, random } = world;
    this.name = scenario.names[index] as string;
    const pace = 1 + random.between(-scenario.skew, scenario.skew);
    this.clock = new NodeClock(random.between(1e5, 1e8), pace);
    this.configured = {
      nodes: scenario.names,
      weight: 1,
      criteria: makeCriteria(1, scenario.buckets),
    };
    world.wire.attach({
      receive: (time: number, packet: Packet) => this.process?.receive(time, packet),
    });
  }

  start(): void {
    if (this.process) return;
    const { random, scenario, queue, judge, trace } = this.world;
    this.drained = false;
    this.leaving = false;
    trace.line(this.name, () => 'starts');
    this.process = new Process(this.world, {
      name: this.name,
      incarnation: BEGINNING + Math.ceil(queue.now) + this.dayShift,
      configured: this.configured,
      clock: this.clock,
      names: random.shuffled(scenario.names),
    });
    judge.begins(this.process);
  }

  stop(why: string): void {
    this.world.trace.line(this.name, () => `ends: ${why}`);
    this.process?.end(why);
    this.process = null;
  }

  /** Its configuration says something else from now on. */
  configure(configured: Configured): void {
    this.configured = configured;
    const { process } = this;
    process?.control.run(() => process.handle({ type: 'configure', configured }));
  }

  /** It decides packets. */
  get isMember(): boolean {
    const state = this.process?.state().state;
    return state === 'member' || state === 'draining';
  }
}
