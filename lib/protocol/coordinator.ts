// What the elected node does: it asks everybody, then leads the cluster from view to view, one step
// at a time. Layer 3 of docs/decisions/cluster-protocol.md.
//
//   asking -> idle -> prepare -> hold -> (guard) -> release -> acquire -> commit -> settle -> clear -> idle
//               |`--> takeover ------------------------------------------^ |
//               `---> (members only) --------------------------------------' -> sync -> welcome -> idle
//
// A death before RELEASE rolls back: a commit of the old allocation. After it, it goes on without
// the dead, whose buckets are taken over afterwards.
import type { Allocation } from '../allocation/index.js';
import type { Core } from './core.js';
import { Deaths } from './deaths.js';
import type { Done, Join } from './messages.js';
import { Steps, type Waiting } from './steps.js';
import {
  afterDeath,
  firstView,
  orphaned,
  planned,
  sameBuckets,
  sameOwners,
  wantedCriteria,
  withDeaths,
  withNewcomers,
} from './target.js';
import type {
  Criteria,
  Identity,
  Member,
  NodeState,
  ProtocolState,
  Step,
  Transition,
  View,
  Wish,
} from './types.js';
import { lifeOf, living, livingMember, participants, takesPart } from './view.js';
import { Wishes } from './wishes.js';

/** How often a node that owes its state is asked; milliseconds. */
const ASK_AGAIN = 30;
/** How long nodes may take to prepare and to hold; then the transition is rolled back. */
const PREPARE_MAX = 60_000;
const HOLD_MAX = 500;
/** How long after such a transition the next one begins. */
const CALM = 300;

/**
 * Epochs that the coordinator before may have used without anybody of us having heard: of a
 * transition, of its roll back, and one to spare. It does nothing more without answers.
 */
const UNHEARD = 3;

/** A death while one of these is under way undoes the transition. */
const UNDONE: ReadonlySet<Step> = new Set<Step>(['prepare', 'hold', 'takeover']);
/** ... and one of these is done again, after the takeover. */
const ABANDONED: ReadonlySet<Step> = new Set<Step>(['settle', 'clear', 'sync', 'welcome']);

/** What a plan depends on; none of them is ever changed, only replaced. */
interface PlannedFrom {
  readonly base: View;
  readonly members: readonly Member[];
  readonly criteria: Criteria;
}

export class Coordinator {
  private readonly states = new Map<string, NodeState>();
  private readonly deaths: Deaths;
  private readonly wishes = new Wishes();
  private readonly steps: Steps;
  /** Newcomers whose tables are complete. */
  private readonly complete = new Set<string>();
  /** Who has said with its last COMMITTED that some of its connections are contested. */
  private readonly contested = new Set<string>();
  /** The newest view: committed, or being committed. */
  private base: View | null = null;
  private transition: Transition | null = null;
  private asking = true;
  private askedAt = Number.NEGATIVE_INFINITY;
  private calmUntil = Number.NEGATIVE_INFINITY;
  /** From these the last plan was made, and nothing was to be done: with many buckets it is dear. */
  private settled: PlannedFrom | null = null;

  /** @param resign - called when another view shows that this node cannot lead */
  constructor(
    private readonly core: Core,
    private readonly resign: () => void,
  ) {
    this.deaths = new Deaths(core);
    this.steps = new Steps(core);
  }

  /** It has asked everybody and leads. */
  get leads(): boolean {
    return !this.asking;
  }

  /** What it waits for; null when for nothing. */
  get waiting(): ProtocolState['waiting'] {
    const { current } = this.steps;
    if (current === null) return null;
    return { step: current.step, names: [...current.missing], since: current.since };
  }

  /** A node has told its state, in a vote or on demand. */
  tell(from: string, state: NodeState): void {
    if (!this.asking) return;
    const { core } = this;
    this.states.set(from, state);
    core.sawEpoch(Math.max(state.epochSeen, state.view?.epoch ?? 0));
    for (const identity of state.consents) this.deaths.add(from, identity);
    for (const identity of state.over) this.deaths.end(identity, 'dead');
  }

  consent(from: string, epoch: number | null, dead: readonly Identity[]): void {
    this.deaths.consent(from, epoch, dead, this.asking ? this.bestView() : this.base);
  }

  join(from: string, join: Join): void {
    this.core.sawEpoch(join.epochSeen);
    const { incarnation } = join;
    if (takesPart(this.base, { name: from, incarnation })) return;
    this.wishes.join(from, join);
    this.reassure(from);
  }

  /**
   * Without a lease nobody can be let in; and the newcomers that could grant it may have consented
   * to our death in an earlier term. A view of this one takes that back.
   */
  private reassure(newcomer: string): void {
    const { core, base } = this;
    const { term } = core;
    if (this.asking || base?.term !== term || (core.leaseUntil() ?? 0) > core.now) return;
    const condemned = this.deaths.condemned(base);
    core.send(newcomer, { type: 'commit', term, view: base, condemned });
  }

  done(from: string, { step, epoch, contested }: Done): void {
    if (epoch !== (this.transition?.next.epoch ?? this.base?.epoch)) return;
    if (step === 'welcome') this.complete.add(from);
    if (step === 'commit' && contested) this.contested.add(from);
    this.steps.answered(from, step, epoch);
  }

  /** It can say something to this wish now; otherwise it wants to be asked again. */
  hears(wish: Wish): boolean {
    // Who leaves takes along what the others have not been told yet.
    return this.leads && (wish.wish !== 'leave' || this.steps.current === null);
  }

  /** Takes in a wish; returns why not, or null. */
  wish(wish: Wish): string | null {
    if (wish.wish === 'leave') {
      const identity = { name: wish.node, incarnation: wish.incarnation };
      this.deaths.end(identity, 'left');
      this.core.liveness.left(identity, { ...this.core.moment, epoch: this.base?.epoch ?? 0 });
      return null;
    }
    return this.wishes.take(wish, this.base);
  }

  /** Moves buckets because of the load, when nothing else is to be done. */
  balance(epoch: number, allocation: Allocation, shares: ReadonlyMap<string, number>): void {
    const { base } = this;
    const busy = this.asking || this.steps.current !== null || this.deaths.among(base).size > 0;
    if (base === null || busy || base.epoch !== epoch) return;
    if (JSON.stringify(this.wishes.members) !== JSON.stringify(base.members)) return;
    this.wishes.share(shares);
    const { members } = this.wishes;
    const next = sameBuckets(base, this.nextEpoch(), this.core.term, members);
    this.handOver(base, { ...next, allocation: { ...allocation, epoch: next.epoch } });
  }

  /** Whatever is to be done now. */
  step(): void {
    if (this.asking) {
      const best = this.bestView();
      this.deaths.suspect(best);
      this.ask(best);
      return;
    }
    this.deaths.suspect(this.base);
    if (this.base) this.deaths.forget(this.base);
    if (this.steps.current) this.attend(this.steps.current);
    if (!this.steps.current) this.reconcile();
  }

  // ---- asking ------------------------------------------------------------------------------

  private bestView(): View | null {
    let best: View | null = this.core.isMember ? this.core.view : null;
    for (const { view } of this.states.values()) {
      if (view && (best === null || view.epoch > best.epoch)) best = view;
    }
    return best;
  }

  /** Asks every node that may hold a lease, and goes on when each has answered or is dead. */
  private ask(best: View | null): void {
    const { core } = this;
    const unasked = core.others().filter((name) => !this.states.has(name));
    const heard = new Set([...core.liveness.allHeard(core.now)].map(({ name }) => name));
    const owing = unasked.filter((name) => {
      const member = livingMember(best, name);
      return member ? !this.deaths.isDead(member, best) : heard.has(name);
    });
    // Who answers in a later life has nothing of the one before; that one has to be dead.
    const replaced = (best ? living(best) : []).filter((member) => {
      const state = this.states.get(member.name);
      return state?.incarnation !== member.incarnation && !this.deaths.isDead(member, best);
    });
    const ourselves = replaced.every(({ name }) => name === core.name);
    if (owing.length === 0 && ourselves) {
      this.asking = false;
      this.recover(best);
      return;
    }
    if (core.now - this.askedAt >= ASK_AGAIN) {
      this.askedAt = core.now;
      for (const name of unasked) core.send(name, { type: 'ask', term: core.term });
    }
    core.wake(this.askedAt + ASK_AGAIN);
  }

  /** Finds out what the coordinator before has left behind. */
  private recover(best: View | null): void {
    const { core } = this;
    if (best === null) {
      const { weight, criteria } = core.configured;
      const ours = { ...core.identity, weight, wants: criteria.digest };
      this.commit(firstView([ours], criteria, this.nextEpoch(), core.term), []);
      return;
    }
    // The others may have decided that this life of ours is over, without having said so in a view.
    if (!takesPart(best, core.identity) || this.deaths.isDead(core.identity, best)) {
      this.resign();
      return;
    }
    this.base = best;
    this.wishes.members = best.members;
    core.sawEpoch(core.epochSeen + UNHEARD);
    const reported = [...this.states.values(), { transition: core.current }]
      .map(({ transition }) => transition)
      .filter((each) => each !== null)
      .filter(({ transition }) => transition.base === best.epoch)
      .sort((a, b) => b.transition.next.epoch - a.transition.next.epoch);
    const last = reported[0]?.transition;
    const released = reported.some(
      ({ transition, phase }) =>
        transition.next.epoch === last?.next.epoch &&
        (phase === 'releasing' || phase === 'released' || phase === 'acquired'),
    );
    if (last?.kind === 'handover' && released) {
      this.transition = last;
      this.wishes.members = last.next.members;
      this.release(best, last);
    } else {
      this.undo(best);
    }
  }

  // ---- steps -------------------------------------------------------------------------------

  private nextEpoch(): number {
    this.core.sawEpoch(this.core.epochSeen + 1);
    return this.core.epochSeen;
  }

  /** Looks after a step: answers, repetition, deaths, the time it takes. */
  private attend(waiting: Waiting): void {
    const { core, base } = this;
    const known = new Set(this.transition?.dead);
    const dead = new Map([...this.deaths.among(base)].filter(([name]) => !known.has(name)));
    const max =
      waiting.step === 'prepare' ? PREPARE_MAX : waiting.step === 'hold' ? HOLD_MAX : Infinity;
    const late = core.now - waiting.since > max;
    if (base && UNDONE.has(waiting.step) && (dead.size > 0 || late)) {
      if (late) this.calmUntil = core.now + CALM;
      this.undo(base);
    } else if (ABANDONED.has(waiting.step) && dead.size > 0) {
      this.steps.abandon();
    } else {
      this.steps.attend(dead.keys());
    }
  }

  /**
   * Goes back to the view that the transition began with. Who has died meanwhile is dead in it,
   * though nobody has its buckets: what is known of deaths must not be lost with the coordinator.
   */
  private undo(base: View): void {
    this.transition = null;
    const members = withDeaths(base.members, this.deaths.among(base));
    this.commit(sameBuckets(base, this.nextEpoch(), this.core.term, members), []);
  }

  private handOver(base: View, next: View): void {
    const { core, steps } = this;
    const { term, timing } = core;
    const { epoch } = next;
    const transition: Transition = { kind: 'handover', base: base.epoch, next, dead: [] };
    this.transition = transition;
    const { gainers } = participants(base, transition);
    const everybody = living(base).map(({ name }) => name);
    const guard = (): void =>
      // Two nodes may see the same packet that far apart.
      steps.pause('hold', epoch, core.now + timing.guard, () => this.release(base, transition));
    const hold = (): void =>
      steps.begin('hold', epoch, gainers, () => ({ type: 'hold', term, epoch }), guard);
    steps.begin('prepare', epoch, everybody, () => ({ type: 'prepare', term, transition }), hold);
  }

  private release(base: View, transition: Transition): void {
    const { term } = this.core;
    const { next } = transition;
    const { epoch } = next;
    const { losers, gainers } = participants(base, transition);
    const alive = (names: readonly string[]): string[] => {
      const dead = this.deaths.among(base);
      return names.filter((name) => !dead.has(name));
    };
    const commit = (): void => this.commit({ ...next, term }, [...losers, ...gainers]);
    const acquire = (): void => {
      const dead = (): string[] => [...this.deaths.among(base).keys()];
      const message = () => ({ type: 'acquire', term, epoch, dead: dead() }) as const;
      this.steps.begin('acquire', epoch, alive(gainers), message, commit);
    };
    this.steps.begin(
      'release',
      epoch,
      alive(losers),
      () => ({ type: 'release', term, epoch }),
      acquire,
    );
  }

  private takeOver(base: View, dead: ReadonlyMap<string, 'dead' | 'left'>): void {
    const { term } = this.core;
    const next = afterDeath(base, dead, this.nextEpoch(), term);
    const names = [...dead.keys()];
    const transition: Transition = { kind: 'takeover', base: base.epoch, next, dead: names };
    this.transition = transition;
    const { gainers } = participants(base, transition);
    this.steps.begin(
      'takeover',
      next.epoch,
      living(next).map(({ name }) => name),
      () => ({ type: 'takeover', term, transition }),
      () => this.commit(next, gainers),
    );
  }

  /** @param involved - whose connections other nodes may have noted as somebody else's */
  private commit(view: View, involved: readonly string[]): void {
    const { term } = this.core;
    this.transition = null;
    this.base = view;
    this.contested.clear();
    const condemned = this.deaths.condemned(view);
    this.deaths.withdraw(condemned);
    this.wishes.follow(view);
    const dead = new Set(condemned.map(lifeOf));
    const names = living(view)
      .filter((member) => !dead.has(lifeOf(member)))
      .map(({ name }) => name);
    this.steps.begin(
      'commit',
      view.epoch,
      names,
      () => ({ type: 'commit', term, view, condemned }),
      () => this.settle(view, [...new Set([...this.contested, ...involved])]),
    );
  }

  private settle(view: View, involved: readonly string[]): void {
    const { term } = this.core;
    const { epoch } = view;
    const names = living(view).map(({ name }) => name);
    const from = involved.filter((name) => names.includes(name));
    if (from.length === 0) return;
    // A packet that one node saw before it took over the view may come to another only now.
    const guarded = this.core.now + this.core.timing.guard;
    const clear = (): void =>
      this.steps.begin(
        'clear',
        epoch,
        names,
        () => ({ type: 'clear', term, epoch }),
        () => {},
      );
    const message = () => ({ type: 'settle', term, epoch, from }) as const;
    const settle = (): void => this.steps.begin('settle', epoch, names, message, clear);
    this.steps.pause('settle', epoch, guarded, settle);
  }

  // ---- what comes next ---------------------------------------------------------------------

  private reconcile(): void {
    const { core, base } = this;
    const lease = core.leaseUntil();
    if (base === null || lease === null || lease <= core.now) return;
    const dead = this.deaths.among(base);
    const ownerless = this.isSettled(base)
      ? []
      : orphaned(base).map((name) => [name, 'dead'] as const);
    if (dead.size + ownerless.length > 0) {
      this.takeOver(base, new Map([...ownerless, ...dead]));
      return;
    }
    if (this.deaths.hasDoubts(base) || this.isBehindAnother(base)) {
      this.undo(base);
      return;
    }
    if (core.now < this.calmUntil) {
      core.wake(this.calmUntil);
      return;
    }
    if (this.letIn(base) || this.welcome(base) || this.isSettled(base)) return;
    const members = this.wishes.members.map(
      (member): Member =>
        member.state === 'joining' && this.complete.has(member.name)
          ? { ...member, state: 'member' }
          : member,
    );
    const criteria = wantedCriteria({ ...base, members }, core.configured.criteria);
    const next = planned(base, members, criteria, core.epochSeen + 1, core.term);
    if (!sameOwners(base, next)) {
      if (!this.isSecure(base, next)) return;
      this.wishes.members = members;
      this.handOver(base, { ...next, epoch: this.nextEpoch() });
    } else if (JSON.stringify(members) !== JSON.stringify(base.members)) {
      this.wishes.members = members;
      this.commit(sameBuckets(base, this.nextEpoch(), core.term, members), []);
    } else if (members.every(({ state }) => state !== 'joining')) {
      this.settled = { base, members: this.wishes.members, criteria: core.configured.criteria };
    }
  }

  /** The plan would be the one that has been carried out. */
  private isSettled(base: View): boolean {
    const { settled, wishes, core } = this;
    return (
      settled?.base === base &&
      settled.members === wishes.members &&
      settled.criteria === core.configured.criteria
    );
  }

  /**
   * Somebody who is not in our view goes by a later one: it has gone on
   * alone (quorum `paths`), and believes that this life of it is over when it hears of an epoch
   * above its own.
   */
  private isBehindAnother(base: View): boolean {
    return [...this.core.liveness.allHeard(this.core.now)].some(
      (said) => said.member && said.epoch > base.epoch && !takesPart(base, said),
    );
  }

  /** Whoever gets buckets can open connections in them at once: its lease runs. */
  private isSecure(base: View, next: View): boolean {
    const { core } = this;
    const transition: Transition = { kind: 'handover', base: base.epoch, next, dead: [] };
    const { gainers } = participants(base, transition);
    const others = gainers.filter((name) => name !== core.name);
    if (others.every((name) => core.liveness.isSecure(name, core.now))) return true;
    core.wake(core.now + core.timing.heartbeat / 4);
    return false;
  }

  /** Makes members of those who have asked to join and whose earlier lives are over. */
  private letIn(base: View): boolean {
    const { core } = this;
    const ready = this.wishes.newcomers(base).filter(({ name, incarnation }) => {
      const said = core.liveness.heard(name, core.now);
      return said?.incarnation === incarnation && core.quorum.names().includes(name);
    });
    if (ready.length === 0) return false;
    const members = withNewcomers(this.wishes.members, ready);
    this.wishes.members = members;
    for (const { name } of ready) this.complete.delete(name);
    this.commit(sameBuckets(base, this.nextEpoch(), core.term, members), []);
    return true;
  }

  /** Has what newcomers bring pulled, then lets them pull the tables. */
  private welcome(base: View): boolean {
    const { steps } = this;
    const { term } = this.core;
    const { epoch } = base;
    const newcomers = living(base)
      .filter(({ name, state }) => state === 'joining' && !this.complete.has(name))
      .map(({ name }) => name);
    if (newcomers.length === 0) return false;
    const donor = this.donor(base);
    const joined = (): void => {
      for (const name of newcomers) this.wishes.joined(name);
    };
    const welcome = (): void =>
      steps.begin(
        'welcome',
        epoch,
        newcomers,
        () => ({ type: 'welcome', term, epoch, donor }),
        joined,
      );
    const from = newcomers.filter((name) => this.wishes.brings(name));
    const names = living(base).map(({ name }) => name);
    const sync = () => ({ type: 'sync', term, epoch, from }) as const;
    if (from.length === 0) welcome();
    else steps.begin('sync', epoch, names, sync, welcome);
    return true;
  }

  /**
   * Who gives a newcomer its tables: a member other than ourselves, if there is one. Where all are
   * newcomers, since the members have died meanwhile, the one that came first knows most.
   */
  private donor(base: View): string | null {
    const present = living(base);
    const members = present.filter(({ state }) => state !== 'joining');
    const other = members.find(({ name }) => name !== this.core.name);
    return (other ?? members[0] ?? present[0])?.name ?? null;
  }
}
