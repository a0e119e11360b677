// Where the report is kept: the figures as they were measured, and what is made of them.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allLines, type Results } from '../results.js';
import { ROOT } from '../rooms.js';
import { readmeText, reportText } from './markdown.js';
import { draw, PLOTS } from './plots.js';

const FIGURES = join(ROOT, 'docs/reference/figures');
const RESULTS = join(FIGURES, 'results.json');
const README = join(ROOT, 'README.md');
const [BEGIN, END] = ['<!-- figures: made by npm run bench -- --write -->', '<!-- figures end -->'];

/** The figures that the report was last made from. */
export function readResults(): Results | undefined {
  return existsSync(RESULTS) ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as Results) : undefined;
}

/** What each file of the report is to hold, by its path. */
export function reportFiles(results: Results): Map<string, string> {
  const files = new Map<string, string>();
  const plots: string[] = [];
  for (const plot of PLOTS) {
    const drawn = draw(plot, allLines(results));
    if (drawn === undefined) continue;
    files.set(join(FIGURES, plot.file), drawn);
    plots.push(`![${plot.title}](figures/${plot.file})`, '');
  }
  const head = [
    '# Figures',
    '',
    'Made by `npm run bench -- --write` (bench/) from `figures/results.json`; the values are medians over the rounds of one run, in which all',
    'subjects took turns, with the least and the largest in brackets. What was tried and left, and where the time goes: [speed](../decisions/speed.md).',
    '',
  ];
  const page = [...head, reportText(results), '## Plots', '', ...plots].join('\n');
  files.set(join(ROOT, 'docs/reference/figures.md'), page);
  files.set(README, withFigures(readFileSync(README, 'utf8'), readmeText(results)));
  return files;
}

function withFigures(readme: string, figures: string): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`Expected ${BEGIN} and ${END} in the README.`);
  return `${readme.slice(0, begin)}${BEGIN}\n${figures}\n${readme.slice(end)}`;
}

/** Writes the figures and all that is made of them. */
export function writeReport(results: Results): void {
  mkdirSync(FIGURES, { recursive: true });
  writeFileSync(RESULTS, `${JSON.stringify(results, null, 1)}\n`);
  for (const [path, content] of reportFiles(results)) writeFileSync(path, content);
}
