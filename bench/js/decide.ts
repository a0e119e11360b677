// The same frames through a node in memory and through the Map of map.ts.
//
// What crosses is all there: each frame is pushed and copied into the node's queue, and each packet
// that the node takes comes back as a Buffer. On the live path nothing of that happens.
import { Engine, establish, ownersInTurn, QUEUE_FRAMES } from './engine.js';
import { address, blankFrames, connectionOfPacket, crowd, eachRecord } from './frames.js';
import { MapTable } from './map.js';
import { type Asked, premise } from './room.js';
import { inTurn } from './trials.js';

const SELF = 0;
const NODES = 3;
const BUCKETS = 256;
// So many frames are made, of connections here and there, and decided over and over.
const FRAMES = 64 * QUEUE_FRAMES;
/** Coprime to all numbers of connections here: every step goes to another one, far away. */
const STRIDE = 611_953;

/** A batch of frames, and of which connections they are. */
interface Batch {
  readonly frames: readonly Buffer[];
  readonly connections: readonly number[];
}

function batches(connections: number): Batch[] {
  const frames = blankFrames(FRAMES);
  const made: Batch[] = [];
  for (let from = 0; from < FRAMES; from += QUEUE_FRAMES) {
    const batch = frames.slice(from, from + QUEUE_FRAMES);
    const places = batch.map((_, i) => ((from + i) * STRIDE) % connections);
    const numbers = places.map((place) => crowd(place));
    batch.forEach((frame, i) => {
      address(frame, numbers[i] as number, 'ack');
    });
    made.push({ frames: batch, connections: numbers });
  }
  return made;
}

function fillEngine(connections: number): Engine {
  const owners = ownersInTurn(BUCKETS, NODES);
  const engine = new Engine({ self: SELF, owners, capacity: Math.ceil(connections * 1.25) });
  function* all(): Generator<number> {
    for (let place = 0; place < connections; place += 1) yield crowd(place);
  }
  establish(engine, all());
  return engine;
}

/** The Map is told of the connections by the node's list. */
function fillMap(engine: Engine): MapTable {
  const table = new MapTable(SELF);
  const [frame] = blankFrames(1) as [Buffer];
  for (const block of engine.blocks()) {
    eachRecord(block, (connection, owner) => {
      address(frame, connection, 'ack');
      table.enter(frame, owner, 0);
    });
  }
  return table;
}

function decideByEngine({ node, now }: Engine, { frames }: Batch): Buffer[] {
  for (const frame of frames) node.push(frame);
  return node.turn(now, QUEUE_FRAMES);
}

function decideByMap(table: MapTable, { frames }: Batch, now: number): number {
  let taken = 0;
  for (const frame of frames) {
    if (table.decide(frame, now)) taken += 1;
  }
  return taken;
}

function checkVerdicts(engine: Engine, table: MapTable, all: readonly Batch[]): void {
  let taken = 0;
  for (const batch of all) {
    const byEngine = decideByEngine(engine, batch).map(connectionOfPacket);
    const byMap = batch.connections.filter((_, i) => table.decide(batch.frames[i] as Buffer, 0));
    premise(
      byEngine.length === byMap.length && byEngine.every((each, i) => each === byMap[i]),
      'node and Map take the same packets',
    );
    taken += byMap.length;
  }
  premise(taken > FRAMES / NODES / 2, 'the node takes about its share');
}

/** ns for each packet, the two in turn. */
export function deciding(asked: Asked, name: string, connections: number): void {
  const engine = fillEngine(connections);
  const table = fillMap(engine);
  premise(table.size === connections, 'the Map has every connection');
  const all = batches(connections);
  checkVerdicts(engine, table, all);
  let turn = 0;
  const next = (): Batch => all[turn++ % all.length] as Batch;
  inTurn(asked, { name: `${name}/${connections}`, each: QUEUE_FRAMES }, [
    {
      of: 'flowsieve',
      call: () => void decideByEngine(engine, next()),
      note: `pushed one by one, decided ${QUEUE_FRAMES} at once, a third come back as Buffers`,
    },
    {
      of: 'JavaScript Map',
      call: () => void decideByMap(table, next(), turn),
      note: 'parses IPv4 and TCP into a string, looks it up, notes the time',
    },
  ]);
  engine.node.close();
}
