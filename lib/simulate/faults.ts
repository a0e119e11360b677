import type { Action, Message } from '../protocol/index.js';
import type { Changes } from './changes.js';
import type { Host } from './hosts.js';
import type { Path } from './network.js';
import type { Process } from './process.js';
import type { World } from './world.js';

const STEPS = [
  'prepare',
  'hold',
  'release',
  'acquire',
  'takeover',
  'commit',
  'settle',
  'clear',
  'sync',
  'welcome',
  'done',
  'vote',
  'ask',
] as const satisfies readonly Message['type'][];

/** Strikes when a certain message is sent for the next time. */
interface Trap {
  readonly type: Message['type'];
  readonly whom: 'sender' | 'receiver' | 'bystander';
  readonly after: number;
}

/** What goes wrong, and is mended again. */
export class Faults {
  /** Undoes what is not undone by itself yet. */
  private readonly pending = new Set<() => void>();
  private trap: Trap | null = null;

  constructor(
    private readonly world: World,
    private readonly hosts: readonly Host[],
    private readonly changes: Changes,
  ) {}

  /** One fault, now or at the next step of a certain kind. */
  some(): void {
    const { random } = this.world;
    if (random.chance(0.5)) {
      const whom = random.pick(['sender', 'sender', 'receiver', 'bystander'] as const);
      this.trap = { type: random.pick(STEPS), whom, after: random.between(0, 4) };
      return;
    }
    const host = random.pick(this.hosts);
    this.strike(host);
  }

  /** Is told of everything that the cores ask for. */
  onAction(process: Process, action: Action): void {
    const { trap } = this;
    if (!trap || action.type !== 'send' || action.message.type !== trap.type) return;
    this.trap = null;
    const involved = [process.name, action.to];
    const name =
      trap.whom === 'sender'
        ? process.name
        : trap.whom === 'receiver'
          ? action.to
          : this.world.random.pick(this.world.scenario.names);
    const host = this.hosts.find((one) => one.name === name);
    this.world.trace.line('fault', () => `follows ${trap.type} of ${involved.join(' to ')}`);
    this.world.queue.after(trap.after, () => host && this.strike(host));
  }

  private strike(host: Host): void {
    const { random } = this.world;
    const faults = [
      () => this.crash(host),
      () => this.crash(host),
      () => this.pause(host),
      () => this.pause(host),
      () => this.stall(host),
      () => this.lag(host),
      () => this.partition(host),
      () => this.partition(host),
      () => this.storm(),
      () => this.leaveNow(host),
    ];
    random.pick(faults)();
  }

  /** So many members must stay for the crash of another to be one that must do no harm. */
  private canLose(host: Host): boolean {
    const others = this.hosts.filter((one) => one !== host && one.isMember && !one.leaving);
    return others.length >= Math.ceil(this.hosts.length / 2);
  }

  /** Who has left does not come back by itself: a majority of the configured nodes has to stay. */
  private canMiss(host: Host): boolean {
    if (this.world.scenario.quorum === 'paths') return this.canLose(host);
    const others = this.hosts.filter((one) => one !== host && one.isMember && !one.leaving);
    return others.length > this.hosts.length / 2;
  }

  private crash(host: Host): void {
    if (!host.process || !this.canLose(host)) return;
    const { random, queue } = this.world;
    host.stop('it crashed');
    if (random.chance(0.7)) {
      const delay = random.chance(0.3) ? random.between(1, 100) : random.between(100, 3000);
      queue.after(delay, () => host.start());
    }
  }

  private leaveNow(host: Host): void {
    if (host.isMember && this.canMiss(host) && !host.leaving) this.changes.leaves(host);
  }

  /** Does it, and undoes it after a while, or when everything is mended. */
  private during(milliseconds: number, what: string, begin: () => void, end: () => void): void {
    const { trace, queue } = this.world;
    trace.line('fault', () => `${what} for ${milliseconds.toFixed(1)} ms`);
    begin();
    const undo = (): void => {
      if (!this.pending.delete(undo)) return;
      trace.line('fault', () => `no more: ${what}`);
      end();
    };
    this.pending.add(undo);
    queue.after(milliseconds, undo);
  }

  /** Neither the core nor the data plane runs. */
  private pause(host: Host): void {
    const { process } = host;
    if (!process) return;
    const { random } = this.world;
    const time = random.chance(0.5) ? random.between(10, 500) : random.between(200, 3000);
    this.during(
      time,
      `${host.name} is paused`,
      () => {
        process.control.pause();
        process.data.pause();
      },
      () => {
        const tick = (): void => process.handle({ type: 'tick' });
        const first = random.chance(0.5) ? tick : undefined;
        if (random.chance(0.5)) process.data.resume();
        process.control.resume(first);
        if (process.data.paused) process.data.resume();
      },
    );
  }

  /** The event loop stands still while the data plane works. */
  private stall(host: Host): void {
    const { process } = host;
    if (!process) return;
    const { control } = process;
    const time = this.world.random.between(50, 1500);
    const what = `the event loop of ${host.name} stands still`;
    this.during(
      time,
      what,
      () => control.pause(),
      () => control.resume(),
    );
  }

  /** The data plane stands still while the event loop works. */
  private lag(host: Host): void {
    const { process } = host;
    if (!process) return;
    const { data } = process;
    const time = this.world.random.between(20, 600);
    const what = `the data plane of ${host.name} stands still`;
    this.during(
      time,
      what,
      () => data.pause(),
      () => data.resume(),
    );
  }

  private partition(host: Host): void {
    const { random, scenario, network } = this.world;
    const others = scenario.names.filter((name) => name !== host.name);
    const group = [host.name, ...others.filter(() => random.chance(0.2))];
    const rest = scenario.names.filter((name) => !group.includes(name));
    const both: readonly Path[] = ['sync', 'wire'];
    const paths = random.pick([both, both, ['sync'], ['wire']] as const);
    const ways = random.pick(['both', 'both', 'to', 'from'] as const);
    const each = (what: (from: string, to: string, path: Path) => void): void => {
      for (const one of group) {
        for (const other of rest) {
          for (const path of paths) {
            if (ways !== 'to') what(one, other, path);
            if (ways !== 'from') what(other, one, path);
          }
        }
      }
    };
    this.during(
      random.between(50, 3000),
      `${group.join(', ')} cut off on ${paths.join(' and ')}, ${ways}`,
      () => each((from, to, path) => network.cut(from, to, path)),
      () => each((from, to, path) => network.heal(from, to, path)),
    );
  }

  /** One message in five is lost. */
  private storm(): void {
    const { network, random } = this.world;
    const before = this.world.scenario.weather;
    this.during(
      random.between(200, 2000),
      'storm',
      () => {
        network.weather = { ...before, loss: 0.2, detours: 0.2, detour: 50 };
      },
      () => {
        network.weather = before;
      },
    );
  }

  /** Everything works again, and enough nodes run. */
  mend(): void {
    this.trap = null;
    for (const undo of [...this.pending]) undo();
    const { random } = this.world;
    const all = random.chance(0.7);
    for (const host of random.shuffled(this.hosts)) {
      const running = this.hosts.filter((one) => one.isMember && !one.leaving).length;
      if (all || running <= this.hosts.length / 2) host.start();
    }
  }
}
