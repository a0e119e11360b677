// What a running node shows of itself: the contract of `status --json`, `connections --json` and
// `allocation --json`, of the admin server's answers, and of the TypeScript API. Fields are added
// here, never renamed: scripts outside rely on them.
//
// Times are seconds, as in `replay --json`: since the Unix epoch, or a duration, always
// with their fraction.
import type { DispatchStatus } from '../dispatch/index.js';
import type { GuardStatus, HostChange } from '../host/index.js';

/** What a node is doing in its cluster. */
export type NodeState = 'joining' | 'member' | 'draining' | 'left' | 'fenced';

/** What a node knows of a member of its cluster. */
export type MemberState = 'joining' | 'member' | 'draining' | 'dead' | 'left';

/** A member of the cluster as this node sees it. */
export interface MemberStatus {
  readonly name: string;
  readonly state: MemberState;
  readonly weight: number;
  /** How many buckets it owns. */
  readonly buckets: number;
  /**
   * When it was last heard; null when it never was.
   */
  readonly lastSeen: number | null;
}

/** The connection table, all workers together. */
export interface TablesStatus {
  readonly own: number;
  readonly others: number;
  readonly capacity: number;
  readonly opening: number;
  readonly established: number;
  readonly closing: number;
}

/** Handovers since the start. */
export interface HandoverStatus {
  readonly completed: number;
  readonly rolledBack: number;
  /** Packets that were held. */
  readonly held: number;
  /** Packets that were dropped because the hold was full or took too long. */
  readonly heldDropped: number;
}

/** One worker thread. */
export interface WorkerStatus {
  readonly tables: TablesStatus;
  readonly counters: Readonly<Record<string, number>>;
  readonly drops: Readonly<Record<string, number>>;
  readonly fragmentsWaiting: number;
  readonly memoryBytes: number;
}

/** Memory of the process, bytes. */
export interface MemoryStatus {
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Tables, timers and queues of the workers. */
  readonly nativeBytes: number;
}

/** What is set on the host. */
export interface HostStatus {
  readonly changes: readonly HostChange[];
  /** Null when it could not be asked. */
  readonly guard: GuardStatus | null;
}

/** Something that an operator should look at, while it lasts. */
export interface Alarm {
  /** One word for programs, for example `tableFull`. */
  readonly name: string;
  /** One sentence for people. */
  readonly message: string;
  readonly since: number;
}

/** The allocation in short. */
export interface AllocationSummary {
  readonly epoch: number;
  readonly buckets: number;
  /** Owned by this node. */
  readonly own: number;
}

/** A port rule that the cluster goes by. */
export interface RuleView {
  /** Its place in the list, from 1. */
  readonly number: number;
  /** In words, for example `tcp 443: single node-2, node-1`. */
  readonly text: string;
  readonly do: 'distribute' | 'single' | 'refuse' | 'pass';
  /** Which node has it, when a single one does; null otherwise. */
  readonly owner: string | null;
}

/** The six packet classes of the decision. */
export type PacketClass = '1' | '2' | '3' | '4' | '5' | '6';

/** All of a node at one moment. */
export interface Status {
  readonly cluster: string;
  readonly node: string;
  readonly state: NodeState;
  readonly epoch: number;
  /** The name of the coordinating node; null while there is none. */
  readonly coordinator: string | null;
  readonly members: readonly MemberStatus[];
  readonly tables: TablesStatus;
  readonly classes: Readonly<Record<PacketClass, number>>;
  /** By drop reason; those that did not occur are left out. */
  readonly drops: Readonly<Record<string, number>>;
  readonly handover: HandoverStatus;
  readonly uptime: number;

  readonly version: string;
  readonly pid: number;
  readonly interface: string;
  readonly addresses: readonly string[];
  /** By counter, all workers together; the words are {@link CounterVocabulary}'s. */
  readonly counters: Readonly<Record<string, number>>;
  readonly workers: readonly WorkerStatus[];
  readonly memory: MemoryStatus;
  readonly host: HostStatus;
  readonly alarms: readonly Alarm[];
  readonly allocation: AllocationSummary;
  /** In their order; those that the nodes agree on, which may not be this configuration's yet. */
  readonly rules: readonly RuleView[];
}

/** What is known of a connection's life. */
export type ConnectionStatusName = 'OPENING' | 'ESTABLISHED' | 'CLOSING';

/** One end of a connection. */
export interface EndpointView {
  readonly address: string;
  readonly port: number;
}

/** A connection in the table; the words are those of `replay --json`. */
export interface ConnectionView {
  readonly protocol: string;
  readonly protocolNumber: number;
  readonly client: EndpointView;
  readonly server: EndpointView;
  readonly opened: 'opening' | 'midstream';
  readonly status: ConnectionStatusName;
  readonly closedBy: 'fin' | 'rst' | null;
  /** From `distribution.buckets` on: that of a rule for a single node. */
  readonly bucket: number;
  /** The name of the node that is responsible. */
  readonly owner: string;
  /** This node is. */
  readonly own: boolean;
  /** Of the allocation when the connection was entered. */
  readonly epoch: number;
  readonly firstSeen: number;
  readonly lastSeen: number;
}

/** Connections with this end; what is left out may be anything. */
export interface EndpointFilter {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

/** Which connections are wanted, and how many at once. */
export interface ConnectionsQuery {
  /** Connections on one page, at most. */
  readonly limit: number;
  /** Where the page before ended; without it, the first page. */
  readonly cursor?: string | undefined;
  /** A name of `replay --json`, or a protocol number. */
  readonly protocol?: string | number | undefined;
  /** A node's name. */
  readonly owner?: string | undefined;
  readonly status?: ConnectionStatusName | undefined;
  readonly client?: EndpointFilter | undefined;
  readonly server?: EndpointFilter | undefined;
}

/**
 * Some of the connections. A page can be short, even empty, and still not be the last: only
 * `cursor` tells. What is in the table all the while comes exactly once; what is entered or removed
 * between two pages may come or not.
 */
export interface ConnectionsPage {
  readonly connections: readonly ConnectionView[];
  /** To be handed in for the next page; null after the last. */
  readonly cursor: string | null;
}

/** One end of connections that are expected; what is left out may be anything. */
export interface ExpectedEndRequest {
  /** An address, or one with the length of its prefix: 198.51.100.0/24. */
  readonly address?: string | undefined;
  /** From 0 to 65535; of ICMP queries the client's is the identifier. */
  readonly port?: number | undefined;
}

/** Which connections are to be this node's, whatever their bucket. */
export interface ExpectationRequest {
  /** tcp, udp, sctp, icmp, icmp6, or a protocol number. */
  readonly protocol: string | number;
  /** Who sends the packet that opens the connection. */
  readonly client?: ExpectedEndRequest | undefined;
  /** To whom it is sent: in a cluster of servers a cluster address. */
  readonly server?: ExpectedEndRequest | undefined;
  /** Seconds until it ends, from 0.001 to 86400; default 60. */
  readonly lifetime?: number | undefined;
  /** It ends as soon as this node has seen it matched; default false. */
  readonly once?: boolean | undefined;
}

/** An expectation, this node's or another's. */
export interface ExpectationView {
  readonly type: 'expectation';
  /** Of the owner's making; with its name it is the only one. */
  readonly id: number;
  readonly owner: string;
  readonly own: boolean;
  readonly protocol: string;
  readonly protocolNumber: number;
  /** Null: any. */
  readonly client: { readonly address: string | null; readonly port: number | null };
  readonly server: { readonly address: string | null; readonly port: number | null };
  readonly once: boolean;
  /** `active`: matching connections are the owner's; it is coming or going otherwise. */
  readonly state: 'pending' | 'active' | 'ending';
  readonly expires: number;
  /** Packets of unknown connection that have met it on this node. */
  readonly matched: number;
}

/** Why an expectation is over. */
export type ExpectationEnd = 'withdrawn' | 'expired' | 'matched' | 'failed' | 'life';

/** The expectations in short. */
export interface ExpectationsStatus {
  readonly own: number;
  readonly others: number;
  /** This node's since the start: those that came about, and those that did not. */
  readonly registered: number;
  readonly refused: number;
  /** Those that are over, by why. */
  readonly ended: Readonly<Record<ExpectationEnd, number>>;
}

/** The allocation in full. */
export interface AllocationView {
  readonly epoch: number;
  readonly buckets: number;
  /** Nodes by index. */
  readonly names: readonly string[];
  /** For every bucket the index of its owner in `names`. */
  readonly owners: readonly number[];
  readonly shares: readonly {
    readonly name: string;
    readonly weight: number;
    readonly buckets: number;
  }[];
  /** In their order. */
  readonly rules: readonly RuleView[];
}

/**
 * The words of the counters and drop reasons with their sentences; they come from
 * native/count/counters.h.
 */
export interface CounterVocabulary {
  readonly counters: readonly { readonly name: string; readonly text: string }[];
  readonly drops: readonly { readonly name: string; readonly text: string }[];
}

/** A node as its administration sees it. */
export interface Administered {
  readonly vocabulary: CounterVocabulary;
  status(): Promise<Status>;
  /** @throws FlowsieveError FLOWSIEVE_ARGUMENT for a cursor that was not this node's. */
  connections(query: ConnectionsQuery): Promise<ConnectionsPage>;
  allocation(): AllocationView;
}

/** What happens when the deadline of a drain has come. */
export type DrainEnd = 'leave' | 'wait' | 'reset';

/** How far a draining node is. */
export interface DrainStatus {
  readonly since: number;
  /** When the open connections are given up; null: never, it waits for the last one. */
  readonly deadline: number | null;
  readonly then: DrainEnd;
  /** Own connections that are still open. */
  readonly connections: number;
  /** Age of the oldest of them; null without any. */
  readonly oldest: number | null;
  /** Seconds until the last one ends, if they go on ending as of late; null: nobody can tell. */
  readonly estimate: number | null;
  /** What is left in each bucket that has something left. */
  readonly buckets: readonly { readonly bucket: number; readonly connections: number }[];
}

/** A peer as this node hears it. */
export interface PeerPaths {
  readonly name: string;
  /** Messages to it would leave now. */
  readonly connected: boolean;
  /** When it was last heard on the sync network and on the capture interface; null: never. */
  readonly paths: { readonly sync: number | null; readonly wire: number | null };
}

/**
 * What came of an epoch's opening packets. `counting`: it is the epoch in force. `incomplete`: not
 * every node has said what it counted. `unlike`: the nodes have not seen the same packets, so
 * that nobody can tell. `exact`: each was taken once. `differs`: some were not, or twice.
 */
export type AuditVerdict = 'counting' | 'incomplete' | 'unlike' | 'exact' | 'differs';

/** The opening packets of one epoch. */
export interface AuditEpoch {
  readonly epoch: number;
  readonly verdict: AuditVerdict;
  /** The most that any node has seen. */
  readonly seen: number;
  /** What all nodes together have taken. */
  readonly taken: number;
  readonly nodes: readonly {
    readonly name: string;
    readonly seen: number;
    readonly taken: number;
  }[];
}

/** Whether each opening packet was taken exactly once, by what the nodes tell each other. */
export interface AuditView {
  /** In ascending order. */
  readonly epochs: readonly AuditEpoch[];
  /** Members that have told nothing. */
  readonly silent: readonly string[];
}

/** The audit in short: how many epochs came out how. */
export type AuditSummary = Readonly<Record<AuditVerdict, number>>;

/** How a node is to compare; what is left out comes from its configuration. */
export interface ReconcileRequest {
  /** To change nothing, and only say what would be. */
  readonly dryRun?: boolean | undefined;
  /** Connections to name, at most. */
  readonly limit?: number | undefined;
}

/**
 * What became of a connection in a comparison. `dropped`: it has no socket any more, and its entry
 * is gone. `closed`: it has none, and its entry stays, since other nodes may have one. `restored`:
 * it has a socket and got an entry. `unmatched`: it has a socket, but is not this node's by its
 * table or bucket. `noRoom`: it has a socket, and the table has no place.
 */
export type ReconcileOutcome = 'dropped' | 'closed' | 'restored' | 'unmatched' | 'noRoom';

/** A connection that was not kept as it was. */
export interface ReconciledConnection {
  readonly outcome: ReconcileOutcome;
  readonly protocol: string;
  readonly protocolNumber: number;
  readonly client: EndpointView;
  readonly server: EndpointView;
}

/** A comparison of the own table with the operating system's list in short. */
export interface ReconcileSummary {
  readonly at: number;
  /** Seconds. */
  readonly took: number;
  /** Nothing was changed: the numbers say what would have been. */
  readonly dryRun: boolean;
  /** Own connections that were compared. */
  readonly checked: number;
  readonly dropped: number;
  readonly closed: number;
  readonly restored: number;
  readonly unmatched: number;
  readonly noRoom: number;
  /** Above 0: more were missing than a round drops; the rest comes with the next ones. */
  readonly left: number;
  /** Sockets that the operating system has told of. */
  readonly sockets: number;
  /** Translated connections that it has told of. */
  readonly tracked: number;
  /** Answers of it that could not be read. */
  readonly malformed: number;
  /** Translated connections were asked for, and told of. */
  readonly conntrack: boolean;
}

/** A comparison, with the connections that it has not left as they were; at most as many as asked. */
export interface ReconcileView extends ReconcileSummary {
  readonly connections: readonly ReconciledConnection[];
}

/** What the FTP helper has done since the start. */
export interface FtpStatus {
  /** Data connections that control connections have announced. */
  readonly announced: number;
  /** Those announced for somebody else than the peer, which are not expected. */
  readonly foreign: number;
  /** Those that could not be expected. */
  readonly failed: number;
  /** Packets kept back until all nodes knew; that went on without; that were lost. */
  readonly held: number;
  readonly expired: number;
  readonly dropped: number;
}

/** All of a node that speaks with others. */
export interface ClusterStatus extends Status {
  /** The last comparison with the operating system's list; null without `tracking: os`. */
  readonly os: ReconcileSummary | null;
  /** Null while the node does not drain. */
  readonly drain: DrainStatus | null;
  readonly peers: readonly PeerPaths[];
  readonly audit: AuditSummary;
  /** The nodes behind this dispatcher; only with topology dispatcher. */
  readonly dispatcher?: DispatchStatus;
  readonly expectations: ExpectationsStatus;
  /** Null without the helper. */
  readonly ftp: FtpStatus | null;
}

/** How a node is to drain; what is left out comes from its configuration. */
export interface DrainRequest {
  /** Seconds until open connections are given up. */
  readonly deadline?: number | undefined;
  /** False: to resolve as soon as the cluster has agreed, instead of when the node has left. */
  readonly wait?: boolean | undefined;
  /** Of a dispatcher: the node behind it that is to drain; it stays there, without new connections. */
  readonly node?: string | undefined;
}

/** Something that happened in the cluster, as this node came to know it. */
export type ClusterEvent = { readonly at: number } & (
  | { readonly event: 'member'; readonly name: string; readonly state: MemberState }
  | { readonly event: 'allocation'; readonly epoch: number; readonly movedBuckets: number }
  | {
      readonly event: 'handover';
      readonly epoch: number;
      readonly kind: 'handover' | 'takeover';
      readonly outcome: 'begun' | 'completed' | 'rolledBack';
    }
  | { readonly event: 'coordinator'; readonly name: string | null; readonly term: number }
  | { readonly event: 'alarm'; readonly name: string; readonly raised: boolean }
  /** To a node behind this dispatcher. */
  | {
      readonly event: 'node';
      readonly name: string;
      readonly change: 'up' | 'down' | 'draining' | 'resumed';
      readonly found: string;
    }
);

/** A node of a cluster as its administration sees it: it can also be told to do something. */
export interface ClusterAdministered extends Administered {
  status(): Promise<ClusterStatus>;
  /**
   * Gives this node's buckets to the others, waits for its open connections, and leaves.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE when it drains already, or nobody can take the buckets
   */
  drain(request?: DrainRequest): Promise<void>;
  /**
   * Ends a drain, or comes back after one; of a dispatcher, the drain of the `node` behind it.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE when it neither drains nor has left
   */
  resume(node?: string): Promise<void>;
  /**
   * Changes a member's weight until its configuration says otherwise.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE for a node that is no member
   */
  weight(node: string, weight: number): Promise<void>;
  /**
   * Compares the own table with the operating system's list of open connections now.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE without `tracking: os`, or for a node that is no member
   */
  reconcile(request?: ReconcileRequest): Promise<ReconcileView>;
  audit(): AuditView;
  /**
   * Makes connections this node's, whatever their bucket. When it resolves, all nodes know it: who
   * is told of it now may connect.
   *
   * @throws FlowsieveError FLOWSIEVE_ARGUMENT for what cannot be expected; FLOWSIEVE_FULL when there
   * is no room for more; FLOWSIEVE_STATE when another expectation has the same identifiers (where
   * both are met `once`, the other has 2 s to end), or this node is no member; FLOWSIEVE_TIMEOUT when a member did not answer, and the expectation is gone
   */
  expect(request: ExpectationRequest): Promise<ExpectationView>;
  /**
   * Ends an expectation of this node. Connections that have met it stay.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE when this node has none with that id; FLOWSIEVE_TIMEOUT
   * when a member did not answer yet: it ends all the same
   */
  unexpect(id: number): Promise<void>;
  /** All that this node knows of, its own and others'. */
  expectations(): Promise<readonly ExpectationView[]>;
  /** The last ones, the newest last; bounded. */
  events(): readonly ClusterEvent[];
}
