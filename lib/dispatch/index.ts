export {
  Dispatch,
  type DispatchCriteria,
  type DispatchEvent,
  type DispatchNode,
  type DispatchNodeStatus,
  type DispatchParts,
  type DispatchSettings,
  type DispatchStatus,
} from './dispatch.js';
export { type Target, Targets, type TargetsState } from './targets.js';
export { type ForwardMode, readWays, type WayState, type WayStatus } from './ways.js';
