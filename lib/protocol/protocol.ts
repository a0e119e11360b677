// The cluster protocol as a pure state machine: events in, actions out. No sockets, clocks or timers
// inside; everything that happens, happens in handle(). docs/decisions/cluster-protocol.md.
//
//   heartbeat --> Liveness ---------------> lease
//   message ----> Election ---------------> Coordinator --(messages)--> all nodes' Participants
//                 Participant ------------> data plane, lists, answers
//   wish -------> Coordinator, here or elsewhere
import { Coordinator } from './coordinator.js';
import { Core } from './core.js';
import { Election } from './election.js';
import { Participant } from './participant.js';
import type {
  Action,
  Coordination,
  Heartbeat,
  Identity,
  ListKind,
  Message,
  NodeState,
  ProtocolEvent,
  ProtocolOptions,
  ProtocolState,
  Wish,
} from './types.js';
import { lifeOf, livingMember, takesPart } from './view.js';

/** A wish of this node that waits for the coordinator. */
interface Pending {
  readonly request: number;
  readonly wish: Wish;
  readonly since: number;
  sentAt: number;
}

/** A death that we have been asked to consent to, and cannot yet. */
interface Doubt {
  readonly identity: Identity;
  readonly from: string;
  readonly until: number;
}

/** How often a wish, and how often a request to join, is repeated; milliseconds. */
const WISH_AGAIN = 60;
const JOIN_AGAIN = 100;
/** How long a wish waits for a coordinator. */
const WISH_MAX = 5000;

export class Protocol implements Coordination {
  private readonly core: Core;
  private readonly participant: Participant;
  private readonly election: Election;
  private coordinator: Coordinator | null = null;
  private readonly wishes = new Map<number, Pending>();
  private readonly doubts = new Map<string, Doubt>();
  private wishIds = 0;
  private heartbeatAt: number;
  private joinedAt = Number.NEGATIVE_INFINITY;
  private leaseSaid = 0;
  private fenced = false;
  private wasMember = false;
  /** In this life; before its first one a node is not cut off, only new. */
  private hadLease = false;
  private readonly suspected = new Set<string>();

  /** @param now - milliseconds of the clock that handle() will be given */
  constructor(options: ProtocolOptions, now: number) {
    this.core = new Core(options, now);
    this.heartbeatAt = now;
    this.participant = new Participant(this.core);
    this.election = new Election(
      this.core,
      () => this.participant.state(),
      () => this.coordinator !== null,
      (ballots) => this.lead(ballots),
    );
  }

  wakeAt = 0;

  handle(event: ProtocolEvent, now: number): Action[] {
    const { core } = this;
    // Whoever was not running heard nobody; that says nothing about them.
    if (now - core.now > core.timing.failAfter / 2) core.liveness.wasDeaf(now);
    core.now = now;
    this.take(event);
    do {
      core.callDue();
      for (const message of core.takeOwn()) this.message(core.name, message);
      this.step();
    } while (core.hasOwn);
    this.wakeAt = Math.max(core.takeWake(), now);
    return core.takeActions();
  }

  serves(kind: ListKind, epoch: number, to: string): boolean {
    return to !== this.core.name && this.participant.serves(kind, epoch);
  }

  state(now: number): ProtocolState {
    const { core } = this;
    const { view, current, term, coordinator, incarnation, completed, rolledBack } = core;
    return {
      state: this.label(),
      incarnation,
      view,
      term,
      coordinator,
      coordinating: this.coordinator?.leads ?? false,
      transition: current && { transition: current.transition, phase: current.phase },
      waiting: this.coordinator?.waiting ?? null,
      peers: core.liveness.state(now),
      completed,
      rolledBack,
    };
  }

  private label(): ProtocolState['state'] {
    const { core } = this;
    if (core.leaving === 'left') return 'left';
    if (!core.isMember) return 'joining';
    const member = livingMember(core.view, core.name);
    if (member?.state === 'joining') return 'joining';
    if (core.leaving === 'leaving' || member?.state === 'draining') return 'draining';
    return this.fenced ? 'fenced' : 'member';
  }

  // ---- events ------------------------------------------------------------------------------

  private take(event: ProtocolEvent): void {
    const { core } = this;
    switch (event.type) {
      case 'tick':
        break;
      case 'heartbeat':
        this.heartbeat(event.heartbeat);
        break;
      case 'message':
        this.message(event.from, event.message);
        break;
      case 'done':
        core.done(event.token, event.ok, event.contested ?? false);
        break;
      case 'wish':
        this.wish(event.request, event.wish);
        break;
      case 'balance':
        this.coordinator?.balance(event.epoch, event.allocation, event.shares);
        break;
      case 'configure': {
        const { configured } = event;
        core.configured = configured;
        core.quorum.configure(configured.nodes);
        const { weight, criteria } = configured;
        this.wish(0, { wish: 'declare', node: core.name, weight, wants: criteria.digest });
        break;
      }
    }
  }

  private heartbeat(heartbeat: Heartbeat): void {
    const { core } = this;
    const { name, term, epoch, elected } = heartbeat;
    if (!core.quorum.names().includes(name) || name === core.name) return;
    this.outgrow(heartbeat);
    const taken = core.liveness.take(heartbeat, core.now);
    if (!taken || core.leaving === 'left') return;
    core.sawEpoch(epoch);
    if (elected && this.accepts(name, term)) {
      const ours = heartbeat.echoes.find(
        (echo) => echo.name === core.name && echo.incarnation === core.incarnation,
      );
      // A newcomer may have been let in and declared dead before it heard of either.
      if (ours?.dead && epoch >= (core.view?.epoch ?? 0)) this.outcast();
    }
    if (taken.answer) this.beat([name], false);
  }

  /**
   * The others know a later life of this node than the one that it has just begun with: the clock
   * of the day was set back since. In its first life alone, or two that were given one name would
   * outdo each other for ever.
   */
  private outgrow({ echoes }: Heartbeat): void {
    const { core } = this;
    const known = echoes.find(({ name }) => name === core.name)?.incarnation ?? 0;
    if (known <= core.incarnation || core.lives > 1) return;
    core.incarnation = known;
    this.beginLife();
  }

  /**
   * True when the coordinator of `term` is `from`, as far as we know; a later term is the one that
   * counts from now on.
   */
  private accepts(from: string, term: number): boolean {
    const { core } = this;
    if (term < core.term) return false;
    if (term > core.term) {
      this.stepDown();
      core.raiseTerm(term, from);
    } else if (core.coordinator !== from && this.coordinator === null) {
      // Whomever we voted for in this term, it is this one that has won.
      core.support(from);
    }
    return core.coordinator === from;
  }

  private message(from: string, message: Message): void {
    const { core } = this;
    if (core.leaving === 'left' || !core.quorum.names().includes(from)) return;
    switch (message.type) {
      case 'vote':
        this.election.vote(from, message);
        if (core.coordinator !== core.name) this.coordinator = null;
        break;
      case 'voted':
        this.election.voted(from, message);
        if (message.granted && message.term === core.term) {
          this.coordinator?.tell(from, message.state);
        }
        break;
      case 'state':
        if (message.term === core.term) {
          this.coordinator?.tell(from, message.state);
        }
        break;
      case 'consent':
        if (message.term === core.term) {
          this.coordinator?.consent(from, message.epoch, message.dead);
        }
        break;
      case 'done':
        if (message.term === core.term) this.coordinator?.done(from, message);
        break;
      case 'join':
        this.coordinator?.join(from, message);
        break;
      case 'wish':
        if (this.coordinator?.hears(message.wish)) {
          const refused = this.coordinator.wish(message.wish);
          core.send(from, { type: 'granted', id: message.id, refused });
        }
        break;
      case 'granted':
        this.granted(message.id, message.refused);
        break;
      case 'report':
      case 'targets':
      case 'expect':
      case 'unexpect':
      case 'expected':
        break;
      default:
        if (this.accepts(from, message.term)) this.ordered(from, message);
    }
  }

  /** Something that the coordinator says. */
  private ordered(from: string, message: Message): void {
    const { core } = this;
    if (message.type === 'ask') {
      core.send(from, { type: 'state', term: message.term, state: this.participant.state() });
    } else if (message.type === 'suspect') {
      for (const identity of message.dead) {
        const until = core.now + 2 * core.timing.failAfter;
        this.doubts.set(identity.name, { identity, from, until });
      }
    } else {
      if (message.type === 'commit') this.overrule(message);
      this.participant.take(from, message);
    }
  }

  /** To a newcomer a view says whose death it need not consent to any more. */
  private overrule({ view, condemned }: Extract<Message, { type: 'commit' }>): void {
    const { core } = this;
    if (core.isMember) return;
    const dead = new Set(condemned.map(lifeOf));
    core.liveness.overruled(
      view.term,
      (identity) => takesPart(view, identity) && !dead.has(lifeOf(identity)),
    );
  }

  // ---- wishes ------------------------------------------------------------------------------

  private wish(request: number, wished: Wish): void {
    const { core } = this;
    const ours = wished.node === core.name;
    // It is this life that leaves.
    const { incarnation } = core;
    const wish = wished.wish === 'leave' && ours ? { ...wished, incarnation } : wished;
    if (ours && wish.wish === 'leave' && core.leaving === 'no') this.leave();
    if (ours && wish.wish === 'resume' && core.leaving === 'left') {
      core.leaving = 'no';
      this.beginLife();
      this.answer(request, null);
      return;
    }
    if (ours && wish.wish === 'declare' && !core.isMember) {
      this.answer(request, null);
      return;
    }
    if (wish.wish === 'declare') {
      for (const [id, pending] of this.wishes) {
        if (pending.wish.wish === 'declare') this.wishes.delete(id);
      }
    }
    const id = ++this.wishIds;
    const sentAt = Number.NEGATIVE_INFINITY;
    this.wishes.set(id, { request, wish, since: core.now, sentAt });
  }

  /** From now on this node opens nothing, whatever its lease says, and leads nobody. */
  private leave(): void {
    const { core } = this;
    core.leaving = 'leaving';
    if (this.coordinator === null) return;
    this.stepDown();
    core.support(null);
    this.beat(null, false);
  }

  private granted(id: number, refused: string | null): void {
    const pending = this.wishes.get(id);
    if (!pending) return;
    this.wishes.delete(id);
    if (pending.wish.wish === 'leave' && pending.wish.node === this.core.name) {
      this.core.leaving = 'left';
      this.core.support(null);
    }
    this.answer(pending.request, refused);
  }

  private answer(request: number, refused: string | null): void {
    if (request !== 0) this.core.act({ type: 'answer', request, refused });
  }

  private pursueWishes(): void {
    const { core } = this;
    for (const [id, pending] of this.wishes) {
      const { wish } = pending;
      const alone = wish.wish === 'leave' && core.otherMembers().length === 0;
      if (alone) {
        this.granted(id, null);
      } else if (this.coordinator?.hears(wish)) {
        this.granted(id, this.coordinator.wish(wish));
      } else if (wish.wish !== 'declare' && core.now - pending.since > WISH_MAX) {
        this.granted(id, 'Expected a coordinator for the request but received none in 5 seconds.');
      } else {
        if (core.coordinator !== null && core.now - pending.sentAt >= WISH_AGAIN) {
          pending.sentAt = core.now;
          core.send(core.coordinator, { type: 'wish', id, wish });
        }
        core.wake(Math.max(pending.sentAt, core.now) + WISH_AGAIN);
      }
    }
  }

  // ---- what time brings --------------------------------------------------------------------

  private step(): void {
    const { core } = this;
    if (core.leaving === 'left') {
      this.sayLease();
      return;
    }
    this.resolveDoubts();
    this.election.step();
    this.coordinator?.step();
    this.askToJoin();
    this.pursueWishes();
    this.sayLease();
    this.tellSuspicions();
    // A new member asks for its lease at once.
    if (core.isMember && !this.wasMember) this.heartbeatAt = core.now;
    this.wasMember = core.isMember;
    if (core.now >= this.heartbeatAt) {
      this.beat(null, this.isShort());
      const every = this.isShort() ? core.timing.heartbeat / 3 : core.timing.heartbeat;
      this.heartbeatAt = core.now + every;
    }
    core.wake(this.heartbeatAt);
  }

  /** Consents late to deaths that could not be consented to when asked. */
  private resolveDoubts(): void {
    const { core } = this;
    const { liveness, now, timing } = core;
    for (const [name, { identity, from, until }] of this.doubts) {
      if (!liveness.isSilent(identity, now)) {
        if (now > until) this.doubts.delete(name);
        else core.wake(now + timing.failAfter - liveness.silence(identity, now));
        continue;
      }
      this.doubts.delete(name);
      if (core.coordinator !== from) continue;
      const dead = liveness.consent([identity], core.moment, now);
      const epoch = core.isMember ? (core.view?.epoch ?? null) : null;
      core.send(from, { type: 'consent', term: core.term, epoch, dead });
    }
  }

  private askToJoin(): void {
    const { core } = this;
    if (core.isMember || core.coordinator === null || core.leaving !== 'no') return;
    if (core.now - this.joinedAt >= JOIN_AGAIN) {
      this.joinedAt = core.now;
      const { incarnation, brings, epochSeen, configured } = core;
      const { weight, criteria } = configured;
      const wants = criteria.digest;
      const join = { type: 'join', incarnation, weight, wants, brings, epochSeen } as const;
      core.send(core.coordinator, join);
    }
    core.wake(this.joinedAt + JOIN_AGAIN);
  }

  /** The lease is nearer to its end than a heartbeat that goes well would leave it. */
  private isShort(): boolean {
    const { core } = this;
    if (!core.isMember || core.leaving !== 'no') return false;
    return (core.leaseUntil() ?? core.now) - core.now < 0.45 * core.timing.failAfter;
  }

  private sayLease(): void {
    const { core } = this;
    const lease = core.leaseUntil() ?? 0;
    // One that begins (again) has to wait until the data plane knows what it is a lease of, and
    // whose the connections are that it has.
    const begins = lease > core.now && this.leaseSaid <= core.now;
    const early = begins && (core.installing > 0 || core.isBehind);
    if (lease !== this.leaseSaid && !early) {
      this.leaseSaid = lease;
      core.act({ type: 'lease', until: lease });
    }
    if (lease > core.now) {
      this.hadLease = true;
      core.wake(lease);
    }
    const fenced = core.isMember && this.hadLease && lease <= core.now;
    if (fenced !== this.fenced) {
      this.fenced = fenced;
      core.notice({ notice: fenced ? 'fenced' : 'unfenced' });
    }
  }

  private tellSuspicions(): void {
    const { core } = this;
    for (const { name, suspected, heardAt } of core.liveness.state(core.now)) {
      if (heardAt === null || suspected === this.suspected.has(name)) continue;
      if (suspected) this.suspected.add(name);
      else this.suspected.delete(name);
      core.notice({ notice: suspected ? 'suspected' : 'heard', name });
    }
  }

  private beat(only: readonly string[] | null, urgent: boolean): void {
    const { core } = this;
    const heartbeat: Heartbeat = {
      ...core.identity,
      sent: core.now,
      term: core.term,
      coordinator: core.coordinator,
      elected: this.coordinator !== null,
      epoch: core.view?.epoch ?? 0,
      member: core.isMember,
      urgent,
      echoes: core.liveness.echoes(
        only ?? core.others(),
        (peer) => this.isOver(peer),
        (peer) => this.mayGrant(peer),
      ),
    };
    core.act({ type: 'heartbeat', heartbeat, only });
  }

  /** A life that our view does not count, though it was in one: a newcomer's has only begun. */
  private isOver(peer: Identity): boolean {
    const { view, liveness, now } = this.core;
    if (view === null || takesPart(view, peer)) return false;
    const ended = view.members.some(
      ({ name, incarnation }) => name === peer.name && incarnation >= peer.incarnation,
    );
    return ended || liveness.heard(peer.name, now)?.member === true;
  }

  /**
   * A member grants leases to members. A newcomer may have consented to deaths in an earlier life
   * and does not know; it grants only what it takes to be let in, a lease to the coordinator.
   */
  private mayGrant(peer: Identity): boolean {
    const { core } = this;
    if (core.isMember) return takesPart(core.view, peer);
    const said = core.liveness.heard(peer.name, core.now);
    if (core.now < core.quietUntil || !said?.elected) return false;
    return said.term >= this.election.highestTerm();
  }

  // ---- who leads ---------------------------------------------------------------------------

  private lead(ballots: ReadonlyMap<string, NodeState>): void {
    const { core } = this;
    // One that leads already starts over, in a new term: it has to ask everybody again.
    this.coordinator = new Coordinator(core, () => {
      this.stepDown();
      core.support(null);
      if (core.view !== null) this.outcast();
    });
    for (const [name, state] of ballots) this.coordinator.tell(name, state);
    this.beat(null, false);
  }

  private stepDown(): void {
    this.coordinator = null;
    this.election.abandon();
  }

  /** The others have decided that this life is over: it was paused or cut off for too long. */
  private outcast(): void {
    this.core.brings = true;
    this.beginLife();
  }

  private beginLife(): void {
    const { core } = this;
    this.stepDown();
    this.participant.reset();
    core.viewBefore = core.view ?? core.viewBefore;
    core.view = null;
    core.incarnation += 1;
    core.lives += 1;
    core.liveness.begin(core.incarnation, core.now);
    this.joinedAt = Number.NEGATIVE_INFINITY;
    this.hadLease = false;
    core.notice({ notice: 'life', incarnation: core.incarnation, brings: core.brings });
  }
}
