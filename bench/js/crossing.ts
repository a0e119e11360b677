// What it costs to come into the addon and back, and to bring up what a node tells of itself.
import { nameCounters } from '../../lib/native/index.js';
import { Engine, establish, ownersInTurn } from './engine.js';
import { crowd } from './frames.js';
import { type Asked, premise } from './room.js';
import { inTurn } from './trials.js';

const CONNECTIONS = 10_000;

function busyEngine(): Engine {
  const engine = new Engine({ self: 0, owners: ownersInTurn(256, 2), capacity: 65_536 });
  establish(
    engine,
    Array.from({ length: CONNECTIONS }, (_, place) => crowd(place)),
  );
  return engine;
}

/** The cheapest call: a number that the addon knows. */
export function crossing(asked: Asked): void {
  const { node } = busyEngine();
  premise(node.backlog === 0, 'everything that came has been decided');
  let waiting = 0;
  const call = (): void => {
    waiting += node.backlog;
  };
  inTurn(asked, { name: 'js/crossing', note: 'the number of frames that wait, read' }, [
    { of: 'flowsieve', call },
  ]);
  premise(waiting === 0, 'nothing came meanwhile');
  node.close();
}

/** All that a node tells of itself, as `status` and the metrics ask for it. */
export function snapshot(asked: Asked): void {
  const { node } = busyEngine();
  const [first] = node.snapshot();
  const sizes = first?.sizes;
  premise(
    sizes !== undefined && sizes.own + sizes.others === CONNECTIONS,
    'the snapshot counts every connection',
  );
  let packets = 0;
  const call = (): void => {
    packets = nameCounters(node.snapshot()).counters['packets'] ?? 0;
  };
  inTurn(asked, { name: 'js/snapshot', note: 'all counters, by name' }, [
    { of: 'flowsieve', call },
  ]);
  premise(packets === 2 * CONNECTIONS, 'the counters have every packet');
  node.close();
}
