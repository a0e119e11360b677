// What whoever runs a node hands in, and sees.
import type { Logger } from '../log/index.js';
import type { Heartbeat, Identity, Message } from '../protocol/index.js';
import type { ListRequest } from './frames.js';
import type { Refusal } from './refusals.js';
import type { HeartbeatPath } from './seal.js';

/** The capture interface as a path of heartbeats. */
export interface WirePath {
  /** False when the frame could not be sent. */
  send(payload: Uint8Array): boolean;
  /** `source` is only shown. The payload is the taker's own. */
  onFrame(take: (payload: Buffer, source: string) => void): void;
  close(): void;
}

/** A part of a list. */
export interface ListBlock {
  /**
   * Whole records of 64 bytes, made when the block was asked for and not before; none: only time
   * has passed. Of a pulled block: valid until `onBlock` is done with it. Of a given
   * one: not to be written into again.
   */
  readonly records: Buffer;
  /** The sender's tick: the records' times are to be seen beside it. */
  readonly now: number;
  /** What the sender's indexes of owners mean; it only ever grows. */
  readonly names: readonly string[];
}

/** A node and its address on the sync network. */
export interface PeerAddress {
  readonly name: string;
  readonly address: string;
}

/** Milliseconds and numbers that bound what a peer can cost. */
export interface Limits {
  /** From the first packet of a connection to its HELLO. */
  readonly handshakeMs: number;
  /** Without a sign of life on a connection. */
  readonly silenceMs: number;
  /** The same while heartbeats of the peer come in. */
  readonly staleMs: number;
  /** Without progress of a list, on either side. */
  readonly stallMs: number;
  /** How old the records of a list may be when they are taken. */
  readonly listAgeMs: number;
  /** Between two dials, at first and at most. */
  readonly redialMs: readonly [first: number, most: number];
  /** How long a message waits for a connection. */
  readonly waitMs: number;
  /** How many of them, and how many bytes may wait on a connection. */
  readonly waitingMax: number;
  readonly queuedBytesMax: number;
  /** Connections of one address that have not said HELLO. */
  readonly handshakesMax: number;
  /** Lists that one peer is given at the same time. */
  readonly listsMax: number;
}

/** What {@link Limits} are unless others are handed in. */
export const DEFAULT_LIMITS: Limits = {
  handshakeMs: 3000,
  silenceMs: 3000,
  staleMs: 1000,
  stallMs: 5000,
  listAgeMs: 250,
  redialMs: [100, 5000],
  waitMs: 1000,
  waitingMax: 64,
  queuedBytesMax: 16 * 1024 * 1024,
  handshakesMax: 8,
  listsMax: 4,
};

/** What may change while a node runs. */
export interface PeersConfiguration {
  /** All nodes, this one among them. */
  readonly nodes: readonly PeerAddress[];
  /** The first one signs; all are accepted. */
  readonly secrets: readonly Buffer[];
}

/** What `Peers` is made with. */
export interface PeersOptions extends PeersConfiguration {
  readonly cluster: string;
  readonly self: Identity;
  /** For UDP and TCP, on this node's own address; the same on all nodes. */
  readonly port: number;
  /** Null: there is no second path. */
  readonly wire: WirePath | null;
  /** Nodes that hash by another layout are refused. */
  readonly hashLayoutVersion: number;
  /** The MTU of the capture interface. */
  readonly linkMtu?: number;
  readonly logger: Logger;
  readonly limits?: Partial<Limits>;
  /** Authentic, new, and of the sender's latest life; the same one may come on both paths. */
  onHeartbeat(heartbeat: Heartbeat, path: HeartbeatPath): void;
  onMessage(from: string, message: Message): void;
  /** The list that `to` may have now, or null. */
  onList(to: string, request: ListRequest): AsyncIterable<ListBlock> | null;
}

/** A peer as the transport sees it. */
export interface PeerStatus {
  readonly name: string;
  /** Messages to it would leave now. */
  readonly connected: boolean;
  /** When it was last heard on each path, by the clock of `performance.now()`. */
  readonly paths: Readonly<Record<HeartbeatPath, number | null>>;
}

/** Everything that the transport counts. */
export const PEER_COUNTERS = {
  heartbeatsSent: 'heartbeats sent, for each path and peer',
  heartbeatsUnsent: 'heartbeats that could not be sent',
  heartbeatsReceived: 'heartbeats received, authentic and new',
  messagesSent: 'messages handed to a connection',
  messagesReceived: 'messages received',
  messagesDoubled: 'messages received that had come already, on the other way',
  messagesDropped: 'messages dropped for want of a connection or of room',
  dials: 'connections begun',
  dialsFailed: 'connections that came to nothing',
  connectionsLost: 'connections for messages that ended',
  listsGiven: 'lists given to a peer',
  listsRefused: 'lists refused to a peer',
  listsPulled: 'lists pulled from a peer',
  listsPulledByLetters: 'lists among these that needed no stream',
  listsFallenBack: 'lists asked for by letters and then over a stream',
  lettersSent: 'letters sent: messages, and requests and parts of lists',
  lettersUnsent: 'letters that could not be sent',
  lettersReceived: 'letters received, authentic and new',
} as const;

/** A counter of the transport. */
export type PeerCounter = keyof typeof PEER_COUNTERS;

/** What the transport shows of itself. */
export interface PeersStatus {
  readonly self: Identity;
  /** It has its address: what is sent to it can come. */
  readonly bound: boolean;
  readonly peers: readonly PeerStatus[];
  readonly counters: Readonly<Record<PeerCounter, number>>;
  readonly refused: Readonly<Record<Refusal, number>>;
}
