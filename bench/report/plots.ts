// Plots of the report: bars, one group for each case, one bar for each subject, as SVG.
import { grouped, isFigure, type Line, median } from '../results.js';
import { readable } from './markdown.js';

const WIDTH = 760;
const LABELS = 210;
const BAR = 15;
const GAP = 14;
const TOP = 44;
const COLOURS = ['#1f6f8b', '#b0b7bd', '#d1a054', '#8fae8b', '#a58ab5', '#c98a86', '#7d8fa9'];

/** A plot and the cases that it shows. */
export interface Plot {
  readonly file: string;
  readonly title: string;
  readonly cases: RegExp;
}

export const PLOTS: readonly Plot[] = [
  { file: 'hit.svg', title: 'Look up + update, ns (less is better)', cases: /^peers\/hit\// },
  { file: 'miss.svg', title: 'Miss, ns (less is better)', cases: /^peers\/miss\// },
  {
    file: 'open-close.svg',
    title: 'Open + close, ns (less is better)',
    cases: /^peers\/open_close\//,
  },
  {
    file: 'turn.svg',
    title: 'Raw frame to verdict, ns (less is better)',
    cases: /^turn\/(?!cores)/,
  },
  { file: 'requests.svg', title: 'Requests a second (more is better)', cases: /^live\/requests\// },
];

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function text(x: number, y: number, anchor: string, said: string): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${escaped(said)}</text>`;
}

/** The plot of those of `lines` that it shows; undefined when there are none. */
export function draw({ title, cases }: Plot, lines: readonly Line[]): string | undefined {
  const figures = lines.filter(isFigure).filter(({ name }) => cases.test(name));
  if (figures.length === 0) return undefined;
  const of = [...new Set(figures.map((figure) => figure.of))];
  const most = Math.max(...figures.map(({ values }) => median(values)));
  const parts: string[] = [];
  let y = TOP;
  for (const [name, group] of grouped(figures, (figure) => figure.name)) {
    parts.push(text(LABELS - 8, y + BAR - 3, 'end', name));
    for (const figure of group) {
      const value = median(figure.values);
      const width = Math.max(1, (value / most) * (WIDTH - LABELS - 150));
      const fill = COLOURS[of.indexOf(figure.of) % COLOURS.length];
      parts.push(
        `<rect x="${LABELS}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" fill="${fill}"/>`,
        text(LABELS + width + 5, y + BAR - 4, 'start', `${readable(value)}  ${figure.of}`),
      );
      y += BAR;
    }
    y += GAP;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="12" y="24" font-size="15">${escaped(title)}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}
