import type { PlaneWork, Transition, View } from '../protocol/index.js';
import type { PlaneCriteria, PlaneTransition } from './plane.js';
import type { Process } from './process.js';

interface Asked {
  readonly token: number;
  readonly work: PlaneWork;
}

/**
 * The plane work of a process: in the order of asking, one after the other. Each takes effect at
 * some moment, and is known to be done at a later one.
 */
export class Worker {
  last: PlaneWork['work'] | null = null;
  private readonly asked: Asked[] = [];
  private busy = false;

  constructor(private readonly process: Process) {}

  get idle(): boolean {
    return !this.busy;
  }

  ask(token: number, work: PlaneWork): void {
    this.asked.push({ token, work });
    if (!this.busy) this.next();
  }

  private next(): void {
    const next = this.asked.shift();
    this.busy = next !== undefined;
    if (!next) return;
    const { random, scenario } = this.process.world;
    const slow = random.chance(scenario.slowWork.chance) ? scenario.slowWork.ms : 1;
    this.process.data.after(random.between(0.02, 0.5) * slow, () => {
      const contested = this.perform(next.work);
      this.process.control.after(random.between(0.02, 0.5) * slow, () => {
        this.process.done(next.token, true, contested);
        this.next();
      });
    });
  }

  /** Returns whether there are contested connections, where the core asks for that. */
  private perform(work: PlaneWork): boolean | undefined {
    const { process } = this;
    const { plane, now } = process;
    process.world.trace.line(process.name, () => `   the data plane does ${work.work}`);
    this.last = work.work;
    switch (work.work) {
      case 'install':
        return this.install(work.view, work.dead);
      case 'prepare':
        process.delivered(plane.prepare(this.toCome(work.transition), now));
        return;
      case 'hold':
        process.delivered(plane.hold(now));
        return;
      case 'release':
        process.decided(process.arrived(), plane.release(now));
        return;
      case 'acquire':
        this.acquire(work.from, work.dead);
        return;
      case 'takeover':
        process.world.judge.seesView(process, work.transition.next);
        process.delivered(plane.takeover(this.toCome(work.transition), now));
        return;
      case 'clear':
        plane.clearContested();
        return;
    }
  }

  private install(view: View, dead: readonly string[]): boolean {
    const { process } = this;
    process.world.judge.installs(process, view);
    // What came in until now was for the owners so far, as those know who were not behind.
    process.drain();
    process.installed = view;
    process.delivered(process.plane.install(this.criteria(view), process.now));
    if (dead.length > 0) process.delivered(process.plane.adopt(this.indexes(dead), process.now));
    return process.plane.contested() > 0;
  }

  private acquire(from: readonly string[], dead: readonly string[]): void {
    const { plane, now } = this.process;
    // What the dead own is adopted before what is held is looked at: a held packet of such a
    // connection is this node's to answer.
    if (dead.length > 0) this.process.delivered(plane.adopt(this.indexes(dead), now));
    this.process.delivered(plane.acquire(this.indexes(from), now));
  }

  private indexes(names: readonly string[]): number[] {
    return names.map((name) => this.process.options.names.indexOf(name));
  }

  private criteria({ criteria, allocation, epoch }: View): PlaneCriteria {
    const indexes = this.indexes(allocation.names);
    return {
      distribution: this.process.world.distributions.of(criteria),
      epoch,
      owners: allocation.owners.map((owner) => indexes[owner] as number),
    };
  }

  private toCome(transition: Transition): PlaneTransition {
    return { ...this.criteria(transition.next), dead: this.indexes(transition.dead) };
  }
}
