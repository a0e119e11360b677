// What has been wished of the members since the view was made: the coordinator's next views
// contain it.
import type { Join, Wish } from './messages.js';
import type { Newcomer } from './target.js';
import type { Member, View } from './types.js';
import { isLiving, livingMember } from './view.js';

export class Wishes {
  members: readonly Member[] = [];
  private readonly joins = new Map<string, Newcomer & { brings: boolean }>();

  /** A node has asked to join. */
  join(from: string, { incarnation, weight, wants, brings }: Join): void {
    const known = this.joins.get(from);
    if (known && known.incarnation > incarnation) return;
    this.joins.set(from, { name: from, incarnation, weight, wants, brings });
  }

  /**
   * Those who have asked to join and have no life in the view. A life that has been declared dead
   * since it asked may still believe that it lives: it comes in as the next one or not at all.
   */
  newcomers(view: View): Newcomer[] {
    return [...this.joins.values()].filter(({ name, incarnation }) => {
      const last = view.members.find((member) => member.name === name);
      return last === undefined || (!isLiving(last) && last.incarnation < incarnation);
    });
  }

  brings(name: string): boolean {
    return this.joins.get(name)?.brings ?? false;
  }

  joined(name: string): void {
    this.joins.delete(name);
  }

  /** Takes in a wish about a member; returns why not, or null. */
  take(wish: Wish, view: View | null): string | null {
    const member = this.members.find(({ name }) => name === wish.node);
    if (!member || !livingMember(view, wish.node)) {
      return `Expected a member of the cluster but received ${wish.node}.`;
    }
    switch (wish.wish) {
      case 'drain':
        if (!this.members.some((other) => other.name !== wish.node && canTakeOver(other))) {
          return `Expected another member that can take the buckets of ${wish.node} but received none.`;
        }
        this.change({ ...member, state: 'draining' });
        break;
      case 'resume':
        if (member.state === 'draining') this.change({ ...member, state: 'member' });
        break;
      case 'weight':
      case 'declare': {
        const wants = wish.wish === 'declare' ? wish.wants : member.wants;
        const { weight } = wish;
        this.change({ ...member, weight, wants });
        // The balance of load begins anew from the weights that somebody asks for.
        if (weight !== member.weight) this.share(new Map());
        break;
      }
      case 'leave':
    }
    return null;
  }

  /** What the balance of load has found: weights by name; those that are not named are as they are. */
  share(shares: ReadonlyMap<string, number>): void {
    this.members = this.members.map((member) => ({
      ...member,
      share: shares.get(member.name) ?? null,
    }));
  }

  /** The members of a new view become the current ones; what was wished of them remains. */
  follow(view: View): void {
    this.members = view.members.map((member) => {
      const wished = this.members.find(({ name }) => name === member.name);
      if (!wished || wished.incarnation !== member.incarnation || !isLiving(member)) return member;
      const { weight, share, wants, state } = wished;
      return { ...member, weight, share, wants, state: state === 'joining' ? member.state : state };
    });
  }

  private change(member: Member): void {
    this.members = this.members.map((each) => (each.name === member.name ? member : each));
  }
}

function canTakeOver({ state, weight }: Member): boolean {
  return (state === 'member' || state === 'joining') && weight > 0;
}
