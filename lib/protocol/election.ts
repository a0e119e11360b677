// Who coordinates: layer 2 of docs/decisions/cluster-protocol.md. Whoever misses its coordinator
// and ranks first among those that it hears asks for votes; a quorum of them makes it coordinator.
import type { Core } from './core.js';
import type { Heartbeat, Identity, Message, NodeState } from './types.js';
import { living, livingMember } from './view.js';

type Vote = Extract<Message, { type: 'vote' }>;
type Voted = Extract<Message, { type: 'voted' }>;

interface Campaign {
  /** Ours only when we have won: until then the coordinator of the term before may come back. */
  readonly term: number;
  readonly votes: Map<string, NodeState>;
  readonly since: number;
  readonly dead: readonly Identity[];
  sentAt: number;
}

/** How often a vote is asked for; milliseconds. */
const AGAIN = 30;

export class Election {
  private campaign: Campaign | null = null;
  /** Since when there has been no coordinator. */
  private missedSince: number | null = null;

  /**
   * @param leads - this node is elected
   * @param elected - called with the ballots when this node has won
   */
  constructor(
    private readonly core: Core,
    private readonly state: () => NodeState,
    private readonly leads: () => boolean,
    private readonly elected: (ballots: ReadonlyMap<string, NodeState>) => void,
  ) {}

  /** Another term, or another life: what was asked for is over. */
  abandon(): void {
    this.campaign = null;
  }

  /** Answers a candidate. */
  vote(from: string, { term, dead }: Vote): void {
    const { core } = this;
    const again = term === core.term && core.coordinator === from;
    const granted = again || (term > core.term && this.mayVoteFor(from));
    if (granted && !again) {
      this.abandon();
      core.raiseTerm(term, from);
    }
    if (granted) core.liveness.consent(dead, core.moment, core.now);
    core.send(from, { type: 'voted', term, granted, state: this.state() });
  }

  /** Takes in an answer. */
  voted(from: string, { term, granted, state }: Voted): void {
    if (this.campaign?.term === term && granted) {
      this.campaign.votes.set(from, state);
    }
  }

  step(): void {
    const { core } = this;
    const overtaken = this.leads() && (this.highestTerm() > core.term || this.outranksAnother());
    const led = this.leads() || (core.coordinator !== null && this.hears(core.coordinator));
    if (led && !overtaken) {
      this.campaign = null;
      this.missedSince = null;
      return;
    }
    if (this.campaign) {
      this.canvass(this.campaign);
      return;
    }
    this.missedSince ??= core.now;
    const at = this.mayStandAt();
    if (at > core.now) core.wake(Math.min(at, core.now + core.timing.heartbeat));
    else this.stand();
  }

  private mayVoteFor(candidate: string): boolean {
    const { core } = this;
    // A newcomer knows nothing; whoever has a view would lose it.
    const newcomer = core.liveness.heard(candidate, core.now)?.member === false;
    if (newcomer && core.isMember) return false;
    if (!core.isMember && core.now < core.quietUntil) return false;
    const { coordinator } = core;
    if (coordinator === null || coordinator === candidate) return true;
    if (coordinator !== core.name) return !this.hears(coordinator);
    const lease = core.leaseUntil();
    return lease === null || lease <= core.now;
  }

  /** It is there, in the life in which we support it, and has neither lost nor given up. */
  private hears(coordinator: string): boolean {
    const { core } = this;
    const { liveness, now, timing } = core;
    const life = liveness.incarnation(coordinator);
    if (core.coordinatorLife === 0) core.coordinatorLife = life;
    if (life !== core.coordinatorLife || liveness.isQuiet(coordinator, now)) return false;
    core.wake(now + timing.heartbeat);
    const said = liveness.heard(coordinator, now);
    if (!said) return true;
    // It may still be canvassing; but not for ever.
    if (said.term < core.term) return now - core.supportedAt < timing.failAfter;
    return said.coordinator === coordinator;
  }

  /**
   * Of those that are heard. One above ours means that somebody has stood for election, voted for by
   * nodes that did not hear us, and lost: they heed nobody until there is a term above theirs.
   */
  highestTerm(): number {
    const { core } = this;
    return Math.max(core.term, ...[...core.liveness.allHeard(core.now)].map(({ term }) => term));
  }

  /**
   * Another one leads in the same term, which two nodes can do that were cut from each other on
   * every path (quorum `paths`). Who has come further stands again, and the other one follows it.
   */
  private outranksAnother(): boolean {
    const { term, name, view, now, liveness } = this.core;
    const ours = view?.epoch ?? 0;
    return [...liveness.allHeard(now)].some(
      (said) =>
        said.elected &&
        said.term === term &&
        (said.epoch < ours || (said.epoch === ours && name < said.name)),
    );
  }

  /** When this node may stand for election; infinity: not as things are. */
  private mayStandAt(): number {
    const { core } = this;
    const { failAfter } = core.timing;
    if (core.leaving !== 'no') return Number.POSITIVE_INFINITY;
    const heard = [...core.liveness.allHeard(core.now)];
    if (!core.isMember && heard.some(({ member }) => member)) return Number.POSITIVE_INFINITY;
    const present = new Set([core.name, ...heard.map(({ name }) => name)]);
    const silent = new Set(core.others().filter((name) => !present.has(name)));
    if (!core.quorum.has(present, core.view, silent)) return Number.POSITIVE_INFINITY;
    const before = heard.filter((other) => this.ranksBefore(other)).length;
    const since = Math.max(this.missedSince ?? core.now, core.isMember ? 0 : core.quietUntil);
    return since + (before * failAfter) / 2;
  }

  /** Members before newcomers, those that stay before those that drain, then by name. */
  private ranksBefore(other: Heartbeat): boolean {
    const { isMember, name } = this.core;
    if (other.member !== isMember) return other.member;
    const [theirs, ours] = [this.drains(other.name), this.drains(name)];
    return theirs === ours ? other.name < name : ours;
  }

  private drains(name: string): boolean {
    return livingMember(this.core.view, name)?.state === 'draining';
  }

  private stand(): void {
    const { core } = this;
    const members = core.view ? living(core.view) : [];
    const dead = members
      .filter((member) => member.name !== core.name && core.liveness.isSilent(member, core.now))
      .map(({ name, incarnation }) => ({ name, incarnation }));
    const term = this.highestTerm() + 1;
    const sentAt = Number.NEGATIVE_INFINITY;
    this.campaign = { term, votes: new Map(), since: core.now, dead, sentAt };
    this.canvass(this.campaign);
  }

  private canvass(campaign: Campaign): void {
    const { core } = this;
    const { term, votes, dead } = campaign;
    const silent = new Set(core.others().filter((name) => !core.liveness.heard(name, core.now)));
    if (core.quorum.has(new Set([core.name, ...votes.keys()]), core.view, silent)) {
      this.win(campaign);
      return;
    }
    if (core.now - campaign.since > core.timing.failAfter) {
      this.abandon();
      // The next in rank has its turn before we try again.
      this.missedSince = core.now + core.timing.failAfter / 2;
      core.wake(this.missedSince);
      return;
    }
    if (core.now - campaign.sentAt >= AGAIN) {
      campaign.sentAt = core.now;
      for (const name of core.others()) {
        if (!votes.has(name)) core.send(name, { type: 'vote', term, dead });
      }
    }
    core.wake(campaign.sentAt + AGAIN);
  }

  private win({ term, votes, dead }: Campaign): void {
    const { core } = this;
    this.abandon();
    core.raiseTerm(term, core.name);
    core.liveness.consent(dead, core.moment, core.now);
    votes.set(core.name, this.state());
    this.elected(votes);
  }
}
