import type { Timing } from '../protocol/index.js';
import { fairWeather, type Weather } from './network.js';
import type { Random } from './random.js';

/** What a run is like: made from its seed, before anything happens. */
export interface Scenario {
  readonly names: readonly string[];
  /** How many of them are started at the beginning. */
  readonly starters: number;
  readonly quorum: 'majority' | 'paths';
  readonly timing: Timing;
  readonly buckets: number;
  readonly tracking: 'observe' | 'own';
  readonly holdMs: number;
  readonly timeouts: readonly [number, number, number];
  /** Only changes that somebody wants: nothing fails. */
  readonly faultless: boolean;
  /** How often two things happen at once, from 0 to 1. */
  readonly pairs: number;
  /** Milliseconds between two faults, and between two changes, on the average. */
  readonly faultGap: number;
  readonly changeGap: number;
  /** Clocks differ by so much of a second in a second. */
  readonly skew: number;
  /** Milliseconds by which a data plane is behind: usually, how often much more, and how much. */
  readonly lag: { readonly usual: number; readonly spikes: number; readonly spike: number };
  /** How often work of a data plane takes longer, and how many times as long. */
  readonly slowWork: { readonly chance: number; readonly ms: number };
  /** Two nodes see a packet of a client at most so many milliseconds apart. */
  readonly spread: number;
  readonly weather: Weather;
  /** Milliseconds between two new connections, on the average, and while something changes. */
  readonly gap: number;
  readonly rushGap: number;
  /** Milliseconds in which things happen, after the cluster has formed. */
  readonly busy: number;
}

/** What may be asked of a scenario; the seed chooses the rest. */
export interface ScenarioOptions {
  readonly nodes?: number | undefined;
  readonly seconds?: number | undefined;
  readonly faults?: boolean | undefined;
}

function makeWeather(random: Random, faultless: boolean): Weather {
  if (faultless) return fairWeather();
  return {
    loss: random.chance(0.5) ? random.between(0, 0.05) : 0,
    duplication: random.chance(0.4) ? random.between(0, 0.1) : 0,
    delay: random.between(0.05, 1),
    jitter: random.between(0.1, 3),
    detours: random.chance(0.4) ? random.between(0, 0.05) : 0,
    detour: random.between(5, 60),
  };
}

function makeTiming(random: Random): Timing {
  const heartbeat = random.pick([50, 100, 100]);
  return {
    heartbeat,
    failAfter: heartbeat * random.pick([3, 3, 4, 5]),
    guard: random.pick([3, 5]),
  };
}

/** The scenario of a seed. */
export function makeScenario(random: Random, options: ScenarioOptions): Scenario {
  const faultless = options.faults === undefined ? random.chance(0.25) : !options.faults;
  const nodes = options.nodes ?? random.pick([2, 3, 3, 3, 4, 5]);
  const timing = makeTiming(random);
  const busy = options.seconds === undefined ? random.between(2000, 5000) : options.seconds * 1000;
  const isLagging = !faultless && random.chance(0.4);
  return {
    names: Array.from({ length: nodes }, (_, i) => `node-${i + 1}`),
    starters: nodes > 2 && random.chance(0.4) ? nodes - 1 : nodes,
    quorum: nodes === 2 && random.chance(0.5) ? 'paths' : 'majority',
    timing,
    buckets: random.pick([16, 32, 64]),
    tracking: 'observe',
    holdMs: 200,
    timeouts: random.chance(0.3) ? [30, 7440, random.pick([1, 2])] : [30, 7440, 20],
    faultless,
    pairs: random.between(0, 0.3),
    faultGap: random.between(400, 2000),
    changeGap: random.between(300, 1500),
    skew: random.chance(0.5) ? 0.01 : 0,
    lag: isLagging
      ? { usual: random.between(0.2, 15), spikes: 0.02, spike: 300 }
      : { usual: random.between(0.05, faultless ? 1 : 3), spikes: 0, spike: 0 },
    slowWork: { chance: faultless ? 0 : random.between(0, 0.1), ms: 40 },
    spread: timing.guard * random.between(0.1, 0.8),
    weather: makeWeather(random, faultless),
    gap: random.between(20, 60),
    rushGap: random.between(0.5, 3),
    busy,
  };
}
