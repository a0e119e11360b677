export type { AlarmChange } from './alarms.js';
export type { NodeEvents } from './chronicle.js';
export { Node, type NodeOptions } from './node.js';
