// How long this room measures, and what of it.

/** What the command line asked for. */
export interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  /** Packets of one flood. */
  readonly packets: number;
  /** Whether the figure of that name is wanted; figures that come with it are printed as well. */
  wanted(name: string): boolean;
}

/** The short plan or the full one, of the figures that `filter` matches. */
export function planOf(full: boolean, filter: RegExp): Plan {
  const wanted = (name: string): boolean => filter.test(name);
  return full
    ? { rounds: 5, seconds: 5, packets: 400_000, wanted }
    : { rounds: 3, seconds: 2, packets: 160_000, wanted };
}

/**
 * Measures every subject in turn, round by round (A B C A B C), so that what else the machine does
 * meets all of them alike.
 */
export async function inTurns<Subject, Result>(
  subjects: readonly Subject[],
  rounds: number,
  measure: (subject: Subject, round: number) => Promise<Result>,
): Promise<Map<Subject, Result[]>> {
  const results = new Map<Subject, Result[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const subject of subjects) {
      results.get(subject)?.push(await measure(subject, round));
    }
  }
  return results;
}
