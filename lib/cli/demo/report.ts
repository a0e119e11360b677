// The demo's table and audit as text.
import type { DemoResult } from './demo.js';

type Cell = string | number;

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

function nodeTable(result: DemoResult): string[] {
  const rows = result.nodes.map((node) => {
    return [node.name, node.openings, node.delivered, node.discarded, node.connections];
  });
  return table(['node', 'openings', 'packets delivered', 'packets discarded', 'connections'], rows);
}

function roundTable(result: DemoResult): string[] {
  const names = result.nodes.map((node) => `by ${node.name}`);
  const rows = result.rounds.map((round) => {
    const once = round.exactlyOnce ? 'yes' : 'NO';
    return [round.weights.join(':'), round.openings, ...round.taken, once];
  });
  return table(['weights', 'openings', ...names, 'each by exactly one'], rows);
}

function heldTable(result: DemoResult): string[] {
  const rows = Object.entries(result.held).map(([name, fared]) => {
    return [name, fared.count, fared.messages, fared.broken, fared.moved];
  });
  return table(['open throughout', 'count', 'messages', 'broken', 'moved'], rows);
}

/** The tables, the downloads and the audit; `colour` for a terminal. */
export function describeDemo(result: DemoResult, colour: boolean): string {
  const openings = result.rounds.reduce((sum, round) => sum + round.openings, 0);
  const downloads = result.downloads.map((one) => {
    const rate = (one.bytes * 8) / one.seconds / 1e9;
    const content = one.correct ? 'content right' : 'CONTENT WRONG';
    return `download of ${show(one.bytes)} bytes from ${one.node}: ${rate.toFixed(1)} Gbit/s, ${content}`;
  });
  const verdict = (good: boolean, text: string): string => {
    const word = good ? 'ok  ' : 'FAIL';
    return `${colour ? `\x1b[${good ? 32 : 31}m${word}\x1b[0m` : word}  ${text}`;
  };
  const once = result.rounds.every((round) => round.exactlyOnce);
  const changes = result.rounds.length - 1;
  return [
    ...nodeTable(result),
    '',
    ...roundTable(result),
    '',
    ...heldTable(result),
    '',
    ...downloads,
    '',
    verdict(
      once,
      `${show(openings)} opening packets, ${result.unaccounted} not taken by exactly one node`,
    ),
    verdict(
      result.broken === 0,
      `${changes} changes of the weights, ${result.broken} connections broken`,
    ),
    `(Openings pause while a change reaches the nodes one after another.) ${result.seconds.toFixed(1)} s in all.`,
  ].join('\n');
}
