// A room as a program: its parts one after the other, those that the filter names.
//
//   run.js [--full] [--filter REGEX]
//
// A part that fails says so in a line of its own and ends the program with a status, but not the
// parts behind it: a run takes minutes, and the other figures are no worse for it.
import { parseArgs } from 'node:util';
import { print } from '../results.js';

/** What was asked for. */
export interface Asked {
  /** Everything at full size, whatever time that takes. */
  readonly full: boolean;
}

/** Something that can be measured by itself. */
export interface Part {
  /** The figures of it begin with this name. */
  readonly name: string;
  run(asked: Asked): void | Promise<void>;
}

/** Runs the parts that the command line asks for. */
export async function runRoom(parts: readonly Part[]): Promise<void> {
  const { values } = parseArgs({
    options: {
      full: { type: 'boolean', default: false },
      filter: { type: 'string', default: '.' },
    },
  });
  const filter = new RegExp(values.filter);
  for (const part of parts) {
    if (!filter.test(part.name)) continue;
    const begin = performance.now();
    try {
      await part.run({ full: values.full });
    } catch (error) {
      process.exitCode = 1;
      process.stderr.write(`${part.name}: ${error instanceof Error ? error.stack : error}\n`);
      const missing = error instanceof Error ? error.message : String(error);
      print({ name: part.name, of: 'flowsieve', missing });
    }
    const seconds = (performance.now() - begin) / 1000;
    process.stderr.write(`${part.name}: ${seconds.toFixed(1)} s\n`);
  }
}

/** A premise of a figure: without it the figure would mean nothing. */
export function premise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`The premise does not hold: ${what}.`);
}
