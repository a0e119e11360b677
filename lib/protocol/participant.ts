// What a node does when its coordinator says so: the right half of the table of steps in
// docs/decisions/cluster-protocol.md. Every message may come twice: what is done already is only
// answered again, what is being done is left alone.
import type { Core } from './core.js';
import type {
  Identity,
  ListKind,
  Message,
  NodeState,
  Phase,
  Step,
  Transition,
  View,
} from './types.js';
import { gone, lifeOf, living, livingMember, losersTo, takesPart } from './view.js';

type Commit = Extract<Message, { type: 'commit' }>;

/** How far a phase is: a later one includes those before it. */
const ORDER: readonly Phase[] = [
  'preparing',
  'prepared',
  'held',
  'releasing',
  'released',
  'acquired',
  'taking',
  'taken',
];

export class Participant {
  /** Steps that are being done or have been: text of step and epoch → whether it is done. */
  private readonly steps = new Map<string, boolean>();
  private contested = false;
  /** Losers of the current transition that have died: their lists will not come. */
  private lost = new Set<string>();
  /**
   * Lives that a coordinator has said are over while our view still counts them: what it did for
   * that reason has been done, and no later one may count them among the living.
   */
  private readonly over = new Map<string, Identity>();

  constructor(private readonly core: Core) {}

  /** All that a new coordinator must know. */
  state(): NodeState {
    const { current, view, epochSeen, incarnation, liveness } = this.core;
    return {
      incarnation,
      view,
      transition: current && { transition: current.transition, phase: current.phase },
      epochSeen,
      consents: liveness.consents(),
      over: [...this.over.values()],
    };
  }

  /** A message of the coordinator, whose term has been checked. */
  take(from: string, message: Message): void {
    switch (message.type) {
      case 'prepare':
        this.prepare(from, message.transition);
        break;
      case 'hold':
        this.once(from, 'hold', message.epoch, (done) => this.hold(message.epoch, done));
        break;
      case 'release':
        this.once(from, 'release', message.epoch, (done) => this.release(message.epoch, done));
        break;
      case 'acquire':
        if (this.isIn(message.epoch)) this.lose(message.dead);
        this.once(from, 'acquire', message.epoch, (done) => this.acquire(message.epoch, done));
        break;
      case 'takeover':
        this.takeover(from, message.transition);
        break;
      case 'commit':
        this.commit(from, message);
        break;
      case 'settle':
        this.once(from, 'settle', message.epoch, (done) =>
          this.pull(message.from, 'contested', message.epoch, done),
        );
        break;
      case 'clear':
        this.once(from, 'clear', message.epoch, (done) =>
          this.core.plane({ work: 'clear' }, () => {
            this.contested = false;
            done();
          }),
        );
        break;
      case 'sync':
        this.once(from, 'sync', message.epoch, (done) =>
          this.pull(message.from, 'own', message.epoch, done),
        );
        break;
      case 'welcome':
        this.once(from, 'welcome', message.epoch, (done) =>
          this.pull(message.donor === null ? [] : [message.donor], 'tables', message.epoch, () => {
            this.core.hasTables = true;
            done();
          }),
        );
        break;
      default:
    }
  }

  /** This node may serve that list to a peer at this moment. */
  serves(kind: ListKind, epoch: number): boolean {
    const { current, view } = this.core;
    const inIt = current?.transition.next.epoch === epoch && current.planeKnows;
    switch (kind) {
      case 'tables':
        return view !== null && view.epoch >= epoch && this.core.isMember;
      case 'own':
        return true;
      case 'moving':
        return inIt && current?.transition.kind === 'handover';
      case 'released':
        return inIt && (current?.phase === 'released' || current?.phase === 'acquired');
      case 'claims':
        return inIt && current?.transition.kind === 'takeover';
      case 'contested':
        return view !== null && view.epoch >= epoch;
    }
  }

  /**
   * Forgets what was under way: another life begins. What this node has from the one before is told
   * to the others when it joins, by SYNC alone.
   */
  reset(): void {
    this.steps.clear();
    this.core.current = null;
    this.lost.clear();
    this.contested = false;
    this.core.hasTables = false;
    this.core.plane({ work: 'clear' }, () => {});
  }

  /** Does `step` unless that has been done, and answers when it is. */
  private once(from: string, step: Step, epoch: number, act: (done: () => void) => void): void {
    const key = `${step} ${epoch}`;
    const known = this.steps.get(key);
    if (known === true) this.answer(from, step, epoch);
    if (known !== undefined) return;
    if (!this.fits(step, epoch)) return;
    this.steps.set(key, false);
    act(() => {
      if (!this.steps.has(key)) return;
      this.steps.set(key, true);
      this.answerCoordinator(step, epoch);
    });
  }

  /** The step belongs to the transition or the view that we are in; another will be repeated. */
  private fits(step: Step, epoch: number): boolean {
    const { current, view } = this.core;
    if (step === 'hold' || step === 'release' || step === 'acquire') {
      return current?.transition.next.epoch === epoch && current.phase !== 'preparing';
    }
    return step === 'prepare' || step === 'takeover' || view?.epoch === epoch;
  }

  private answerCoordinator(step: Step, epoch: number): void {
    if (this.core.coordinator !== null) this.answer(this.core.coordinator, step, epoch);
  }

  private answer(to: string, step: Step, epoch: number): void {
    const { term } = this.core;
    this.core.send(to, { type: 'done', term, epoch, step, contested: this.contested });
  }

  private isIn(epoch: number): boolean {
    return this.core.current?.transition.next.epoch === epoch;
  }

  private enter(transition: Transition, phase: Phase): boolean {
    const { view, current } = this.core;
    const epoch = transition.next.epoch;
    // A view ends every transition that began before it, so one that comes late finds no base.
    if (view === null || view.epoch !== transition.base || !this.core.isMember) return false;
    if (current && current.transition.next.epoch >= epoch) return false;
    this.core.sawEpoch(epoch);
    this.core.current = { transition, phase, planeKnows: false };
    this.lost.clear();
    this.lose(transition.dead);
    this.core.notice({
      notice: 'handover',
      epoch,
      kind: transition.kind,
      outcome: 'begun',
    });
    return true;
  }

  /** Members that take part in the view are dead. */
  private lose(names: readonly string[]): void {
    for (const name of names) {
      this.lost.add(name);
      const member = livingMember(this.core.view, name);
      if (member) this.over.set(lifeOf(member), { name, incarnation: member.incarnation });
    }
  }

  private reach(epoch: number, phase: Phase): void {
    const { current } = this.core;
    if (!current || !this.isIn(epoch)) return;
    if (ORDER.indexOf(phase) > ORDER.indexOf(current.phase)) current.phase = phase;
  }

  private prepare(from: string, transition: Transition): void {
    const { epoch } = transition.next;
    if (!this.isIn(epoch) && !this.enter(transition, 'preparing')) return;
    this.once(from, 'prepare', epoch, (done) => {
      this.core.plane({ work: 'prepare', transition }, () => {
        const { current, view } = this.core;
        if (!current || !view || !this.isIn(epoch)) return;
        current.planeKnows = true;
        const losers = losersTo(this.core.name, view, transition.next);
        this.pull(losers, 'moving', epoch, () => {
          this.reach(epoch, 'prepared');
          done();
        });
      });
    });
  }

  private hold(epoch: number, done: () => void): void {
    this.core.plane({ work: 'hold', epoch }, () => {
      this.reach(epoch, 'held');
      done();
    });
  }

  private release(epoch: number, done: () => void): void {
    // From now on a new coordinator has to assume that it has been done.
    this.reach(epoch, 'releasing');
    this.core.plane({ work: 'release', epoch }, () => {
      this.reach(epoch, 'released');
      done();
    });
  }

  private acquire(epoch: number, done: () => void): void {
    const { view, current } = this.core;
    if (!view || !current) return;
    const losers = losersTo(this.core.name, view, current.transition.next);
    this.pull(losers, 'released', epoch, () => {
      this.core.plane({ work: 'acquire', epoch, from: losers, dead: [] }, () => {
        if (losers.length > 0) this.reach(epoch, 'acquired');
        done();
      });
    });
  }

  private takeover(from: string, transition: Transition): void {
    const { epoch } = transition.next;
    if (!this.isIn(epoch) && !this.enter(transition, 'taking')) return;
    this.once(from, 'takeover', epoch, (done) => {
      this.core.plane({ work: 'takeover', transition }, () => {
        const { current, view } = this.core;
        if (!current || !view || !this.isIn(epoch)) return;
        current.planeKnows = true;
        const losers = losersTo(this.core.name, view, transition.next);
        const claimants =
          losers.length === 0 ? [] : living(transition.next).map(({ name }) => name);
        this.pull(claimants, 'claims', epoch, () => {
          this.core.plane({ work: 'acquire', epoch, from: losers, dead: transition.dead }, () => {
            this.reach(epoch, 'taken');
            done();
          });
        });
      });
    });
  }

  /** Pulls from others what they have; goes on without those that have died. */
  private pull(from: readonly string[], kind: ListKind, epoch: number, then: () => void): void {
    const ofTransition = kind === 'moving' || kind === 'released' || kind === 'claims';
    const stillIn = (): boolean =>
      ofTransition ? this.isIn(epoch) : this.core.view !== null && this.core.view.epoch === epoch;
    const others = from.filter((name) => name !== this.core.name);
    const open = new Set(others);
    let finished = false;
    const finish = (): void => {
      if (finished || !stillIn()) return;
      if ([...open].some((name) => !this.lost.has(name))) return;
      finished = true;
      then();
    };
    // Who dies while its list is waited for is named by a repeated message, which lands in `lost`.
    const look = (): void => {
      if (finished || !stillIn()) return;
      finish();
      if (!finished) this.core.at(this.core.now + 10, look);
    };
    for (const name of others) {
      const wanted = (): boolean => !finished && stillIn() && !this.lost.has(name);
      this.core.pullAll([name], kind, epoch, wanted, () => {
        open.delete(name);
        finish();
      });
    }
    look();
  }

  private commit(from: string, { view, condemned }: Commit): void {
    const { core } = this;
    core.sawEpoch(view.epoch);
    if (core.view !== null && view.epoch < core.view.epoch) return;
    if (!takesPart(view, core.identity)) return;
    if (core.view?.epoch === view.epoch) {
      this.once(from, 'commit', view.epoch, (done) => done());
      return;
    }
    const before = core.view;
    this.endTransition(view);
    core.view = view;
    this.steps.clear();
    this.lost.clear();
    core.brings = false;
    for (const identity of condemned) this.over.set(lifeOf(identity), identity);
    for (const [life, identity] of this.over) {
      if (!takesPart(view, identity)) this.over.delete(life);
    }
    core.liveness.decided(
      view.epoch,
      (identity) => takesPart(view, identity) && !this.over.has(lifeOf(identity)),
    );
    core.notice({ notice: 'view', view, before });
    this.tellMembers(before, view);
    this.steps.set(`commit ${view.epoch}`, false);
    core.installing += 1;
    const dead = before === null ? this.goneMeanwhile(view) : gone(before, view);
    core.plane({ work: 'install', view, dead }, (_ok, contested) => {
      core.installing -= 1;
      if (core.view?.epoch !== view.epoch) return;
      this.contested = contested;
      this.steps.set(`commit ${view.epoch}`, true);
      this.answerCoordinator('commit', view.epoch);
    });
  }

  /** A newcomer that has lived before learns who has died or left since then. */
  private goneMeanwhile(view: View): string[] {
    const { name: self, viewBefore } = this.core;
    // Whoever begins alone knows nothing of the others.
    if (livingMember(view, self)?.state !== 'joining') return [];
    return gone(viewBefore, view).filter((name) => name !== self);
  }

  private endTransition(view: View): void {
    const { current } = this.core;
    if (!current) return;
    const completed = current.transition.next.epoch === view.epoch;
    if (completed) this.core.completed += 1;
    else this.core.rolledBack += 1;
    this.core.notice({
      notice: 'handover',
      epoch: current.transition.next.epoch,
      kind: current.transition.kind,
      outcome: completed ? 'completed' : 'rolledBack',
    });
    this.core.current = null;
  }

  private tellMembers(before: View | null, after: View): void {
    for (const { name, state, incarnation } of after.members) {
      const was = before?.members.find((member) => member.name === name);
      if (was?.state !== state || was.incarnation !== incarnation) {
        this.core.notice({ notice: 'member', name, state });
      }
    }
  }
}
