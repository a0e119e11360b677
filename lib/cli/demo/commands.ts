// What the traffic program is told and what it answers; see traffic.ts.

/** Where the traffic goes. */
export interface Target {
  readonly address: string;
  readonly port: number;
}

/**
 * Opens `count` connections one after another, `concurrency` at a time; each asks one
 * question and closes.
 */
export interface Short extends Target {
  readonly do: 'short';
  readonly count: number;
  readonly concurrency: number;
  /** How long one may take. */
  readonly patienceMs: number;
}

/** Opens `count` conversations and keeps them open under `name` until they are released. */
export interface Hold extends Target {
  readonly do: 'lines' | 'streams' | 'late' | 'flows';
  readonly name: string;
  readonly count: number;
  /** How often each says something, in milliseconds (streams are paced by the server). */
  readonly everyMs: number;
}

/**
 * Looks at a group of held conversations, or ends it in good order; ends a {@link Steady} as well.
 */
export interface Release {
  readonly do: 'look' | 'release' | 'settle';
  readonly name: string;
}

/** Opens connections at a steady pace until `settle`; each asks who is there and closes. */
export interface Steady {
  readonly do: 'steady';
  readonly name: string;
  /** In turn. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly perSecond: number;
  /** How long one may take. */
  readonly patienceMs: number;
}

/** One bulk transfer. */
export interface Bulk extends Target {
  readonly do: 'download' | 'upload';
  readonly bytes: number;
}

/** Sends `each` datagrams of `size` bytes on each of `count` sockets and waits for the answers. */
export interface Datagrams extends Target {
  readonly do: 'datagrams';
  readonly count: number;
  readonly each: number;
  readonly size: number;
  readonly waitMs: number;
}

export type CommandBody = Short | Hold | Release | Steady | Bulk | Datagrams;
export type Command = CommandBody & { readonly id: number };

/** The answer to a command: its result, or why it could not be carried out. */
export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** How many conversations each node answered. */
export type ByNode = Record<string, number>;

/** The result of {@link Short}. */
export interface ShortResult {
  readonly opened: number;
  readonly failed: number;
  readonly nodes: ByNode;
  readonly errors: ByNode;
  readonly medianMs: number;
  readonly slowestMs: number;
}

/** The result of opening a group ({@link Hold}). */
export interface Opened {
  readonly opened: number;
  readonly failed: number;
  readonly nodes: ByNode;
  readonly errors: ByNode;
}

/** What happened to one conversation. */
export interface Fate {
  /** The node that held it. */
  readonly node: string;
  /** Why it broke; null when it did not. */
  readonly broken: string | null;
  /** When it broke, milliseconds since the Unix epoch. */
  readonly brokenAt: number | null;
  /** Another node answered at last. */
  readonly moved: boolean;
}

/** What happened to one connection of a {@link Steady}. */
export interface OpeningFate {
  readonly address: string;
  /** The client's port; 0 when it did not come that far. */
  readonly port: number;
  /** When the client asked for it, milliseconds since the Unix epoch. */
  readonly at: number;
  /** From connect() until it was established; null when it never was. */
  readonly connectMs: number | null;
  /** When it was closed or given up, milliseconds since the Unix epoch. */
  readonly endedAt: number;
  /** Which node answered; null when none did. */
  readonly node: string | null;
  readonly error: string | null;
}

/** How a group of held conversations fared so far. */
export interface Fared {
  readonly count: number;
  /** Ended, reset or wrong in content before they were released. */
  readonly broken: number;
  /** Answered by another node than at first. */
  readonly moved: number;
  /**
   * Questions that were never answered (datagrams only; a TCP conversation that falls silent
   * counts as broken).
   */
  readonly unanswered: number;
  readonly messages: number;
  readonly bytes: number;
  readonly nodes: ByNode;
  readonly errors: ByNode;
  readonly fates: readonly Fate[];
}

/** The result of {@link Bulk}. */
export interface BulkResult {
  readonly node: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly correct: boolean;
}

/** The result of {@link Datagrams}. */
export interface DatagramsResult {
  readonly sent: number;
  readonly answered: number;
  /** Answered more than once. */
  readonly twice: number;
  /** Wrong in content. */
  readonly wrong: number;
  /** Sockets whose answers came from more than one node. */
  readonly moved: number;
  readonly nodes: ByNode;
}
