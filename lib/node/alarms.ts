import type { Counts } from '../native/index.js';
import type { Condition } from './conditions.js';
import type { Alarm } from './types.js';

// An alarm is raised when a counter that should stand still grows, or when something is wrong with
// the cluster (conditions.ts); it stands until neither has been so for a while.

interface Rule {
  readonly name: string;
  readonly of: 'counters' | 'drops' | 'refused';
  /** Any of these. */
  readonly words: readonly string[];
  readonly message: string;
}

const RULES: readonly Rule[] = [
  {
    name: 'openingShare',
    of: 'counters',
    words: ['openingUntracked'],
    message:
      'Opening packets come faster than connections are established (a flood?): they are decided by their bucket but not ' +
      'entered, until the OPENING entries use less than their share of the table.',
  },
  {
    name: 'tableFull',
    of: 'counters',
    words: ['fullUntracked'],
    message:
      'The table is full: new connections are decided by their bucket but not entered, and would not survive a change of ' +
      'the allocation. Raise tables.connections.',
  },
  {
    name: 'ringFull',
    of: 'drops',
    words: ['ringFull'],
    message:
      'Packets arrive faster than the workers decide them: the kernel drops what finds no room in the ring.',
  },
  {
    name: 'ringTruncated',
    of: 'drops',
    words: ['ringTruncated'],
    message: 'Large packets were lost because the queue behind the ring was full.',
  },
  {
    name: 'deliverFailed',
    of: 'drops',
    words: ['deliverFailed'],
    message: "The delivery device refuses packets that are this node's own.",
  },
  {
    name: 'holdDropped',
    of: 'drops',
    words: ['holdFull', 'holdExpired'],
    message:
      'Opening packets were dropped because a handover held them for too long, or too many of them: their clients try ' +
      'again. Look at sync.hold, sync.holdBytes, and at how long nodes take to answer each other.',
  },
  {
    name: 'duplicateName',
    of: 'refused',
    words: ['address'],
    message:
      'Somebody speaks in the name of a node from an address that is not its own; the log says who. Do two machines have the ' +
      'same node name, or has a node another address than the configuration says?',
  },
  {
    name: 'wrongSecret',
    of: 'refused',
    words: ['secret', 'forged'],
    message:
      'Somebody speaks to this node with a secret that it does not have; the log says who. Do all nodes have the same ' +
      'secret.file?',
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
  readonly trueAt: number;
}

/** What a node has counted. */
export interface Counted {
  readonly counters: Counts;
  readonly drops: Counts;
  /** What came from the network and was refused, by reason. */
  readonly refused?: Counts | undefined;
}

/** Watches one node. Pure: time is handed in. */
export class Alarms {
  private readonly seen = new Map<string, number>();
  private readonly standing = new Map<string, Standing>();

  /** The alarms that stand, the oldest first. */
  list(): readonly Alarm[] {
    return [...this.standing.values()].map(({ alarm }) => alarm);
  }

  /**
   * Compares with what was counted at the last call, and with what was wrong.
   *
   * @param now - seconds since the Unix epoch
   * @param conditions - what is wrong at this moment
   */
  observe(counted: Counted, now: number, conditions: readonly Condition[] = []): AlarmChange[] {
    const current = [...RULES.filter((rule) => this.hasGrown(rule, counted)), ...conditions];
    const changes = current.flatMap((each) => this.stand(each, now));
    for (const [name, { alarm, trueAt }] of this.standing) {
      if (now - trueAt < STILL_SECONDS) continue;
      this.standing.delete(name);
      changes.push({ alarm, raised: false });
    }
    return changes;
  }

  private hasGrown({ name, of, words }: Rule, counted: Counted): boolean {
    const count = words.reduce((sum, word) => sum + (counted[of]?.[word] ?? 0), 0);
    const grew = count > (this.seen.get(name) ?? 0);
    this.seen.set(name, count);
    return grew;
  }

  /** Raises an alarm, or keeps the one that stands; whom it concerns may have changed. */
  private stand({ name, message }: Condition, now: number): AlarmChange[] {
    const standing = this.standing.get(name);
    const alarm = { name, message, since: standing?.alarm.since ?? now };
    this.standing.set(name, { alarm, trueAt: now });
    return standing ? [] : [{ alarm, raised: true }];
  }
}
