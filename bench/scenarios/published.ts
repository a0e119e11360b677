// The workload that others have published their broken connections for, and what they found:
// ../shared/churn beside this project, with its origin and licence. Not part of the project, so it
// may be missing.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Random } from '../../lib/simulate/random.js';

// The compiled file is dist/bench/scenarios/published.js.
const DIRECTORY = fileURLToPath(new URL('../../../../shared/churn', import.meta.url));

/** Why nothing is measured where the workload is missing. */
export const WORKLOAD_MISSING = existsSync(DIRECTORY)
  ? null
  : 'the published workload, ../shared/churn, is not there';

/** A distribution in steps: each value with the probability up to which it is drawn. */
export class Steps {
  /** Of the step function. */
  readonly mean: number;

  constructor(private readonly points: readonly (readonly [number, number])[]) {
    let below = 0;
    let mean = 0;
    for (const [probability, value] of points) {
      mean += (probability - below) * value;
      below = probability;
    }
    this.mean = mean;
  }

  draw(random: Random): number {
    const drawn = random.unit();
    return this.points.find(([probability]) => probability > drawn)?.[1] ?? 0;
  }
}

interface StepsFile {
  readonly points: [number, number][];
  readonly meanOfStepFunction: number;
}

function readSteps(file: string): Steps {
  const read = JSON.parse(readFileSync(join(DIRECTORY, file), 'utf8')) as StepsFile;
  const steps = new Steps(read.points);
  if (Math.abs(steps.mean - read.meanOfStepFunction) < 1e-3) return steps;
  throw new Error(
    `Expected a mean of ${read.meanOfStepFunction} for ${file} but received ${steps.mean}.`,
  );
}

/** Seconds that connections live, and that a removed server is away. */
export function readWorkload(): { durations: Steps; downtimes: Steps } {
  return {
    durations: readSteps('connection-duration.json'),
    downtimes: readSteps('server-downtime.json'),
  };
}

/** What somebody has published. */
export interface Published {
  readonly model: string;
  /** Connections at once; removals a minute, or the threshold of rebalancing in per cent. */
  readonly concurrent: number;
  readonly removals: number | null;
  readonly threshold: number | null;
  readonly connections: number;
  readonly broken: number;
  readonly percent: number;
  readonly source: string;
}

/** All of it, line by line. */
export function readPublished(): Published[] {
  const [, ...lines] = readFileSync(join(DIRECTORY, 'published.csv'), 'utf8').trim().split('\n');
  const optional = (text: string | undefined): number | null => (text ? Number(text) : null);
  return lines.map((line) => {
    const [model = '', , concurrent, removals, threshold, total, broken, percent, source = ''] =
      line.split(',');
    return {
      model,
      concurrent: Number(concurrent),
      removals: optional(removals),
      threshold: optional(threshold),
      connections: Number(total),
      broken: Number(broken),
      percent: Number(percent),
      source,
    };
  });
}

/** What a reader must know of a published figure. */
export function noteOf({ broken, connections, concurrent, source }: Published): string {
  const counts = `${broken} of ${connections} connections, ${concurrent} at once`;
  return `published, not measured here: ${counts}; ${source}`;
}
