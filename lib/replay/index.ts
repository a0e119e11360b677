export { type ExplainedPacket, explain } from './explain.js';
export { type ReplayConnection, type ReplayLine, type ReplaySummary, replay } from './replay.js';
export type { ReplayInput, ReplayOptions } from './setup.js';
