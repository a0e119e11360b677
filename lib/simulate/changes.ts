import { bucketCounts } from '../allocation/index.js';
import type { Wish } from '../protocol/index.js';
import { makeCriteria } from './hashing.js';
import type { Host } from './hosts.js';
import type { World } from './world.js';

const POLL_MS = 10;

/** The changes that an operator wants. */
export class Changes {
  private requests = 0;
  private criteriaKey = 1;

  constructor(
    private readonly world: World,
    private readonly hosts: readonly Host[],
  ) {}

  /** One change, of those that are possible at this moment. */
  some(): void {
    const { random } = this.world;
    const changes = [
      () => this.weight(),
      () => this.weight(),
      () => this.drain(),
      () => this.resume(),
      () => this.leave(),
      () => this.join(),
      () => this.join(),
      () => this.criteria(),
    ];
    random.pick(changes)();
  }

  private any(wanted: (host: Host) => boolean): Host | undefined {
    const possible = this.hosts.filter(wanted);
    return possible.length > 0 ? this.world.random.pick(possible) : undefined;
  }

  /** Asks any node for it; whoever is asked finds the coordinator. */
  wish(wish: Wish, at?: Host): void {
    const asked = at ?? this.any((host) => host.isMember);
    this.world.trace.line('operator', () => `${asked?.name}: ${JSON.stringify(wish)}`);
    this.requests += 1;
    asked?.process?.wish(this.requests, wish);
  }

  private weight(): void {
    const host = this.any((one) => one.isMember && !one.drained);
    const weight = this.world.random.pick([1, 1, 2, 3, 0.5]);
    if (host) this.wish({ wish: 'weight', node: host.name, weight });
  }

  private drain(): void {
    const working = this.hosts.filter((host) => host.isMember && !host.drained);
    if (working.length < 2) return;
    const host = this.world.random.pick(working);
    host.drained = true;
    this.wish({ wish: 'drain', node: host.name });
  }

  private resume(): void {
    const host = this.any((one) => one.isMember && one.drained && !one.leaving);
    if (!host) return;
    host.drained = false;
    this.wish({ wish: 'resume', node: host.name });
  }

  /** A node that was drained leaves, and its process ends when it may. */
  private leave(): void {
    const members = this.hosts.filter((host) => host.isMember && !host.leaving);
    if (members.length <= Math.floor(this.hosts.length / 2) + 1) return;
    const host = members.find((one) => one.drained && ownsNothing(one));
    if (host) this.leaves(host);
  }

  leaves(host: Host): void {
    const { process } = host;
    if (!process) return;
    host.leaving = true;
    const { incarnation } = process.life;
    this.wish({ wish: 'leave', node: host.name, incarnation }, host);
    this.endWhenLeft(host);
  }

  private endWhenLeft(host: Host): void {
    const { process } = host;
    process?.control.after(POLL_MS, () => {
      if (process.state().state !== 'left') return this.endWhenLeft(host);
      host.stop('it has left');
    });
  }

  private join(): void {
    this.any((host) => host.process === null)?.start();
  }

  /** Another hash key, on one node's configuration after the other's. */
  private criteria(): void {
    const { queue, random, scenario } = this.world;
    this.criteriaKey += 1;
    const criteria = makeCriteria(
      this.criteriaKey,
      random.pick([scenario.buckets, scenario.buckets, 32]),
    );
    let at = queue.now;
    for (const host of random.shuffled(this.hosts)) {
      at += random.exponential(80);
      queue.at(at, () => host.configure({ ...host.configured, criteria }));
    }
  }
}

/** A drained node has given all its buckets away, as far as it knows itself. */
function ownsNothing({ name, process }: Host): boolean {
  const view = process?.state().view;
  return view !== null && view !== undefined && !bucketCounts(view.allocation).get(name);
}
