import type { Action, Coordination, ProtocolOptions } from '../protocol/index.js';
import type { Distributions } from './hashing.js';
import type { Judge } from './judge.js';
import type { Connection } from './model.js';
import type { Network } from './network.js';
import type { MakePlane } from './plane.js';
import type { Process } from './process.js';
import type { EventQueue } from './queue.js';
import type { Random } from './random.js';
import type { Scenario } from './scenario.js';
import type { Trace } from './trace.js';
import type { Wire } from './wire.js';

/** What every part of a simulation shares. */
export interface World {
  /** What everything random in it comes from. */
  readonly seed: number;
  readonly scenario: Scenario;
  readonly queue: EventQueue;
  readonly random: Random;
  readonly trace: Trace;
  readonly network: Network;
  readonly wire: Wire;
  readonly distributions: Distributions;
  readonly judge: Judge;
  readonly makeCore: (options: ProtocolOptions, now: number) => Coordination;
  readonly makePlane: MakePlane;
  /** The clients hear of their servers' answers. */
  readonly clients: {
    answered(connection: Connection): void;
    reset(connection: Connection): void;
  };
  /** The process that runs under this name at this moment. */
  running(name: string): Process | null;
  /** Is told of every action that a core asks for, before it is done. */
  onAction(process: Process, action: Action): void;
  /** Counts what is sent, for the table of costs. */
  onSend?: ((process: Process, to: string, action: Action) => void) | undefined;
}
