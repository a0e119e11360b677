// The TypeScript API: everything that the commands do is a call here.

export { AdminClient, type AdminClientOptions, AdminServer } from './admin/index.js';
export {
  type Allocation,
  bucketCounts,
  type Member,
  movedBuckets,
  ownerOf,
  type PlanInput,
  plan,
  planTakeover,
  rebalance,
} from './allocation/index.js';
export {
  type Configuration,
  type ConfigurationInput,
  loadConfiguration,
  type ParseOptions,
  parseConfiguration,
} from './config/index.js';
export {
  ConfigurationError,
  ERROR_CODES,
  type ErrorCode,
  FlowsieveError,
  type Problem,
} from './errors/index.js';
export { createLogger, type Logger } from './log/index.js';
export { type Endpoint, type Flow, type Hashed, hash } from './native/index.js';
export {
  type AlarmChange,
  Node,
  type NodeEvents,
  type NodeOptions,
} from './node/index.js';
export type * from './node/types.js';
export {
  type ConnectionIdFacts,
  type ConnectionIdMeaning,
  ConnectionIds,
  type ConnectionIdWish,
} from './quic/index.js';
export {
  type ExplainedPacket,
  explain,
  type ReplayConnection,
  type ReplayInput,
  type ReplayLine,
  type ReplayOptions,
  type ReplaySummary,
  replay,
} from './replay/index.js';
export { type SimulationResult, simulate } from './simulate/index.js';
