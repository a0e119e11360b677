import { type SimulationResult, simulate } from '../simulate/index.js';
import { print, printJson } from './output.js';

/** Options of `flowsieve simulate`. */
export interface SimulateCommandOptions {
  seed: number;
  seeds: number;
  nodes?: number;
  seconds?: number;
  json?: boolean;
  trace?: boolean;
}

/**
 * `flowsieve simulate`: whole clusters in this process, with faults, each made from one seed. The
 * exit status is 1 when anything happened that never must.
 */
export function simulateCommand(options: SimulateCommandOptions): number {
  const { seed, seeds, nodes, seconds, json } = options;
  // Beside standard output, which belongs to the results.
  const trace = options.trace
    ? (line: string): void => void process.stderr.write(`${line}\n`)
    : undefined;
  let failed = 0;
  for (let each = seed; each < seed + seeds; each += 1) {
    const result = simulate({ seed: each, nodes, seconds, trace });
    if (!result.ok) failed += 1;
    if (json) printJson(result);
    else printResult(result);
  }
  if (!json && seeds > 1) print(`${seeds - failed} of ${seeds} seeds as they must be`);
  return failed > 0 ? 1 : 0;
}

function printResult(result: SimulationResult): void {
  const { seed, ok, nodes, openings, connections, transitions, milliseconds } = result;
  print(
    `seed ${seed}: ${ok ? 'ok' : 'WRONG'}, ${nodes} nodes, ${(milliseconds / 1000).toFixed(1)} s, ${openings} openings, ` +
      `${connections} connections, ${transitions} transitions`,
  );
  for (const violation of result.violations) print(`  ${violation}`);
}
