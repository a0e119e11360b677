import { FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import type { ListBlock, ListedKind, Peers } from '../peers/index.js';
import type {
  Action,
  Coordination,
  Heartbeat,
  ListKind,
  Message,
  Notice,
  ProtocolEvent,
  ProtocolState,
  Wish,
} from '../protocol/index.js';
import { monotonicMs } from './clock.js';
import type { Plane } from './plane.js';

// The thin shell around the protocol's core: it brings it what happens, with the time, and does
// what it asks for. Nothing is decided here.
//
//   peers --heartbeat, message--> core --send, heartbeat--> peers
//   timer --tick----------------> core --plane, lease-----> plane (engine)
//   commands --wish-------------> core --pull-------------> peers, then plane
//                                 core --notice-----------> node: log, events, status

/** What a shell joins together. */
export interface ShellParts {
  readonly coordination: Coordination;
  readonly plane: Plane;
  readonly logger: Logger;
  onNotice(notice: Notice): void;
  /** A block of the expectations that belong to a member's tables. */
  onExpected(block: ListBlock): Promise<void>;
}

export class Shell {
  private readonly parts: ShellParts;
  private peers: Peers | null = null;
  private begun = false;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private readonly answers = new Map<number, (refused: string | null) => void>();
  private requests = 0;

  constructor(parts: ShellParts) {
    this.parts = parts;
  }

  /** The way to the peers; null while the node is its whole cluster. */
  speakTo(peers: Peers | null): void {
    this.peers = peers;
  }

  /** From now on time passes for the core. */
  begin(): void {
    this.begun = true;
    this.feed({ type: 'tick' });
  }

  /** Nothing reaches the core any more. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  /** What the core shows of itself at this moment. */
  state(): ProtocolState {
    return this.parts.coordination.state(monotonicMs());
  }

  heartbeat(heartbeat: Heartbeat): void {
    this.feed({ type: 'heartbeat', heartbeat });
  }

  message(from: string, message: Message): void {
    this.feed({ type: 'message', from, message });
  }

  /** The list that a peer may have now, or null. */
  serve(to: string, kind: ListedKind, epoch: number): AsyncIterable<ListBlock> | null {
    const { coordination, plane } = this.parts;
    if (kind === 'expected') {
      return coordination.serves('tables', epoch, to) ? plane.expectations() : null;
    }
    return coordination.serves(kind, epoch, to) ? plane.list(kind, to) : null;
  }

  /** Pulls and merges what that node has contested, beside what the core asks for. */
  async pullContested(from: string): Promise<void> {
    const epoch = this.state().view?.epoch ?? 0;
    await this.pull(from, 'contested', epoch);
  }

  /**
   * Wishes something of the cluster; resolves when the coordinator has agreed to see to it.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE with the reason why it will not
   */
  wish(wish: Wish): Promise<void> {
    const request = ++this.requests;
    return new Promise((resolve, reject) => {
      this.answers.set(request, (refused) => {
        if (refused === null) resolve();
        else reject(new FlowsieveError('FLOWSIEVE_STATE', refused));
      });
      this.feed({ type: 'wish', request, wish });
    });
  }

  /** Hands an event to the core and does what it asks for. */
  feed(event: ProtocolEvent): void {
    if (this.closed || !this.begun) return;
    const { coordination } = this.parts;
    for (const action of coordination.handle(event, monotonicMs())) this.perform(action);
    clearTimeout(this.timer);
    const wait = Math.max(0, Math.ceil(coordination.wakeAt - monotonicMs()));
    if (Number.isFinite(wait)) this.timer = setTimeout(() => this.feed({ type: 'tick' }), wait);
  }

  private perform(action: Action): void {
    const { plane, onNotice } = this.parts;
    switch (action.type) {
      case 'heartbeat':
        this.peers?.sendHeartbeat(action.heartbeat, action.only);
        break;
      case 'send':
        this.peers?.send(action.to, action.message);
        break;
      case 'plane':
        this.follow(action.token, plane.do(action.work), action.work.work);
        break;
      case 'pull':
        this.follow(action.token, this.pull(action.from, action.kind, action.epoch), action.kind);
        break;
      case 'lease':
        plane.lease(action.until);
        break;
      case 'answer':
        this.answers.get(action.request)?.(action.refused);
        this.answers.delete(action.request);
        break;
      case 'notice':
        onNotice(action.notice);
        break;
    }
  }

  private async pull(from: string, kind: ListKind, epoch: number): Promise<{ contested: boolean }> {
    const { plane, onExpected } = this.parts;
    if (kind === 'tables') {
      // First: what this node notes from then on it notes rightly, and what it has noted until
      // then the tables correct.
      await this.peers?.pull(from, { kind: 'expected', epoch }, onExpected);
    }
    await this.peers?.pull(from, { kind, epoch }, async (block) => {
      await plane.merge(block, kind);
    });
    return { contested: false };
  }

  /** Tells the core what has become of something that it has asked for. */
  private follow(token: number, done: Promise<{ contested: boolean }>, what: string): void {
    done.then(
      ({ contested }) => this.feed({ type: 'done', token, ok: true, contested }),
      (error: unknown) => {
        this.parts.logger.debug({ err: error, what }, 'not done');
        this.feed({ type: 'done', token, ok: false });
      },
    );
  }
}
