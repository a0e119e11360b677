import { ownerOf } from '../allocation/index.js';
import type { Host } from './hosts.js';
import type { Connection } from './model.js';
import type { Process } from './process.js';

// Invariant 5: at the end of a run all nodes that live agree, on the view and on the tables.

/** Why the cluster has not settled, in a sentence; null: it has. */
export function unsettled(hosts: readonly Host[]): string | null {
  const processes = hosts.flatMap(({ process }) => process ?? []);
  const [first] = processes;
  if (!first) return null;
  const view = first.state().view;
  if (!view) return `${first.name} has no view`;
  for (const process of processes) {
    const reason = unfinished(process, view.epoch);
    if (reason) return `${process.name} ${reason}`;
  }
  const running = new Map(processes.map((process) => [process.name, process]));
  for (let bucket = 0; bucket < view.allocation.owners.length; bucket += 1) {
    const owner = ownerOf(view.allocation, bucket);
    const state = owner === undefined ? undefined : running.get(owner)?.state().state;
    if (state !== 'member' && state !== 'draining') {
      return `bucket ${bucket} belongs to ${owner}, which is ${state ?? 'not there'}`;
    }
  }
  return null;
}

function unfinished(process: Process, epoch: number): string | null {
  const state = process.state();
  if (state.state !== 'member' && state.state !== 'draining') return `is ${state.state}`;
  if (state.view?.epoch !== epoch) return `has epoch ${state.view?.epoch}, another has ${epoch}`;
  if (process.installed?.epoch !== epoch) return `decides by epoch ${process.installed?.epoch}`;
  if (state.transition) return `is ${state.transition.phase} in a transition`;
  if (state.view.members.some((member) => member.state === 'joining'))
    return 'has a joining member';
  if (!process.idle) return 'has work to do';
  if (process.plane.contested() > 0)
    return `has ${process.plane.contested()} contested connections`;
  if (process.plane.held() > 0) return `holds ${process.plane.held()} packets`;
  if (process.openUntil <= process.now) return 'has no lease';
  return null;
}

/**
 * Where tables disagree about connections that are open, a sentence for each. `guess` is called
 * instead for connections that were asked for more than once: the first time nobody answered,
 * since a node had no lease, or died with what it held. The others have noted that node, or when
 * the packet came again whoever owned the bucket then, and only the one that took it knows better.
 * Should the noted node die, the real owner claims the connection.
 */
export function disagreements(
  hosts: readonly Host[],
  connections: readonly Connection[],
  guess: () => void,
): string[] {
  const processes = hosts.flatMap(({ process }) => process ?? []);
  const tables = processes.map((process) => ({
    process,
    owners: new Map(
      process.plane
        .entries(process.now)
        .map(({ key, owner }) => [key, process.options.names[owner] ?? 'nobody']),
    ),
  }));
  const sentences: string[] = [];
  for (const connection of connections) {
    const { server, state, key, id } = connection;
    if (state !== 'open' || !server || server.life.over !== null) continue;
    // After a second acceptance the first one's node may be back, with what it had.
    const right = connection.accepted > 1 ? tables[0]?.owners.get(key) : server.life.name;
    for (const { process, owners } of tables) {
      const owner = owners.get(key);
      if (owner === right) continue;
      if (owner !== undefined && connection.knocks > 1) {
        guess();
        continue;
      }
      const noted = `${process.name} has ${owner ?? 'no owner'}`;
      sentences.push(`(5) ${noted} for connection ${id} ${key} of ${server.life.name}.`);
    }
  }
  return sentences;
}
