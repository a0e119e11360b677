export {
  type Allocation,
  ALLOCATION_NAMES_MAX,
  bucketCounts,
  type Member,
  movedBuckets,
  ownerOf,
  type PlanInput,
  plan,
} from './plan.js';
