import type { ReconcileSummary, ReconcileView } from '../node/types.js';
import { type AskOptions, client } from './ask.js';
import { columns, endpointText, print, printJson } from './output.js';

// `flowsieve reconcile`: the own table against what the operating system has open, now.

/** Options of `flowsieve reconcile`. */
export interface ReconcileCommandOptions extends AskOptions {
  dryRun?: boolean;
  limit: number;
}

/** Compares now, or with --dry-run says what a comparison would do. */
export async function reconcileCommand(options: ReconcileCommandOptions): Promise<void> {
  const { dryRun, limit } = options;
  const view = await client(options).reconcile({ dryRun, limit });
  if (options.json) printJson(view);
  else printReconciled(view);
}

function printReconciled(view: ReconcileView): void {
  print(reconcileText(view));
  if (view.connections.length === 0) return;
  print('');
  print(
    columns(
      [view.dryRun ? 'would be' : 'was', 'protocol', 'client', 'server'],
      view.connections.map(({ outcome, protocol, client: from, server }) => [
        outcome,
        protocol,
        endpointText(from),
        endpointText(server),
      ]),
    ),
  );
}

/** A comparison in one line. */
export function reconcileText(summary: ReconcileSummary): string {
  const { checked, dropped, closed, restored, unmatched, noRoom, left, sockets, tracked } = summary;
  const translated = summary.conntrack ? ` and ${tracked} translated connections` : '';
  const system = `${sockets} sockets${translated}`;
  const parts = [
    `${dropped} dropped`,
    `${closed} closed but kept`,
    `${restored} restored`,
    `${unmatched} unmatched`,
    ...(noRoom > 0 ? [`${noRoom} without room`] : []),
    ...(left > 0 ? ['more are missing and left for the next round'] : []),
  ];
  const dry = summary.dryRun ? ' (dry run: nothing was changed)' : '';
  return `${checked} own connections compared with ${system}: ${parts.join(', ')}${dry}`;
}
