// The demo's tables and audit as text.
import type { OpeningFate } from './commands.js';
import { type DemoChange, type DemoResult, failedOpenings, isLost, judge } from './outcome.js';

type Cell = string | number;

const FAILED_SHOWN = 10;

/** Columns as wide as their widest cell; the first one flush left, the others flush right. */
function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const text = [head, ...rows].map((row) => row.map(show));
  const widths = head.map((_, i) => Math.max(...text.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ');
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  const [first = [], ...others] = text;
  return [line(first), rule, ...others.map(line)];
}

function show(cell: Cell): string {
  return typeof cell === 'number' ? cell.toLocaleString('en-US') : cell;
}

function nodeTable({ nodes, killed, groups, openings }: DemoResult): string[] {
  const fates = groups.flatMap((group) => group.fates);
  const rows = nodes.map((name) => {
    const held = fates.filter((fate) => fate.node === name);
    const lost = held.filter(isLost).length;
    const opened = openings.filter((one) => one.node === name).length;
    const mark = name === killed.name ? `${name} (killed)` : name;
    return [mark, held.length, held.length - lost, lost, opened];
  });
  return table(['node', 'held throughout', 'kept', 'lost', 'short connections'], rows);
}

function changeTable({ changes, openings }: DemoResult): string[] {
  const meanwhile = ({ fromMs, untilMs }: DemoChange): OpeningFate[] =>
    openings.filter(({ at }) => at >= fromMs && at <= untilMs);
  const rows = changes.map((change) => {
    const opened = meanwhile(change);
    const slowest = Math.max(0, ...opened.map(({ connectMs }) => connectMs ?? 0));
    return [change.what, `${change.ms.toFixed(0)} ms`, opened.length, `${slowest.toFixed(1)} ms`];
  });
  const head = ['what happened', 'took', 'connections opened meanwhile', 'the slowest one'];
  return table(head, rows);
}

function groupTable({ groups, killed }: DemoResult): string[] {
  const rows = groups.map(({ what, messages, fates }) => {
    const lost = fates.filter(isLost);
    const excused = lost.filter(({ node }) => node === killed.name).length;
    return [what, fates.length, messages, fates.length - lost.length, excused];
  });
  const head = ['open throughout', 'count', 'messages', 'kept', `lost with ${killed.name}`];
  return table(head, rows);
}

/** What `flowsieve audit` says; of the epoch in which a node is killed nobody can tell all. */
function describeAudit({ audit }: DemoResult): string {
  const verdicts = new Map<string, number>();
  for (const { verdict } of audit.epochs) verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
  const counts = [...verdicts].map(([verdict, count]) => `${count} ${verdict}`).join(', ');
  return `The nodes' own audit, by epochs: ${counts}.`;
}

/** What became of what the killed node held. */
function describeKilled(result: DemoResult): string {
  const { groups, killed } = result;
  const fates = groups.flatMap((group) => group.fates).filter(({ node }) => node === killed.name);
  const reset = fates.filter(({ broken }) => broken === 'ECONNRESET').length;
  const moved = fates.filter((fate) => fate.broken === null && fate.moved).length;
  const { withNode } = failedOpenings(result);
  const accepted = `${withNode.length} short connections that it had accepted came to nothing`;
  return (
    `${killed.name} held ${fates.length}: ${reset} were reset, ${moved} flows are answered by ` +
    `others; ${accepted}.`
  );
}

/** A line for each of the short connections that failed without excuse, or the first few. */
function describeFailed(result: DemoResult): string[] {
  const { others } = failedOpenings(result);
  return others.slice(0, FAILED_SHOWN).map((one) => {
    const asked = (one.at - result.killed.at) / 1000;
    const established =
      one.connectMs === null
        ? 'never established'
        : `established in ${one.connectMs.toFixed(1)} ms`;
    return (
      `      ${one.address} from port ${one.port}: ${one.error}, ${established}, ` +
      `asked for ${asked.toFixed(3)} s after ${result.killed.name} was killed`
    );
  });
}

/** The tables, the downloads and the audit; `colour` for a terminal. */
export function describeDemo(result: DemoResult, colour: boolean): string {
  const downloads = result.downloads.map((one) => {
    const rate = (one.bytes * 8) / one.seconds / 1e9;
    return `download of ${show(one.bytes)} bytes from ${one.node}: ${rate.toFixed(1)} Gbit/s`;
  });
  const verdicts = judge(result).map(({ good, text }) => {
    const word = good ? 'ok  ' : 'FAIL';
    return `${colour ? `\x1b[${good ? 32 : 31}m${word}\x1b[0m` : word}  ${text}`;
  });
  return [
    ...nodeTable(result),
    describeKilled(result),
    '',
    ...changeTable(result),
    '',
    ...groupTable(result),
    '',
    ...downloads,
    '',
    ...verdicts,
    ...describeFailed(result),
    describeAudit(result),
    `${result.seconds.toFixed(1)} s in all.`,
  ].join('\n');
}
