// The room of scenarios: what becomes of connections, tables and times when something happens to a
// cluster.
//
//   node dist/bench/scenarios/run.js [--full] [--filter REGEX]
import { type Part, runRoom } from '../js/room.js';
import { churn, REMOVALS_PER_MINUTE } from './churn.js';
import { failovers, type Victim } from './failover.js';
import { flood } from './flood.js';
import { full } from './full.js';
import { join } from './join.js';
import { rebalance, THRESHOLDS } from './rebalance.js';
import type { Departure } from './servers.js';
import { witness } from './witness.js';

/** Servers that die: a slow, a middling and a fast rate are enough. */
const ABRUPT_PER_MINUTE = [1.56, 10, 78] as const;

function churns(departure: Departure, rates: readonly number[]): Part[] {
  return rates.map((removals) => {
    const name = `scenarios/churn/${departure}/${removals}`;
    return { name, run: (asked) => churn(asked, name, departure, removals) };
  });
}

function part(name: string, run: (asked: Parameters<Part['run']>[0], name: string) => void): Part {
  return { name, run: (asked) => run(asked, name) };
}

const parts: Part[] = [
  part('scenarios/churn/witness', witness),
  ...churns('drain', REMOVALS_PER_MINUTE),
  ...churns('abrupt', ABRUPT_PER_MINUTE),
  part('scenarios/flood', flood),
  part('scenarios/full', full),
  part('scenarios/join', join),
  ...THRESHOLDS.map((percent) =>
    part(`scenarios/rebalance/${percent}`, (asked, name) => rebalance(asked, name, percent)),
  ),
  ...(['member', 'coordinator'] satisfies Victim[]).map((victim) =>
    part(`scenarios/failover/${victim}`, (asked, name) => failovers(asked, name, victim)),
  ),
];

await runRoom(parts);
