// Lists of connections on their way through JavaScript, block by block, as when a node joins.
import { RECORD_BYTES } from '../../lib/native/index.js';
import { print } from '../results.js';
import { BLOCK_RECORDS, Engine, establish, ownersInTurn } from './engine.js';
import { crowd } from './frames.js';
import { type Asked, premise } from './room.js';
import { effort, inTurn } from './trials.js';

const CONNECTIONS = 32 * BLOCK_RECORDS;
const CAPACITY = 2 * CONNECTIONS;
// What nodes 0 and 1 have, told to node 2: of its own connections a node would know best.
const NEWCOMER = 2;
const IDENTITY = Uint16Array.of(0, 1);

function engineOf(self: number): Engine {
  return new Engine({ self, owners: ownersInTurn(256, 2), capacity: CAPACITY });
}

function filledEngine(): Engine {
  const engine = engineOf(0);
  establish(
    engine,
    Array.from({ length: CONNECTIONS }, (_, place) => crowd(place)),
  );
  return engine;
}

/** Exporting the list in blocks of `limit`, again and again: records of a call, and one call. */
function exporter({ node }: Engine, limit: number): { each: number; call: () => void } {
  let cursor = 0n;
  let records = 0;
  const call = (): void => {
    const list = node.exportList('tables', 0, 0, cursor, limit);
    cursor = list.cursor;
    records += list.records.length / RECORD_BYTES;
  };
  // A list ends with a block that is not full, so a call gives a little less than a block.
  let calls = 0;
  do {
    call();
    calls += 1;
  } while (cursor !== 0n);
  premise(records === CONNECTIONS, 'the list has every connection once');
  return { each: records / calls, call };
}

/**
 * Blocks of a list, as they are exported: copies of the records, one buffer for each. A block of
 * 2048 records is 128 KiB, from where on the C library may map and unmap memory for each: half as
 * much is measured beside it.
 */
export function exporting(asked: Asked): void {
  const engine = filledEngine();
  const sizes = [
    { name: 'js/export', limit: BLOCK_RECORDS },
    { name: 'js/export/half', limit: BLOCK_RECORDS / 2 },
  ];
  for (const { name, limit } of sizes) {
    const { each, call } = exporter(engine, limit);
    const note = `for each record, blocks of ${limit}`;
    inTurn(asked, { name, each, note }, [{ of: 'flowsieve', call }]);
  }
  engine.node.close();
}

function importAll(engine: Engine, blocks: readonly Buffer[], senderNow: number) {
  const sum = { inserted: 0, known: 0 };
  for (const block of blocks) {
    const { inserted, known } = engine.node.importList(block, senderNow, IDENTITY, 'tables');
    sum.inserted += inserted;
    sum.known += known;
  }
  return sum;
}

/** Records that a node has never heard of, and the same once more, when it knows them. */
export function importing(asked: Asked): void {
  const from = filledEngine();
  const blocks = [...from.blocks()];
  const { now } = from.node.exportList('tables', 0, 0, 0n, 1);
  const values = { new: [] as number[], known: [] as number[] };
  // A newcomer is new only once: the package `benchmark` could not make one for each call without
  // measuring that, too.
  for (let round = 0; round < 2 * effort(asked).rounds; round += 1) {
    const newcomer = engineOf(NEWCOMER);
    for (const which of ['new', 'known'] as const) {
      const begin = performance.now();
      const sum = importAll(newcomer, blocks, now);
      values[which].push(((performance.now() - begin) * 1e6) / CONNECTIONS);
      premise(
        (which === 'new' ? sum.inserted : sum.known) === CONNECTIONS,
        `every record of the list is ${which}`,
      );
    }
    newcomer.node.close();
  }
  const note = `for each record, blocks of ${BLOCK_RECORDS}`;
  const unit = 'ns';
  print({ name: 'js/import', of: 'flowsieve', unit, values: values.new, note });
  const again = `${note}; the node knows all of them already`;
  print({ name: 'js/import/known', of: 'flowsieve', unit, values: values.known, note: again });
  from.node.close();
}
