// Names for single messages of the list in types.ts.
import type { Message, Wish } from './types.js';

export type { Wish };
export type Commit = Extract<Message, { type: 'commit' }>;
export type Done = Extract<Message, { type: 'done' }>;
export type Join = Extract<Message, { type: 'join' }>;
