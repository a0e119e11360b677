export type { ListedKind, ListRequest } from './frames.js';
export type { Pulled } from './lists.js';
export { Peers } from './peers.js';
export { REFUSALS, type Refusal } from './refusals.js';
export type { HeartbeatPath } from './seal.js';
export {
  DEFAULT_LIMITS,
  type Limits,
  type ListBlock,
  PEER_COUNTERS,
  type PeerAddress,
  type PeerCounter,
  type PeerStatus,
  type PeersConfiguration,
  type PeersOptions,
  type PeersStatus,
  type WirePath,
} from './types.js';
