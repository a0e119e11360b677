import type { Configuration, NodeConfiguration } from '../config/index.js';
import { FlowsieveError } from '../errors/index.js';

/** The keys that a running node takes over; everything else stays until it is started again. */
const RELOADED: ReadonlySet<string> = new Set(['nodes', 'warnings']);

/** What a new configuration of a running node asks for. */
export interface Reload {
  readonly nodesChanged: boolean;
  /** Keys that differ and take effect only with the next start. */
  readonly needRestart: readonly string[];
}

/**
 * Compares a new configuration with the running one.
 *
 * @param nodes - the node list in force, which an earlier reload may have changed
 * @throws FlowsieveError FLOWSIEVE_STATE for a change that would break open connections
 */
export function compareForReload(
  running: Configuration,
  nodes: readonly NodeConfiguration[],
  next: Configuration,
): Reload {
  // Both: a key that was left out is no key of its configuration.
  const keys = Object.keys({ ...running, ...next }) as (keyof Configuration)[];
  const differs = (key: keyof Configuration): boolean =>
    JSON.stringify(running[key]) !== JSON.stringify(next[key]);
  const nodesChanged = JSON.stringify(nodes) !== JSON.stringify(next.nodes);
  if (nodesChanged && running.tracking === 'own') {
    // This node knows nothing of the others' connections: it would answer for those whose bucket
    // becomes its own.
    throw new FlowsieveError(
      'FLOWSIEVE_STATE',
      'Expected tracking observe for a change of nodes while connections are open but received tracking own.',
      { path: 'nodes' },
    );
  }
  return {
    nodesChanged,
    needRestart: keys.filter((key) => !RELOADED.has(key) && differs(key)),
  };
}
