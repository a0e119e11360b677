import type { EventEmitter } from 'node:events';
import { movedBuckets } from '../allocation/index.js';
import type { DispatchEvent } from '../dispatch/index.js';
import type { Logger } from '../log/index.js';
import { living, type Notice, type View } from '../protocol/index.js';
import type { AlarmChange } from './alarms.js';
import type { ClusterEvent, ConnectionView, ExpectationEnd, MemberState } from './types.js';
import { bucketsOfView } from './views.js';

// What happens in the cluster: into the log, to those who listen, and into a short memory for
// those who ask later.

/** What a node tells those who listen. */
export interface NodeEvents {
  /** The allocation has changed; these buckets have another owner now. */
  allocation: [{ epoch: number; movedBuckets: readonly number[] }];
  /** A node's part in the cluster has changed. */
  member: [{ name: string; state: MemberState }];
  /** A change of the allocation has begun, is done, or was undone. */
  handover: [
    {
      epoch: number;
      kind: 'handover' | 'takeover';
      outcome: 'begun' | 'completed' | 'rolledBack';
    },
  ];
  /** An alarm was raised, or has ended. */
  alarm: [AlarmChange];
  /** Something has happened to a node behind this dispatcher. */
  node: [DispatchEvent];
  /** One of the connections that were entered lately: a sample, not all. */
  connection: [ConnectionView];
  /** One of this node's expectations is over. */
  expectation: [{ id: number; why: ExpectationEnd }];
}

/** Each of the union without its time. */
type WithoutTime<Event> = Event extends unknown ? Omit<Event, 'at'> : never;

/** Events that are kept. */
const EVENTS_MAX = 256;
/** Epochs whose members are remembered: more than any node counts. */
const EPOCHS_MAX = 64;

export class Chronicle {
  private readonly happened: ClusterEvent[] = [];
  private readonly members = new Map<number, readonly string[]>();

  constructor(
    private readonly logger: Logger,
    private readonly listeners: EventEmitter<NodeEvents>,
  ) {}

  /** The last events, the newest last. */
  events(): readonly ClusterEvent[] {
    return this.happened;
  }

  /** The members of one of the last epochs; undefined when it was before this node's time. */
  membersOf(epoch: number): readonly string[] | undefined {
    return this.members.get(epoch);
  }

  /** What the protocol has to say. */
  heed(notice: Notice): void {
    const { logger } = this;
    switch (notice.notice) {
      case 'view':
        this.allocation(notice.view, notice.before);
        break;
      case 'member':
        logger.info({ member: notice.name, state: notice.state }, 'member');
        this.listeners.emit('member', { name: notice.name, state: notice.state });
        this.remember({ event: 'member', name: notice.name, state: notice.state });
        break;
      case 'handover': {
        const { epoch, kind, outcome } = notice;
        logger.info({ epoch, kind, outcome }, 'handover');
        this.listeners.emit('handover', { epoch, kind, outcome });
        this.remember({ event: 'handover', epoch, kind, outcome });
        break;
      }
      case 'life':
        if (notice.brings) logger.warn('The others have declared this node dead; it joins again.');
        break;
      case 'coordinator':
        logger.info({ coordinator: notice.name, term: notice.term }, 'coordinator');
        this.remember({ event: 'coordinator', name: notice.name, term: notice.term });
        break;
      case 'waiting':
        logger.warn({ step: notice.step, for: notice.names }, 'the coordinator waits');
        break;
      case 'fenced':
        logger.warn('The lease has run out: no connections are opened until a quorum is heard.');
        break;
      case 'unfenced':
        logger.info('the lease runs');
        break;
      case 'suspected':
      case 'heard':
        logger.info({ peer: notice.name }, notice.notice);
        break;
    }
  }

  alarm(change: AlarmChange): void {
    const { alarm, raised } = change;
    if (raised) this.logger.warn({ alarm: alarm.name }, alarm.message);
    else this.logger.info({ alarm: alarm.name }, 'alarm ended');
    this.listeners.emit('alarm', change);
    this.remember({ event: 'alarm', name: alarm.name, raised });
  }

  /** Something has happened to a node behind this dispatcher. */
  node(event: DispatchEvent): void {
    const { name, change, found } = event;
    if (change === 'down') this.logger.warn({ node: name, found }, 'node down');
    else this.logger.info({ node: name, found }, `node ${change}`);
    this.listeners.emit('node', event);
    this.remember(event);
  }

  private allocation(view: View, before: View | null): void {
    const { epoch } = view;
    this.members.set(
      epoch,
      living(view).map(({ name }) => name),
    );
    this.members.delete(epoch - EPOCHS_MAX);
    const moved = before ? movedBetween(before, view) : [];
    this.logger.info({ epoch, moved: moved.length }, 'allocation');
    this.listeners.emit('allocation', { epoch, movedBuckets: moved });
    this.remember({ event: 'allocation', epoch, movedBuckets: moved.length });
  }

  private remember(event: WithoutTime<ClusterEvent>): void {
    this.happened.push({ at: Date.now() / 1000, ...event });
    if (this.happened.length > EVENTS_MAX) this.happened.shift();
  }
}

/** Buckets that have changed hands; by another number of buckets, all of them. */
function movedBetween(before: View, after: View): readonly number[] {
  const buckets = bucketsOfView(after);
  if (before.criteria.buckets !== after.criteria.buckets) return [...buckets.owners.keys()];
  return movedBuckets(bucketsOfView(before), buckets);
}
