// The report as text: the targets, and a table for each room with its cases as rows and who did
// them as columns.
import {
  allLines,
  type Figure,
  grouped,
  isFigure,
  type Line,
  type Machine,
  median,
  type Results,
} from '../results.js';
import { type Standing, standings } from './targets.js';

const OURS = 'flowsieve';

/** A number with three significant digits, or all of them when it has more before the point. */
export function readable(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

function cell(line: Line | undefined): string {
  if (line === undefined) return '';
  if (!isFigure(line)) return `*${line.missing}*`;
  const [least, most] = [Math.min(...line.values), Math.max(...line.values)];
  const spread = line.values.length > 1 ? ` (${readable(least)}–${readable(most)})` : '';
  return `${readable(median(line.values))}${spread}`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
}

/** Whose figures there are; ours first. */
function subjects(lines: readonly Line[]): string[] {
  const all = [...new Set(lines.map(({ of }) => of))];
  return all.includes(OURS) ? [OURS, ...all.filter((of) => of !== OURS)] : all;
}

function unitOf(lines: readonly Line[]): string {
  return lines.find(isFigure)?.unit ?? '';
}

/** The cases that the same subjects did stand in one table. */
function tables(lines: readonly Line[]): string[] {
  const cases = grouped(lines, ({ name }) => name);
  const groups = grouped([...cases.keys()], (name) => {
    return subjects(cases.get(name) ?? []).join('\n');
  });
  return [...groups].flatMap(([key, names]) => {
    const columns = key.split('\n');
    const rows = names.map((name) => {
      const ofCase = cases.get(name) ?? [];
      const cells = columns.map((of) => cell(ofCase.find((line) => line.of === of)));
      return row([`\`${name}\``, unitOf(ofCase), ...cells]);
    });
    return [
      row(['', '', ...columns]),
      row(['---', '---', ...columns.map(() => '---:')]),
      ...rows,
      '',
    ];
  });
}

function notes(lines: readonly Line[]): string[] {
  const withNote = lines.filter((line): line is Figure & { note: string } => {
    return isFigure(line) && line.note !== undefined;
  });
  const byNote = grouped(withNote, ({ of, note }) => `${of}: ${note}`);
  const said = [...byNote].map(([note, of]) => {
    const names =
      of.length > 3 ? `${of.length} cases` : of.map(({ name }) => `\`${name}\``).join(', ');
    return `- ${note} (${names})`;
  });
  return said.length === 0 ? [] : [...said, ''];
}

function standing({ target, value, reached }: Standing): string {
  const verdict = reached === undefined ? 'not measured' : reached ? 'reached' : '**not reached**';
  const figure = value === undefined ? '–' : readable(value);
  return row([target.text, `${target.is} ${readable(target.limit)}`, figure, verdict]);
}

/** The targets, each as a line. */
export function targetsText(results: Results): string[] {
  return [
    row(['target', 'limit', 'measured', '']),
    row(['---', '---:', '---:', '---']),
    ...standings(results).map(standing),
    '',
  ];
}

/** Where and when it was measured, as a sentence. */
export function machineText(machine: Machine): string {
  const { processor, processors, kernel, node, compiler, commit, date, full } = machine;
  return `${full ? 'Full' : 'Short'} run of ${date.slice(0, 10)}, source ${commit}: ${processor}, ${processors} processors, ${kernel}, Node ${node}, ${compiler}.`;
}

/** All of the report but its plots. */
export function reportText(results: Results): string {
  const rooms = Object.entries(results.rooms).flatMap(([room, { machine, lines }]) => [
    `## ${room}`,
    '',
    machineText(machine),
    '',
    ...tables(lines),
    ...notes(lines),
  ]);
  const whole = ['## Targets', '', ...targetsText(results), ...rooms];
  return `${whole.join('\n').trimEnd()}\n`;
}

/** The README's figures. */
export function readmeText(results: Results): string {
  const lines = allLines(results).filter(isFigure);
  const machine = results.rooms['replay']?.machine;
  const value = (name: string): string => {
    const found = lines.find((line) => line.name === name && line.of === OURS);
    return found ? `${readable(median(found.values))} ${found.unit}` : '–';
  };
  const sized = (text: string, name: string): string =>
    row([text, value(`${name}/65536`), value(`${name}/1000000`)]);
  return [
    row(['one packet, from raw frame to verdict', '64 k connections', '1 M connections']),
    row(['---', '---:', '---:']),
    sized('of a connection of this node', 'turn/own_hits'),
    sized('of another node’s', 'turn/foreign_hits'),
    sized('web traffic, a third of it own: connections open and close', 'turn/web_third_own'),
    sized('a SYN flood beyond the share of openings', 'turn/syn_flood'),
    sized('table look-up and refresh alone', 'table/hit_burst'),
    '',
    `${value('worker/fill/rss_bytes_per_connection')} a connection, resident, at a million. ${machine ? machineText(machine) : ''}`,
  ].join('\n');
}
