// A node joins: it pulls the list of a million connections from another one, block by block.
// Without a network between them, so this is what the two data planes and JavaScript need.
import { BLOCK_RECORDS, Engine, establish, ownersInTurn } from '../js/engine.js';
import { connectionOfPacket, crowd } from '../js/frames.js';
import { type Asked, premise } from '../js/room.js';
import { print } from '../results.js';

const CONNECTIONS = 1_000_000;
const CAPACITY = 1_250_000;
const NODES = 3;
const NEWCOMER = NODES;
const IDENTITY = Uint16Array.of(0, 1, 2, 3);
const SAMPLE = 4000;

function engineOf(self: number): Engine {
  return new Engine({ self, owners: ownersInTurn(256, NODES), capacity: CAPACITY });
}

function* all(): Generator<number> {
  for (let place = 0; place < CONNECTIONS; place += 1) yield crowd(place);
}

/** Moves the whole list; what it came to. */
function pull(from: Engine, to: Engine) {
  const sum = { records: 0, bytes: 0, inserted: 0 };
  let cursor = 0n;
  do {
    const list = from.node.exportList('tables', NEWCOMER, 0, cursor, BLOCK_RECORDS);
    cursor = list.cursor;
    sum.bytes += list.records.length;
    sum.inserted += to.node.importList(list.records, list.now, IDENTITY, 'tables').inserted;
  } while (cursor !== 0n);
  return sum;
}

/** The newcomer knows whose every connection is: to it all are another's. */
function checkNewcomer(newcomer: Engine): void {
  const before = newcomer.count('class4');
  for (let i = 0; i < SAMPLE; i += 1) newcomer.push(crowd(i * (CONNECTIONS / SAMPLE)), 'ack');
  const taken = newcomer.turn().map(connectionOfPacket);
  premise(taken.length === 0, 'the newcomer takes nothing of what others have');
  premise(newcomer.count('class4') - before === SAMPLE, 'its table knows every connection');
}

export function join({ full }: Asked, name: string): void {
  const giver = engineOf(0);
  establish(giver, all());
  const seconds: number[] = [];
  let bytes = 0;
  for (let round = 0; round < (full ? 9 : 5); round += 1) {
    const newcomer = engineOf(NEWCOMER);
    const begin = performance.now();
    const moved = pull(giver, newcomer);
    seconds.push((performance.now() - begin) / 1000);
    premise(moved.inserted === CONNECTIONS, 'every connection was new');
    checkNewcomer(newcomer);
    newcomer.node.close();
    bytes = moved.bytes;
  }
  giver.node.close();
  const of = 'flowsieve';
  const blocks = `exported and imported in blocks of ${BLOCK_RECORDS}`;
  const note = `${CONNECTIONS} connections, ${blocks}, no network between`;
  print({ name, of, unit: 's', values: seconds, note });
  print({
    name: `${name}/rate`,
    of,
    unit: '1/s',
    values: seconds.map((each) => CONNECTIONS / each),
    note,
  });
  print({
    name: `${name}/bytes`,
    of,
    unit: 'bytes',
    values: [bytes],
    note: 'of records, before framing and encryption',
  });
}
