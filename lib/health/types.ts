// What a health check is, and what comes of it.

/** How a node is checked. */
export interface HealthSettings {
  readonly type: 'none' | 'tcp' | 'http' | 'command';
  /** Where the node listens, on its own address; of tcp and http. */
  readonly port?: number | undefined;
  /** What is asked for; of http. */
  readonly path: string;
  /** The Host header; without it, the node's address. */
  readonly host?: string | undefined;
  /** The answers that count as good; without it, 200 to 299. */
  readonly status?: readonly number[] | undefined;
  /** The program and its arguments; of command. */
  readonly command?: readonly string[] | undefined;
  /** Milliseconds from the beginning of a check to that of the next. */
  readonly interval: number;
  /** Milliseconds that a check may take. */
  readonly timeout: number;
  /** Good checks, one after the other, after which a node that is down is up. */
  readonly rise: number;
  /** Bad ones after which one that is up is down. */
  readonly fall: number;
}

/** Who is checked. */
export interface Checked {
  readonly name: string;
  readonly address: string;
}

/** What one check found. */
export interface Outcome {
  readonly good: boolean;
  /** A few words for people. */
  readonly found: string;
}

/** `unknown`: no check has ended yet. */
export type Health = 'unknown' | 'up' | 'down';
