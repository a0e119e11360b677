// The words of the cluster protocol: what nodes say to each other, what happens to the core, and
// what it asks for. docs/decisions/cluster-protocol.md says what they mean together.
//
// Times are milliseconds of the node's own monotonic clock, with fractions; epochs and terms are
// counted.
import type { Allocation } from '../allocation/index.js';
import type { ExpectationMessage } from './expected.js';

/** The version of everything that nodes say to each other; nodes of another version are refused. */
export const PROTOCOL_VERSION = 2;

/** One life of a node under its name: a later one is larger. Milliseconds since the Unix epoch. */
export type Incarnation = number;

/** A node in one of its lives. */
export interface Identity {
  readonly name: string;
  readonly incarnation: Incarnation;
}

/** The criteria of the distribution, as far as the core looks at them. */
export interface Criteria {
  /** The same for the same criteria on every node. */
  readonly digest: string;
  readonly buckets: number;
  /**
   * For each rule that gives to a single node, names in the order of priority. Their owners stand
   * behind those of the buckets. Left out where there is none.
   */
  readonly singles?: readonly (readonly string[])[] | undefined;
  /** What the data plane makes criteria of; never looked at here. A JSON value. */
  readonly settings: unknown;
}

/** A member of the cluster. Who has died or left stays in the list, for those who look on. */
export interface Member extends Identity {
  readonly state: 'joining' | 'member' | 'draining' | 'dead' | 'left';
  /** Its share beside the other weights; 0: no buckets. */
  readonly weight: number;
  /** Its weight as the balance of load has it; null: as it is. */
  readonly share: number | null;
  /** The digest of the criteria that its configuration asks for. */
  readonly wants: string;
}

/** What the nodes agree on. */
export interface View {
  readonly epoch: number;
  /** Of the coordinator that made it. */
  readonly term: number;
  readonly criteria: Criteria;
  readonly members: readonly Member[];
  /** Its epoch is the view's. */
  readonly allocation: Allocation;
}

/** The way from one view to the next. */
export interface Transition {
  /** A handover has losers that release; the losers of a takeover are dead, or have left. */
  readonly kind: 'handover' | 'takeover';
  /** The epoch of the view that it begins with. */
  readonly base: number;
  readonly next: View;
  /** The losers of a takeover. */
  readonly dead: readonly string[];
}

/** How far a node is in a transition. */
export type Phase =
  | 'preparing'
  | 'prepared'
  | 'held'
  | 'releasing'
  | 'released'
  | 'acquired'
  | 'taking'
  | 'taken';

/** All that a new coordinator must know of a node. */
export interface NodeState {
  readonly incarnation: Incarnation;
  readonly view: View | null;
  readonly transition: { readonly transition: Transition; readonly phase: Phase } | null;
  /** The highest epoch that it has heard of. */
  readonly epochSeen: number;
  /** Whose death it has consented to, and has not seen decided. */
  readonly consents: readonly Identity[];
  /** Members of its view that a coordinator has told it are over: others have acted on that. */
  readonly over: readonly Identity[];
}

/** What a heartbeat says to one peer. */
export interface Echo extends Identity {
  /** The peer's newest reading that has come; null when none has. */
  readonly echo: number | null;
  /** The newest reading from which on the lease is granted; null: none. */
  readonly grant: number | null;
  /** In the sender's view this life of the peer is over. */
  readonly dead: boolean;
}

/** What every node says to all others, many times a second. */
export interface Heartbeat extends Identity {
  /** The sender's clock when it wrote this. */
  readonly sent: number;
  readonly term: number;
  /** Whom it supports; null: nobody. */
  readonly coordinator: string | null;
  /** The sender is the coordinator of this term. */
  readonly elected: boolean;
  /** Of its view; 0 without one. */
  readonly epoch: number;
  readonly member: boolean;
  /** It would like to be answered at once. */
  readonly urgent: boolean;
  readonly echoes: readonly Echo[];
}

/** A list of records that one node can pull from another. */
export type ListKind =
  /** All connections that the node knows; for a newcomer. */
  | 'tables'
  /** Its own connections; of a newcomer that brings some. */
  | 'own'
  /** The connections that a loser's buckets have and a transition gives to the puller. */
  | 'moving'
  /** Of these, the ones opened since PREPARE. */
  | 'released'
  /** Contested ones, and its own in the buckets of the dead of a takeover. */
  | 'claims'
  /** Own ones of which other nodes may have noted another owner. */
  | 'contested';

/** A wish that only the coordinator can fulfil. */
export type Wish =
  | { readonly wish: 'drain'; readonly node: string }
  | { readonly wish: 'resume'; readonly node: string }
  | { readonly wish: 'weight'; readonly node: string; readonly weight: number }
  /** What the node's own configuration says, after it was read again. */
  | {
      readonly wish: 'declare';
      readonly node: string;
      readonly weight: number;
      readonly wants: string;
    }
  | { readonly wish: 'leave'; readonly node: string; readonly incarnation: Incarnation };

/** What a node says to another. All of them may be lost, overtake others, or be said twice. */
export type Message =
  | { readonly type: 'vote'; readonly term: number; readonly dead: readonly Identity[] }
  | {
      readonly type: 'voted';
      readonly term: number;
      readonly granted: boolean;
      readonly state: NodeState;
    }
  | { readonly type: 'ask'; readonly term: number }
  | { readonly type: 'state'; readonly term: number; readonly state: NodeState }
  | { readonly type: 'suspect'; readonly term: number; readonly dead: readonly Identity[] }
  | {
      readonly type: 'consent';
      readonly term: number;
      /** Of the sender's view; null without one. A later view may have withdrawn the consent. */
      readonly epoch: number | null;
      readonly dead: readonly Identity[];
    }
  | { readonly type: 'prepare'; readonly term: number; readonly transition: Transition }
  | { readonly type: 'hold'; readonly term: number; readonly epoch: number }
  | { readonly type: 'release'; readonly term: number; readonly epoch: number }
  | {
      readonly type: 'acquire';
      readonly term: number;
      readonly epoch: number;
      /** Losers that have died meanwhile: there is no list to wait for. */
      readonly dead: readonly string[];
    }
  | { readonly type: 'takeover'; readonly term: number; readonly transition: Transition }
  | {
      readonly type: 'commit';
      readonly term: number;
      readonly view: View;
      /** Members of the view that a quorum holds to be dead: consents to their death stay. */
      readonly condemned: readonly Identity[];
    }
  | {
      readonly type: 'settle';
      readonly term: number;
      readonly epoch: number;
      readonly from: readonly string[];
    }
  | { readonly type: 'clear'; readonly term: number; readonly epoch: number }
  /** Pull what these newcomers bring. */
  | {
      readonly type: 'sync';
      readonly term: number;
      readonly epoch: number;
      readonly from: readonly string[];
    }
  /** A newcomer may now pull the tables of `donor`; null: nobody has any. */
  | {
      readonly type: 'welcome';
      readonly term: number;
      readonly epoch: number;
      readonly donor: string | null;
    }
  | {
      readonly type: 'done';
      readonly term: number;
      readonly epoch: number;
      /** Which of the coordinator's messages this answers. */
      readonly step: Step;
      /** For `commit`: it has contested connections. */
      readonly contested: boolean;
    }
  | {
      readonly type: 'join';
      readonly incarnation: Incarnation;
      readonly weight: number;
      readonly wants: string;
      /** It has open connections of an earlier life. */
      readonly brings: boolean;
      readonly epochSeen: number;
    }
  /** What a node has counted: nothing that the core looks at. */
  | { readonly type: 'report'; readonly report: Report }
  /** What the active dispatcher decides by: nothing that the core looks at either. */
  | { readonly type: 'targets'; readonly next: DispatchedTargets }
  | ExpectationMessage
  | { readonly type: 'wish'; readonly id: number; readonly wish: Wish }
  | {
      readonly type: 'granted';
      readonly id: number;
      /** Why not, in a sentence; null: it will be done. */
      readonly refused: string | null;
    };

/** The nodes behind a dispatcher, and the allocation between them. */
export interface DispatchedTargets {
  readonly allocation: Allocation;
  readonly nodes: readonly {
    readonly name: string;
    readonly weight: number;
    readonly draining: boolean;
    /** Its health checks fail. */
    readonly down: boolean;
  }[];
}

/** Opening packets that a node has counted under one epoch. */
export interface OpeningCount {
  readonly epoch: number;
  /** All that it has seen, and the sum of their keys' digests modulo 2^64, in decimal digits. */
  readonly seen: number;
  readonly seenSum: string;
  /** Those that it took, and the sum of theirs. */
  readonly taken: number;
  readonly takenSum: string;
}

/** What nodes tell each other every second, for the audit and for the balance of load. */
export interface Report {
  readonly incarnation: Incarnation;
  /** The last epochs, in ascending order. */
  readonly openings: readonly OpeningCount[];
  /** Own connections. */
  readonly connections: number;
  /** Packets delivered per second. */
  readonly packets: number;
  /** Peers whose probes to the cluster MAC have not come for a while. */
  readonly unseen: readonly string[];
}

/** The coordinator's messages that are answered by `done`. */
export type Step =
  | 'prepare'
  | 'hold'
  | 'release'
  | 'acquire'
  | 'takeover'
  | 'commit'
  | 'settle'
  | 'clear'
  | 'sync'
  | 'welcome';

/** Something that happens to the core. */
export type ProtocolEvent =
  /** Time has come to `wakeAt`; harmless at any other time. */
  | { readonly type: 'tick' }
  | { readonly type: 'heartbeat'; readonly heartbeat: Heartbeat }
  | { readonly type: 'message'; readonly from: string; readonly message: Message }
  /** What an action with this token asked for has been done, or could not be. */
  | {
      readonly type: 'done';
      readonly token: number;
      readonly ok: boolean;
      /** Of a `commit`: the data plane has contested connections. */
      readonly contested?: boolean;
    }
  /** Somebody wishes something of the cluster on this node; answered by the action `answer`. */
  | { readonly type: 'wish'; readonly request: number; readonly wish: Wish }
  /**
   * The load asks for another allocation. Heeded only by the coordinator, and only while the view
   * is still the one of that epoch and nothing else is under way.
   */
  | {
      readonly type: 'balance';
      readonly epoch: number;
      readonly allocation: Allocation;
      /** By name, the weights with which a plan leaves that allocation as it is. */
      readonly shares: ReadonlyMap<string, number>;
    }
  /** The configuration was read again. */
  | { readonly type: 'configure'; readonly configured: Configured };

/** What a node's configuration says of the cluster, and may change while it runs. */
export interface Configured {
  /** Names of all nodes, this one among them. */
  readonly nodes: readonly string[];
  readonly weight: number;
  readonly criteria: Criteria;
}

/** What the data plane is asked to do; done in the order of asking, one after the other. */
export type PlaneWork =
  /**
   * Decide by this view from now on; no transition is under way any more. What the dead own goes
   * to the owners of its buckets.
   */
  | { readonly work: 'install'; readonly view: View; readonly dead: readonly string[] }
  | { readonly work: 'prepare'; readonly transition: Transition }
  | { readonly work: 'hold'; readonly epoch: number }
  /** Done when everything that had been received before is decided. */
  | { readonly work: 'release'; readonly epoch: number }
  /**
   * Resolve what is held of these losers' buckets, which are this node's now. The connections of
   * the dead of a takeover go to the next owners of their buckets.
   */
  | {
      readonly work: 'acquire';
      readonly epoch: number;
      readonly from: readonly string[];
      readonly dead: readonly string[];
    }
  /** PREPARE and HOLD in one, of a transition whose losers are dead. */
  | { readonly work: 'takeover'; readonly transition: Transition }
  /** Nothing is contested any more. */
  | { readonly work: 'clear' };

/** Something that the core asks for. */
export type Action =
  /** To all peers, on all paths; `only`: to these. */
  | {
      readonly type: 'heartbeat';
      readonly heartbeat: Heartbeat;
      readonly only: readonly string[] | null;
    }
  | { readonly type: 'send'; readonly to: string; readonly message: Message }
  | { readonly type: 'plane'; readonly token: number; readonly work: PlaneWork }
  /**
   * Pull a list and merge it. `correct`: owners in the list are right, those in the table may not
   * be.
   */
  | {
      readonly type: 'pull';
      readonly token: number;
      readonly from: string;
      readonly kind: ListKind;
      readonly epoch: number;
    }
  /** The data plane may open connections until then; 0: not at all. */
  | { readonly type: 'lease'; readonly until: number }
  /** The answer to the event `wish`: null, or why not. */
  | { readonly type: 'answer'; readonly request: number; readonly refused: string | null }
  | { readonly type: 'notice'; readonly notice: Notice };

/** What those who look on may want to know. */
export type Notice =
  | { readonly notice: 'member'; readonly name: string; readonly state: Member['state'] }
  | { readonly notice: 'view'; readonly view: View; readonly before: View | null }
  | {
      readonly notice: 'handover';
      readonly epoch: number;
      readonly kind: Transition['kind'];
      readonly outcome: 'begun' | 'completed' | 'rolledBack';
    }
  | { readonly notice: 'coordinator'; readonly name: string | null; readonly term: number }
  | { readonly notice: 'suspected' | 'heard'; readonly name: string }
  /** The lease ran out, or came back. */
  | { readonly notice: 'fenced' | 'unfenced' }
  /** This life of the node was declared dead, or had left; it begins another. */
  | { readonly notice: 'life'; readonly incarnation: Incarnation; readonly brings: boolean }
  /** The coordinator waits for an answer. */
  | { readonly notice: 'waiting'; readonly step: Step | 'ask'; readonly names: readonly string[] };

/** Milliseconds. */
export interface Timing {
  readonly heartbeat: number;
  readonly failAfter: number;
  /** Between HELD and RELEASE: how far apart two nodes may see the same packet. */
  readonly guard: number;
}

/** What a core is made with. */
export interface ProtocolOptions extends Identity {
  readonly configured: Configured;
  readonly quorum: 'majority' | 'paths';
  readonly timing: Timing;
  /** It has connections from before this life of the node, and tells the others when it joins. */
  readonly brings?: boolean;
}

/** A peer as a node sees it. */
export interface PeerState extends Identity {
  /** When it was last heard; null: never. */
  readonly heardAt: number | null;
  readonly suspected: boolean;
}

/** What a core shows of itself. */
export interface ProtocolState {
  readonly state: 'joining' | 'member' | 'draining' | 'left' | 'fenced';
  readonly incarnation: Incarnation;
  readonly view: View | null;
  readonly term: number;
  readonly coordinator: string | null;
  /** This node is it, and has asked everybody. */
  readonly coordinating: boolean;
  readonly transition: { readonly transition: Transition; readonly phase: Phase } | null;
  /** What this node, as coordinator, waits for; null when for nothing. */
  readonly waiting: {
    readonly step: Step;
    readonly names: readonly string[];
    readonly since: number;
  } | null;
  readonly peers: readonly PeerState[];
  readonly completed: number;
  readonly rolledBack: number;
}

/** The seam between a node and whatever agrees on views for it: `peers` is built in. */
export interface Coordination {
  /**
   * Takes in what happened at `now` and returns what is to be done about it. `now` never goes
   * back.
   */
  handle(event: ProtocolEvent, now: number): Action[];
  /** When it wants its next `tick`. */
  readonly wakeAt: number;
  /** This node may serve that list to a peer at this moment. */
  serves(kind: ListKind, epoch: number, to: string): boolean;
  state(now: number): ProtocolState;
}
