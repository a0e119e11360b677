/** Milliseconds of CLOCK_MONOTONIC, with fractions: the clock of the core and of leases. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
