export {
  ALLOCATION_NAMES_MAX,
  type Allocation,
  bucketCounts,
  type Member,
  movedBuckets,
  ownerOf,
  type PlanInput,
  plan,
} from './plan.js';
export {
  type Move,
  REBALANCE_MEMORY_MS,
  type Rebalance,
  type RebalanceInput,
  type RebalanceSettings,
  rebalance,
} from './rebalance.js';
export {
  bucketsOf,
  planSingle,
  type SingleMember,
  singleOwners,
  withSingles,
} from './singles.js';
export { planTakeover } from './takeover.js';
