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
