// What a demo found, and how it is judged.
import type { AuditView } from '../../node/types.js';
import type { BulkResult, Fate, OpeningFate } from './commands.js';
import { endOf, type Handshakes } from './handshakes.js';

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

/** The node that was killed. */
export interface KilledNode {
  readonly name: string;
  /** The Ethernet address that its answers come from. */
  readonly ethernet: string;
  /** When, milliseconds since the Unix epoch. */
  readonly at: number;
}

/** What the demo found. */
export interface DemoResult {
  readonly nodes: readonly string[];
  readonly killed: KilledNode;
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

/** Whether a short connection came to nothing because the node that had accepted it was killed. */
function diedWithNode({ killed, handshakes }: DemoResult, one: OpeningFate): boolean {
  const acceptors = handshakes.acceptors.get(endOf(one.address, one.port)) ?? [];
  return acceptors.includes(killed.ethernet) && one.endedAt >= killed.at;
}

/**
 * The short connections that came to nothing. Those that the killed node had accepted could not be
 * saved: they are reset by the heir when the client says something more, or are given up when it
 * waits for an answer.
 */
export function failedOpenings(result: DemoResult): {
  readonly withNode: readonly OpeningFate[];
  readonly others: readonly OpeningFate[];
} {
  const failed = result.openings.filter((one) => one.error !== null);
  return {
    withNode: failed.filter((one) => diedWithNode(result, one)),
    others: failed.filter((one) => !diedWithNode(result, one)),
  };
}

/** Judges a result. What the killed node held could not be saved; any other failure counts. */
export function judge(result: DemoResult): Verdict[] {
  const { handshakes, killed, openings, downloads } = result;
  const fates = result.groups.flatMap((group) => group.fates);
  const lost = fates.filter((fate) => isLost(fate) && fate.node !== killed.name).length;
  const wrong = downloads.filter((one) => !one.correct).length;
  const failed = failedOpenings(result).others.length;
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
