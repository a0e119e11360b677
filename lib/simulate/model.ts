import type { PlanePacket } from './plane.js';

// What the simulated world consists of besides nodes: connections, packets, and who serves what.

/** One life of a node: it ends with its process, or when the cluster declares it over. */
export interface Life {
  readonly name: string;
  readonly incarnation: number;
  /** Why this life does not count any more; null: it does. */
  over: string | null;
}

/** A connection that a node's server has accepted. */
export interface Socket {
  readonly connection: Connection;
  /** Of the node when it accepted. */
  readonly life: Life;
}

/** A connection as its client sees it; a UDP flow is one, too. */
export interface Connection extends Pick<PlanePacket, 'tuple' | 'key'> {
  readonly id: number;
  /** `broken`: reset by a node that does not know it, or lost with its node. */
  state: 'opening' | 'open' | 'closed' | 'broken';
  /** How often it was asked for. */
  knocks: number;
  /** How often a server has accepted it: a second time only after the first one's life was over. */
  accepted: number;
  /** Who has accepted it last. */
  server: Socket | null;
  readonly begun: number;
  openedAt: number;
}

/** One transmission of one packet. */
export interface Packet extends PlanePacket {
  readonly connection: Connection;
  readonly sentAt: number;
  /** It is the first of its connection, or a repetition of that. */
  readonly opens: boolean;
  /** The lives of the nodes that have delivered it to their server. */
  readonly takers: Life[];
}
