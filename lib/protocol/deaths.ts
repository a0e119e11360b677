// Which lives are over, as a coordinator finds out: by the consent of a quorum, or because a node
// has said so itself.
import type { Core } from './core.js';
import type { Identity, Member, View } from './types.js';
import { lifeOf, living, livingMember } from './view.js';

/** How often the others are asked for consent; milliseconds. */
const AGAIN = 30;

export class Deaths {
  /** By life, who has consented. */
  private readonly consents = new Map<string, Set<string>>();
  /** How lives have ended. */
  private readonly over = new Map<string, 'dead' | 'left'>();
  private askedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly core: Core) {}

  /** It is certain that this life is over. */
  end(identity: Identity, how: 'dead' | 'left'): void {
    this.over.set(lifeOf(identity), how);
  }

  /** A consent that has been given in the view that counts. */
  add(from: string, identity: Identity): void {
    const life = lifeOf(identity);
    this.consents.set(life, (this.consents.get(life) ?? new Set()).add(from));
  }

  /** A consent, and the epoch of the view in which it was given. */
  consent(from: string, epoch: number | null, dead: readonly Identity[], view: View | null): void {
    // A view that the sender has not seen yet, or is about to join with, may withdraw it.
    const stale = epoch === null ? livingMember(view, from) : view && epoch < view.epoch;
    if (stale) return;
    for (const identity of dead) this.add(from, identity);
  }

  isDead(identity: Identity, view: View | null): boolean {
    const life = lifeOf(identity);
    if (this.over.has(life)) return true;
    // A later life of the same name proves that this one is over: it has fenced itself, or is gone.
    if (this.core.liveness.incarnation(identity.name) > identity.incarnation) {
      this.over.set(life, 'dead');
      return true;
    }
    const given = this.consents.get(life);
    if (!given) return false;
    const silent = new Set([identity.name]);
    for (const member of view ? living(view) : []) {
      if (this.core.liveness.hasConsented(member)) silent.add(member.name);
    }
    if (!this.core.quorum.has(given, view, silent)) return false;
    this.over.set(life, 'dead');
    return true;
  }

  /** The members of the view that are dead or have left. */
  among(view: View | null): Map<string, 'dead' | 'left'> {
    const dead = new Map<string, 'dead' | 'left'>();
    for (const member of view ? living(view) : []) {
      if (this.isDead(member, view)) dead.set(member.name, this.over.get(lifeOf(member)) ?? 'dead');
    }
    return dead;
  }

  /**
   * Somebody has consented to the death of a member that is heard again: it grants that one no
   * lease until a view says that it lives.
   */
  hasDoubts(view: View): boolean {
    return living(view).some((member) => {
      const doubted = (this.consents.get(lifeOf(member))?.size ?? 0) > 0;
      const said = this.core.liveness.heard(member.name, this.core.now);
      return doubted && said?.incarnation === member.incarnation && !this.isDead(member, view);
    });
  }

  /** The same as identities: a commit of this view must not lift the consents to their deaths. */
  condemned(view: View): Identity[] {
    return living(view)
      .filter((member) => this.isDead(member, view))
      .map(({ name, incarnation }) => ({ name, incarnation }));
  }

  /** A commit is about to lift all consents but those to these deaths. */
  withdraw(condemned: readonly Identity[]): void {
    const kept = new Set(condemned.map(lifeOf));
    for (const life of this.consents.keys()) if (!kept.has(life)) this.consents.delete(life);
  }

  /** Lives that the view does not count among the living need not be remembered. */
  forget(view: View): void {
    const lives = new Set(living(view).map(lifeOf));
    for (const life of this.over.keys()) if (!lives.has(life)) this.over.delete(life);
    for (const life of this.consents.keys()) if (!lives.has(life)) this.consents.delete(life);
  }

  /** Asks for consent to the death of the members that we do not hear. */
  suspect(view: View | null): void {
    const { name: self, liveness, now, timing } = this.core;
    const others: Member[] = (view ? living(view) : []).filter(({ name }) => name !== self);
    const silent: Identity[] = [];
    for (const member of others) {
      if (!liveness.isSilent(member, now)) {
        this.core.wake(now + timing.failAfter - liveness.silence(member, now));
      } else if (!this.isDead(member, view)) {
        silent.push({ name: member.name, incarnation: member.incarnation });
      }
    }
    if (silent.length === 0) return;
    for (const identity of liveness.consent(silent, this.core.moment, now)) {
      this.add(self, identity);
    }
    if (now - this.askedAt >= AGAIN) {
      this.askedAt = now;
      const { term } = this.core;
      for (const name of this.core.others()) {
        this.core.send(name, { type: 'suspect', term, dead: silent });
      }
    }
    this.core.wake(this.askedAt + AGAIN);
  }
}
