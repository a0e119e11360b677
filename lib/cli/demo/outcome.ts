// What a demo found, and how it is judged.
import type { AuditView } from '../../node/types.js';
import type { BulkResult, Fate, OpeningFate } from './commands.js';
import type { Handshakes } from './handshakes.js';

/** One change of the cluster, and the connections that were opened meanwhile. */
export interface DemoChange {
  readonly what: string;
  /** Until every node agreed. */
  readonly ms: number;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** What happened to the conversations of one kind. */
export interface DemoGroup {
  readonly what: string;
  readonly messages: number;
  readonly fates: readonly Fate[];
}

/** What the demo found. */
export interface DemoResult {
  readonly nodes: readonly string[];
  /** The node that was killed, and when, milliseconds since the Unix epoch. */
  readonly killed: { readonly name: string; readonly at: number };
  readonly changes: readonly DemoChange[];
  /** The conversations that were open throughout. */
  readonly groups: readonly DemoGroup[];
  /** Every short connection that was opened all the while. */
  readonly openings: readonly OpeningFate[];
  readonly handshakes: Handshakes;
  /** What the nodes themselves counted. */
  readonly audit: AuditView;
  readonly downloads: readonly BulkResult[];
  readonly seconds: number;
}

/** A conversation that broke, or that another node answered in the end. */
export function isLost({ broken, moved }: Fate): boolean {
  return broken !== null || moved;
}

/** The verdicts, each with its sentence. */
export interface Verdict {
  readonly good: boolean;
  readonly text: string;
}

function show(count: number): string {
  return count.toLocaleString('en-US');
}

/**
 * Judges a result. A new connection that the killed node had accepted when it was killed could not
 * be saved either; those are reset within moments of that, and any other failure counts.
 */
export function judge(result: DemoResult): Verdict[] {
  const { handshakes, killed, openings, downloads } = result;
  const fates = result.groups.flatMap((group) => group.fates);
  const lost = fates.filter((fate) => isLost(fate) && fate.node !== killed.name).length;
  const wrong = downloads.filter((one) => !one.correct).length;
  const atKill = (one: OpeningFate): boolean => {
    const accepted = one.connectMs !== null && one.at + one.connectMs <= killed.at + 50;
    return one.error === 'ECONNRESET' && accepted && one.at > killed.at - 1_000;
  };
  const failed = openings.filter((one) => one.error !== null && !atKill(one)).length;
  const asked = show(handshakes.asked);
  return [
    {
      good: handshakes.twice === 0,
      text: `${asked} opening packets on the client's wire: ${handshakes.twice} answered twice`,
    },
    { good: handshakes.never === 0, text: `${handshakes.never} of them never answered` },
    { good: lost === 0, text: `${lost} conversations broken on the nodes that lived` },
    {
      good: failed === 0,
      text: `${show(openings.length)} short connections: ${failed} came to nothing`,
    },
    { good: wrong === 0, text: `${downloads.length} downloads: ${wrong} with a wrong byte` },
  ];
}
