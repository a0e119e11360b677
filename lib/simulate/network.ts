import type { EventQueue } from './queue.js';
import type { Random } from './random.js';

/** The sync network, and the capture interface with its raw frames between nodes. */
export type Path = 'sync' | 'wire';

/** What the network does to messages at this moment. */
export interface Weather {
  /** From 0 (none is lost) to 1. */
  loss: number;
  duplication: number;
  /** Milliseconds: the shortest way, and what chance adds on the average. */
  delay: number;
  jitter: number;
  /** How often a message takes a much longer way, and by how many milliseconds at most. */
  detours: number;
  detour: number;
}

/** Weather in which nothing goes wrong. */
export function fairWeather(): Weather {
  return { loss: 0, duplication: 0, delay: 0.1, jitter: 0.3, detours: 0, detour: 0 };
}

/**
 * The ways between nodes. Each message is lost, late or doubled by itself, so that they come in any
 * order. Cuts are from one node to another on one path.
 */
export class Network {
  weather: Weather = fairWeather();
  private readonly cuts = new Map<string, number>();

  constructor(
    private readonly queue: EventQueue,
    private readonly random: Random,
  ) {}

  /** Nothing that `from` sends reaches `to` on this path until it is healed as often as cut. */
  cut(from: string, to: string, path: Path): void {
    const way = `${from}>${to}/${path}`;
    this.cuts.set(way, (this.cuts.get(way) ?? 0) + 1);
  }

  heal(from: string, to: string, path: Path): void {
    const way = `${from}>${to}/${path}`;
    const left = (this.cuts.get(way) ?? 0) - 1;
    if (left > 0) this.cuts.set(way, left);
    else this.cuts.delete(way);
  }

  isCut(from: string, to: string, path: Path): boolean {
    return this.cuts.size > 0 && this.cuts.has(`${from}>${to}/${path}`);
  }

  /** Calls `arrive` when a message has come, which may be never, or twice. False: it is lost. */
  send(from: string, to: string, path: Path, arrive: () => void): boolean {
    if (this.isCut(from, to, path)) return false;
    const { random, weather } = this;
    if (weather.loss > 0 && random.chance(weather.loss)) return false;
    this.queue.after(this.delay(), arrive);
    if (weather.duplication > 0 && random.chance(weather.duplication)) {
      this.queue.after(this.delay(), arrive);
    }
    return true;
  }

  private delay(): number {
    const { random, weather } = this;
    const usual = weather.delay + random.exponential(weather.jitter);
    const isDetour = weather.detours > 0 && random.chance(weather.detours);
    return isDetour ? usual + random.between(0, weather.detour) : usual;
  }
}
