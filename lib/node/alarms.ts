import type { Counts } from '../native/index.js';
import type { Alarm } from './types.js';

// An alarm is raised when a counter that should stand still grows, and stands until it has been
// still for a while.

interface Rule {
  readonly name: string;
  readonly of: 'counters' | 'drops';
  readonly counter: string;
  readonly message: string;
}

const RULES: readonly Rule[] = [
  {
    name: 'openingShare',
    of: 'counters',
    counter: 'openingUntracked',
    message:
      'Opening packets come faster than connections are established (a flood?): they are decided by their bucket but not ' +
      'entered, until the OPENING entries use less than their share of the table.',
  },
  {
    name: 'tableFull',
    of: 'counters',
    counter: 'fullUntracked',
    message:
      'The table is full: new connections are decided by their bucket but not entered, and would not survive a change of ' +
      'the allocation. Raise tables.connections.',
  },
  {
    name: 'ringFull',
    of: 'drops',
    counter: 'ringFull',
    message:
      'Packets arrive faster than the workers decide them: the kernel drops what finds no room in the ring.',
  },
  {
    name: 'ringTruncated',
    of: 'drops',
    counter: 'ringTruncated',
    message: 'Large packets were lost because the queue behind the ring was full.',
  },
  {
    name: 'deliverFailed',
    of: 'drops',
    counter: 'deliverFailed',
    message: "The delivery device refuses packets that are this node's own.",
  },
];

const STILL_SECONDS = 10;

/** An alarm that was raised or has ended. */
export interface AlarmChange {
  readonly alarm: Alarm;
  readonly raised: boolean;
}

interface Standing {
  readonly alarm: Alarm;
  grewAt: number;
}

/** Watches the counters of one node. Pure: time is handed in. */
export class Alarms {
  private readonly seen = new Map<string, number>();
  private readonly standing = new Map<string, Standing>();

  /** The alarms that stand, the oldest first. */
  list(): readonly Alarm[] {
    return [...this.standing.values()].map(({ alarm }) => alarm);
  }

  /**
   * Compares with what was counted at the last call.
   *
   * @param now - seconds since the Unix epoch
   */
  observe(counted: { counters: Counts; drops: Counts }, now: number): AlarmChange[] {
    const changes: AlarmChange[] = [];
    for (const rule of RULES) {
      const count = counted[rule.of][rule.counter] ?? 0;
      const grew = count > (this.seen.get(rule.name) ?? 0);
      this.seen.set(rule.name, count);
      const standing = this.standing.get(rule.name);
      if (grew && standing) standing.grewAt = now;
      else if (grew) changes.push(this.raise(rule, now));
      else if (standing && now - standing.grewAt >= STILL_SECONDS) {
        this.standing.delete(rule.name);
        changes.push({ alarm: standing.alarm, raised: false });
      }
    }
    return changes;
  }

  private raise({ name, message }: Rule, now: number): AlarmChange {
    const alarm = { name, message, since: now };
    this.standing.set(name, { alarm, grewAt: now });
    return { alarm, raised: true };
  }
}
