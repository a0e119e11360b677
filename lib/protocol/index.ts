export * from './expected.js';
export { Protocol } from './protocol.js';
export * from './types.js';
export { isLiving, living, livingMember, losersTo, moves } from './view.js';
