// What the parts of the protocol share: who we are, what we know, and how to ask for something.
import { Liveness, type Moment } from './liveness.js';
import { Quorum } from './quorum.js';
import type {
  Action,
  Configured,
  Identity,
  ListKind,
  Message,
  Notice,
  Phase,
  PlaneWork,
  ProtocolOptions,
  Timing,
  Transition,
  View,
} from './types.js';
import { isLiving, isOwner, living, livingMember, takesPart } from './view.js';

/** A transition that this node takes part in. */
export interface Current {
  readonly transition: Transition;
  phase: Phase;
  /** The data plane knows of it: from then on its lists can be served. */
  planeKnows: boolean;
}

type Then = (ok: boolean, contested: boolean) => void;

/** How long after a failed pull the next one begins, at first and at most; milliseconds. */
const PULL_AGAIN_FIRST = 5;
const PULL_AGAIN_MAX = 80;

export class Core {
  readonly name: string;
  readonly timing: Timing;
  readonly quorum: Quorum;
  readonly liveness: Liveness;
  incarnation: number;
  /** How many of this node there have been since the process began, this one among them. */
  lives = 1;
  configured: Configured;
  now: number;

  view: View | null = null;
  /** The last one of the life before this one: by it the tables say whose connections are. */
  viewBefore: View | null = null;
  current: Current | null = null;
  /** The highest term and epoch that we have heard of. */
  term = 0;
  epochSeen = 0;
  /** Whom we support in this term. */
  coordinator: string | null = null;
  /** In which of its lives (0: not known yet), and since when. */
  coordinatorLife = 0;
  supportedAt = Number.NEGATIVE_INFINITY;
  /**
   * Until then a newcomer has no voice: an earlier life of it may have granted a lease that is still
   * running.
   */
  readonly quietUntil: number;
  /** Views that the data plane has not taken over yet. */
  installing = 0;
  /** In this life a member has told us whose the connections are. */
  hasTables = false;
  /** We bring connections, from an earlier life or found at the start. */
  brings: boolean;
  /** We have left, or are about to, and open nothing. */
  leaving: 'no' | 'leaving' | 'left' = 'no';
  completed = 0;
  rolledBack = 0;

  private actions: Action[] = [];
  private own: Message[] = [];
  private tokens = 0;
  private readonly waiting = new Map<number, Then>();
  private readonly later: { at: number; call: () => void }[] = [];
  private wakes: number[] = [];

  constructor(options: ProtocolOptions, now: number) {
    this.name = options.name;
    this.incarnation = options.incarnation;
    this.timing = options.timing;
    this.configured = options.configured;
    this.brings = options.brings ?? false;
    this.quorum = new Quorum(options.quorum, options.configured.nodes);
    this.liveness = new Liveness(options, options.timing, now);
    this.now = now;
    const alone = options.configured.nodes.length === 1;
    this.quietUntil = alone ? now : now + 1.5 * options.timing.failAfter;
  }

  get identity(): Identity {
    return { name: this.name, incarnation: this.incarnation };
  }

  /** This life of this node takes part in the view. */
  get isMember(): boolean {
    return takesPart(this.view, this.identity);
  }

  /**
   * A newcomer that has not pulled the tables yet, and has no buckets to answer for: what it brings
   * from an earlier life may be another's by now.
   */
  get isBehind(): boolean {
    const { name, view, current } = this;
    if (this.hasTables || livingMember(view, name)?.state !== 'joining') return false;
    return !isOwner(view, name) && !isOwner(current?.transition.next ?? null, name);
  }

  /** What this node knows when it consents to a death. */
  get moment(): Moment {
    return { epoch: this.view?.epoch ?? 0, term: this.term };
  }

  /** All configured nodes but this one. */
  others(): string[] {
    return this.quorum.names().filter((name) => name !== this.name);
  }

  /** The members of the view that take part, but this one. */
  otherMembers(): string[] {
    const members = this.view?.members.filter(isLiving) ?? [];
    return members.map(({ name }) => name).filter((name) => name !== this.name);
  }

  /** A term that is higher than ours: whatever was supported in ours is over. */
  raiseTerm(term: number, coordinator: string | null): void {
    this.term = term;
    this.supportedAt = this.now;
    this.support(coordinator);
  }

  support(coordinator: string | null): void {
    this.coordinatorLife = coordinator === null ? 0 : this.liveness.incarnation(coordinator);
    if (this.coordinator === coordinator) return;
    this.coordinator = coordinator;
    this.notice({ notice: 'coordinator', name: coordinator, term: this.term });
  }

  sawEpoch(epoch: number): void {
    this.epochSeen = Math.max(this.epochSeen, epoch);
  }

  act(action: Action): void {
    this.actions.push(action);
  }

  notice(notice: Notice): void {
    this.act({ type: 'notice', notice });
  }

  /** To a peer, or to this node itself: that message is taken in before handle() returns. */
  send(to: string, message: Message): void {
    if (to === this.name) this.own.push(message);
    else this.act({ type: 'send', to, message });
  }

  get hasOwn(): boolean {
    return this.own.length > 0;
  }

  /** What this node has said to itself. */
  takeOwn(): Message[] {
    const taken = this.own;
    this.own = [];
    return taken;
  }

  plane(work: PlaneWork, then: Then): void {
    const token = ++this.tokens;
    this.waiting.set(token, then);
    this.act({ type: 'plane', token, work });
  }

  /** Pulls a list from each of `from`, each as often as it takes, while `wanted` says so. */
  pullAll(
    from: readonly string[],
    kind: ListKind,
    epoch: number,
    wanted: (from: string) => boolean,
    then: () => void,
  ): void {
    const missing = new Set(from);
    if (missing.size === 0) {
      then();
      return;
    }
    const pull = (name: string, again: number): void => {
      if (!wanted(name)) return;
      const token = ++this.tokens;
      this.waiting.set(token, (ok) => {
        if (!wanted(name)) return;
        if (!ok) {
          this.at(this.now + again, () => pull(name, Math.min(2 * again, PULL_AGAIN_MAX)));
          return;
        }
        missing.delete(name);
        if (missing.size === 0) then();
      });
      this.act({ type: 'pull', token, from: name, kind, epoch });
    };
    for (const name of missing) pull(name, PULL_AGAIN_FIRST);
  }

  done(token: number, ok: boolean, contested: boolean): void {
    const then = this.waiting.get(token);
    this.waiting.delete(token);
    then?.(ok, contested);
  }

  /** Has `call` called at a time to come. */
  at(at: number, call: () => void): void {
    this.later.push({ at, call });
  }

  /** Calls what was put off until now. */
  callDue(): void {
    for (let i = 0; i < this.later.length; ) {
      const { at, call } = this.later[i] as { at: number; call: () => void };
      if (at > this.now) {
        i += 1;
        continue;
      }
      this.later.splice(i, 1);
      call();
      i = 0;
    }
  }

  /** Asks for a tick at `at`, or before. */
  wake(at: number): void {
    this.wakes.push(at);
  }

  /** The earliest moment that was asked for since the last call. */
  takeWake(): number {
    const wakes = [...this.wakes, ...this.later.map(({ at }) => at)];
    this.wakes = [];
    return Math.min(...wakes);
  }

  takeActions(): Action[] {
    const taken = this.actions;
    this.actions = [];
    return taken;
  }

  /** The members to whose death this node has consented. */
  condemned(): Set<string> {
    const members = this.view ? living(this.view) : [];
    const dead = members.filter((member) => this.liveness.hasConsented(member));
    return new Set(dead.map(({ name }) => name));
  }

  /** The lease: until when a quorum keeps its consent back; null: there is none. */
  leaseUntil(): number | null {
    const member = livingMember(this.view, this.name);
    if (member?.incarnation !== this.incarnation || this.leaving !== 'no') return null;
    const { name, view, liveness, now } = this;
    const reading = this.quorum.reading(name, liveness.granted(), view, this.condemned(), now);
    return reading === null ? null : reading + 0.9 * this.timing.failAfter;
  }
}
