import { setTimeout as pause } from 'node:timers/promises';
import { FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import {
  type ExpectationMessage,
  type ExpectationRefusal,
  type ExpectationState,
  living,
  type Message,
  type ProtocolState,
} from '../protocol/index.js';
import { type Answer, Asked, lateAnswer, type Members } from './asked.js';
import { type Expectation, keyOfTuple, makeExpectation, readRequest } from './expectation.js';
import type { ExpectationEnd, ExpectationRequest, ExpectationsStatus } from './types.js';

// The expectations that this node knows of, and how its own come about and end, together with all
// other members: docs/decisions/expected-connections.md.

/** As the workers have them (native/decide/expectations.h). */
const MAX = 16_384;
const OF_NODE_MAX = 4096;
const MASKS_MAX = 16;
/** How long a member may take, milliseconds: longer than it takes to declare it dead. */
const ANSWER_MAX = 2000;
/** How long one that is to be met once may stand in the way of another, milliseconds. */
const IN_THE_WAY_MAX = 2000;
/** Until the next try, milliseconds: two nodes that try at once must not do so for ever. */
const againIn = (): number => 20 + 60 * Math.random();
/** Ids that ended, of each node: a message about one of these comes late. */
const ENDED_MAX = 4096;
/** Ids in a millisecond of a life, on average. */
const IDS_A_MS = 1000;

/** What an id's state is before another, by number. */
const RANK: Readonly<Record<ExpectationState, number>> = { pending: 1, active: 2, ending: 3 };

const REFUSALS: Readonly<Record<ExpectationRefusal, string>> = {
  full: `Expected at most ${MAX} expectations in the cluster but received one more.`,
  nodeFull: `Expected at most ${OF_NODE_MAX} expectations of one node but received one more.`,
  masks: `Expected at most ${MASKS_MAX} ways of leaving identifiers open but received another one.`,
  taken:
    'Expected identifiers that are not expected yet but received those of another expectation.',
};

/** The workers, as far as expectations need them. Each call is done after the one before. */
export interface ExpectingPlane {
  expect(expectation: Expectation): Promise<'done' | 'malformed' | ExpectationRefusal>;
  unexpect(owner: string, id: number): Promise<void>;
  clear(): Promise<void>;
  /** They have connections that others may have noted as somebody else's. */
  contested(): Promise<boolean>;
}

/** What expectations need of their node. */
export interface ExpectingParts {
  readonly self: string;
  readonly plane: ExpectingPlane;
  readonly logger: Logger;
  /** How far apart two nodes may see the same packet, milliseconds. */
  guardMs(): number;
  /** This node's life, and the other living members in theirs; null while it is no member. */
  members(): Members | null;
  send(to: string, message: Message): void;
  /** Pulls and merges what that node has contested. */
  pullContested(from: string): Promise<void>;
  /** Milliseconds of the monotonic clock. */
  now(): number;
  /** How many packets have met an expectation on this node by now. */
  matched(): Promise<(expectation: Expectation) => number>;
  onEnded(expectation: Expectation, why: ExpectationEnd): void;
}

/** One of this node's own. */
interface Own extends Expectation {
  timer?: NodeJS.Timeout | undefined;
  ending?: Promise<void>;
  /** Packets that had met it when it was renewed. */
  metBefore?: number;
}

/** Another expectation has these identifiers. */
class Taken extends FlowsieveError {}

export class Expectations {
  private readonly known = new Map<string, Expectation | Own>();
  private readonly ended = new Map<string, Set<number>>();
  private readonly asked: Asked;
  private readonly busy = new Set<string>();
  private order: Promise<unknown> = Promise.resolve();
  private lastId = 0;
  private registered = 0;
  private refused = 0;
  private readonly ends: Record<ExpectationEnd, number> = {
    withdrawn: 0,
    expired: 0,
    matched: 0,
    failed: 0,
    life: 0,
  };

  constructor(private readonly parts: ExpectingParts) {
    this.asked = new Asked(parts);
  }

  /** All that are known, own and others'. */
  all(): readonly Expectation[] {
    return [...this.known.values()];
  }

  status(): ExpectationsStatus {
    const { self } = this.parts;
    const own = this.all().filter(({ owner }) => owner === self).length;
    const { registered, refused, ends } = this;
    return { own, others: this.known.size - own, registered, refused, ended: { ...ends } };
  }

  // ---- this node's own -----------------------------------------------------------------------

  /** As `ClusterAdministered.expect`. */
  async expect(request: ExpectationRequest): Promise<Expectation> {
    const patience = this.parts.now() + IN_THE_WAY_MAX;
    for (;;) {
      try {
        const expectation = await this.register(request);
        this.registered += 1;
        return expectation;
      } catch (error) {
        if (this.parts.now() > patience || !this.givesWay(request, error)) {
          this.refused += 1;
          throw error;
        }
        await pause(againIn());
      }
    }
  }

  /**
   * What is in the way of this request is met once, as the request is, and ends soon: two nodes'
   * kernels gave the same port to two servers within a second, or a client took one again. The one
   * cannot be told from the other before that has been met.
   */
  private givesWay(request: ExpectationRequest, error: unknown): boolean {
    if (!(error instanceof Taken)) return false;
    const { tuple, once } = readRequest(request);
    const key = keyOfTuple(tuple);
    return once && this.all().every((each) => each.key !== key || each.once);
  }

  private async register(request: ExpectationRequest): Promise<Expectation> {
    const { self, plane } = this.parts;
    const { tuple, once, lifetimeMs } = readRequest(request);
    const renewed = await this.renew(keyOfTuple(tuple), once, lifetimeMs);
    if (renewed) return renewed;
    const life = this.parts.members();
    if (life === null) {
      const sentence = 'Expected a member of the cluster for an expectation but received none.';
      throw new FlowsieveError('FLOWSIEVE_STATE', sentence);
    }
    this.lastId = Math.max(this.lastId, life.incarnation * IDS_A_MS) + 1;
    const expiresAt = this.parts.now() + lifetimeMs;
    const own: Own = makeExpectation({
      id: this.lastId,
      owner: self,
      tuple,
      once,
      state: 'pending',
      expiresAt,
    });
    this.refuse(this.refusalOf(own));
    this.known.set(keyOf(own), own);
    const deadline = this.parts.now() + ANSWER_MAX;
    try {
      await this.agree(own, 'pending', deadline);
      await this.guard();
      this.refuse(await plane.expect(own));
      await this.guard();
      const answers = await this.agree(own, 'active', deadline);
      await this.guard();
      await this.pullFrom(answers, deadline);
      this.check(own);
      this.refuse(await plane.expect({ ...own, state: 'active' }));
    } catch (error) {
      // Whoever has it gives it up again, however long that takes.
      void this.end(own, 'failed');
      throw error;
    }
    own.state = 'active';
    this.expireIn(own, lifetimeMs);
    return own;
  }

  /** One of this node's own that expects the same already lasts longer; one that ends is waited for. */
  private async renew(key: string, once: boolean, lifetimeMs: number): Promise<Own | null> {
    const { self } = this.parts;
    const same = this.all().find((each) => each.owner === self && each.key === key) as
      | Own
      | undefined;
    if (same?.state === 'ending') await same.ending;
    if (same?.state !== 'active' || same.once !== once) return null;
    same.expiresAt = this.parts.now() + lifetimeMs;
    this.expireIn(same, lifetimeMs);
    // What has met it so far was another connection.
    same.metBefore = (await this.parts.matched())(same);
    return same.state === 'active' ? same : null;
  }

  private expireIn(own: Own, ms: number): void {
    clearTimeout(own.timer);
    own.timer = setTimeout(() => void this.end(own, 'expired'), ms);
    own.timer.unref();
  }

  /** As `ClusterAdministered.unexpect`. */
  async unexpect(id: number): Promise<void> {
    const { self } = this.parts;
    const own = this.known.get(keyOf({ owner: self, id })) as Own | undefined;
    if (own?.state !== 'active') {
      const sentence = `Expected an expectation of this node for id but received ${id}.`;
      throw new FlowsieveError('FLOWSIEVE_STATE', sentence, { path: 'id' });
    }
    const late = new AbortController();
    const limit = pause(ANSWER_MAX, 'late' as const, { ref: false, signal: late.signal });
    const first = await Promise.race([this.end(own, 'withdrawn'), limit.catch(() => {})]);
    late.abort();
    if (first === 'late') throw lateAnswer(this.asked.missing(id));
  }

  /** Ends those of this node's own that need to be met but once, and have been. */
  async look(): Promise<void> {
    const { self } = this.parts;
    const waiting = this.all().filter(
      ({ owner, once, state }) => owner === self && once && state === 'active',
    );
    if (waiting.length === 0) return;
    const matched = await this.parts.matched();
    for (const own of waiting as Own[]) {
      if (own.state !== 'active' || matched(own) <= (own.metBefore ?? 0)) continue;
      void this.end(own, 'matched');
    }
  }

  /** Ends one of this node's own; resolves when no member has it any more. */
  private end(own: Own, why: ExpectationEnd): Promise<void> {
    own.ending ??= this.finish(own, why).catch((error: unknown) => {
      // Its life is over, and what it expected with it.
      this.parts.logger.debug({ err: error, id: own.id }, 'an expectation was not ended');
    });
    return own.ending;
  }

  private async finish(own: Own, why: ExpectationEnd): Promise<void> {
    const { plane, self } = this.parts;
    clearTimeout(own.timer);
    const wasActive = own.state === 'active';
    if (wasActive) {
      own.state = 'ending';
      await plane.expect(own);
      await this.guard();
      await this.agree(own, 'ending', Number.POSITIVE_INFINITY);
      await this.guard();
    }
    await plane.unexpect(self, own.id);
    await this.guard();
    const contested = wasActive && (await plane.contested());
    await this.asked.ask(own.id, 'gone', Number.POSITIVE_INFINITY, (incarnation) => ({
      type: 'unexpect',
      incarnation,
      id: own.id,
      contested,
    }));
    this.forget(own, why);
  }

  private forget(own: Own, why: ExpectationEnd): void {
    clearTimeout(own.timer);
    if (!this.known.delete(keyOf(own))) return;
    this.ends[why] += 1;
    this.parts.onEnded(own, why);
  }

  /** All others bring it into that state, or one of them refuses. */
  private async agree(own: Own, state: ExpectationState, deadline: number): Promise<Answer[]> {
    const answers = await this.asked.ask(own.id, state, deadline, (incarnation) => ({
      type: 'expect',
      incarnation,
      id: own.id,
      state,
      tuple: own.tuple,
      once: own.once,
      left: Math.max(0, Math.round(own.expiresAt - this.parts.now())),
    }));
    for (const { refused } of answers) this.refuse(refused ?? 'done');
    return answers;
  }

  private refuse(outcome: 'done' | 'malformed' | ExpectationRefusal): void {
    if (outcome === 'done') return;
    if (outcome === 'malformed') {
      const sentence = 'Expected workers that take an expectation but received a refusal.';
      throw new FlowsieveError('FLOWSIEVE_INTERNAL', sentence);
    }
    if (outcome === 'taken') throw new Taken('FLOWSIEVE_STATE', REFUSALS.taken);
    throw new FlowsieveError('FLOWSIEVE_FULL', REFUSALS[outcome]);
  }

  /** Its life may have ended meanwhile. */
  private check(own: Own): void {
    if (this.known.has(keyOf(own))) return;
    const sentence = 'Expected a member of the cluster until all know but received another life.';
    throw new FlowsieveError('FLOWSIEVE_STATE', sentence);
  }

  private async pullFrom(answers: readonly Answer[], deadline: number): Promise<void> {
    for (const { from, contested } of answers) {
      if (!contested) continue;
      for (;;) {
        try {
          await this.parts.pullContested(from);
          break;
        } catch (error) {
          if (!this.parts.members()?.others.has(from)) break;
          if (this.parts.now() > deadline) throw error;
          await pause(10);
        }
      }
    }
  }

  private async guard(): Promise<void> {
    const others = this.parts.members()?.others.size ?? 0;
    if (others > 0) await pause(this.parts.guardMs());
  }

  // ---- the others' -------------------------------------------------------------------------

  /** What another member says of its own, or answers about ours. */
  take(from: string, message: ExpectationMessage): void {
    if (message.type === 'expected') {
      if (message.incarnation === this.parts.members()?.incarnation) {
        this.asked.answered(from, message);
      }
      return;
    }
    if (this.parts.members()?.others.get(from) !== message.incarnation) return;
    const step = message.type === 'unexpect' ? 'gone' : message.state;
    // It is said again until it is answered.
    const key = `${from}/${message.id}/${step}`;
    if (this.busy.has(key)) return;
    this.busy.add(key);
    const done = this.order.then(() => this.follow(from, message));
    this.order = done
      .catch((error: unknown) => this.parts.logger.debug({ err: error }, 'not expected yet'))
      .finally(() => this.busy.delete(key));
  }

  private async follow(
    from: string,
    message: Exclude<ExpectationMessage, { type: 'expected' }>,
  ): Promise<void> {
    if (this.parts.members()?.others.get(from) !== message.incarnation) return;
    const { id, incarnation } = message;
    const answer = (
      step: Answer['step'],
      refused: ExpectationRefusal | null,
      contested: boolean,
    ) => {
      const { send } = this.parts;
      send(from, { type: 'expected', incarnation, id, step, refused, contested });
    };
    if (message.type === 'unexpect') {
      if (!this.hasEnded(from, id)) {
        if (message.contested) await this.parts.pullContested(from);
        await this.parts.plane.unexpect(from, id);
        this.drop(from, id);
      }
      answer('gone', null, false);
      return;
    }
    if (this.hasEnded(from, id)) return;
    const { tuple, once, state, left } = message;
    const expiresAt = this.parts.now() + left;
    const refused = await this.enter(
      makeExpectation({ id, owner: from, tuple, once, state, expiresAt }),
    );
    const contested = message.state === 'active' && (await this.parts.plane.contested());
    answer(message.state, refused, contested);
  }

  private async enter(expectation: Expectation): Promise<ExpectationRefusal | null> {
    const { plane } = this.parts;
    const known = this.known.get(keyOf(expectation));
    if (known && RANK[known.state] >= RANK[expectation.state]) return null;
    const refusal = known ? 'done' : this.refusalOf(expectation);
    if (refusal !== 'done') return refusal;
    const outcome = await plane.expect(expectation);
    if (outcome !== 'done') return outcome === 'malformed' ? 'taken' : outcome;
    this.known.set(keyOf(expectation), expectation);
    return null;
  }

  /** What a member has, to whom this newcomer owes its tables; before the tables. */
  async learn(expectations: readonly Expectation[]): Promise<void> {
    const { self } = this.parts;
    for (const expectation of expectations) {
      const { owner, id } = expectation;
      if (owner === self || this.hasEnded(owner, id)) continue;
      const refused = await this.enter(expectation).catch((error: unknown) => error);
      if (refused) this.parts.logger.warn({ owner, id, refused }, 'an expectation was not taken');
    }
  }

  /** The view has changed: what the dead expected went with them. */
  membersChanged(): void {
    const { self } = this.parts;
    const life = this.parts.members();
    for (const { owner, id } of life === null ? [] : this.all()) {
      const began = life?.others.get(owner);
      // An earlier life's ids are all smaller.
      if (owner === self || (began !== undefined && id > began * IDS_A_MS)) continue;
      this.drop(owner, id);
      void this.parts.plane.unexpect(owner, id).catch(() => {});
    }
    this.asked.membersChanged();
  }

  /** This node's life is over: another begins, which knows nothing, and is told what there is. */
  lifeOver(): void {
    const { self } = this.parts;
    for (const expectation of this.all()) {
      if (expectation.owner === self) this.forget(expectation, 'life');
    }
    this.known.clear();
    this.asked.abandon();
    void this.parts.plane.clear().catch(() => {});
  }

  /** Nothing is asked any more. */
  close(): void {
    for (const own of this.known.values()) clearTimeout((own as Own).timer);
    this.asked.abandon();
  }

  // ---- bounds ------------------------------------------------------------------------------

  private refusalOf(expectation: Expectation): 'done' | ExpectationRefusal {
    const all = this.all();
    if (all.length >= MAX) return 'full';
    const { owner, key, mask } = expectation;
    if (all.filter((each) => each.owner === owner).length >= OF_NODE_MAX) return 'nodeFull';
    if (all.some((each) => each.key === key)) return 'taken';
    const masks = new Set(all.map((each) => each.mask));
    return masks.size >= MASKS_MAX && !masks.has(mask) ? 'masks' : 'done';
  }

  private hasEnded(owner: string, id: number): boolean {
    return this.ended.get(owner)?.has(id) ?? false;
  }

  private drop(owner: string, id: number): void {
    this.known.delete(keyOf({ owner, id }));
    const ended = this.ended.get(owner) ?? new Set();
    this.ended.set(owner, ended);
    ended.add(id);
    if (ended.size > ENDED_MAX) ended.delete(ended.values().next().value as number);
  }
}

/** This message is for the expectations, not for the protocol's core. */
export function isAboutExpectations(message: Message): message is ExpectationMessage {
  return message.type === 'expect' || message.type === 'unexpect' || message.type === 'expected';
}

/** Whose word counts, and who has to be asked: the living members of the view, each in its life. */
export function membersOf(state: ProtocolState, self: string): Members | null {
  const { view, incarnation } = state;
  if (view === null || state.state === 'left') return null;
  const members = new Map(living(view).map((each) => [each.name, each.incarnation]));
  if (members.get(self) !== incarnation) return null;
  members.delete(self);
  return { incarnation, others: members };
}

function keyOf({ owner, id }: { readonly owner: string; readonly id: number }): string {
  return `${owner}/${id}`;
}
