export type { AlarmChange } from './alarms.js';
export { Node, type NodeEvents, type NodeOptions } from './node.js';
