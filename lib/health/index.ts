export { type LastCheck, Monitor } from './monitor.js';
export { probe } from './probes.js';
export { Rating } from './rating.js';
export type { Checked, Health, HealthSettings, Outcome } from './types.js';
