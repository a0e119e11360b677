// A flood of SYNs from invented addresses, while some connections go on.
import { Engine, establish, ownersInTurn } from '../js/engine.js';
import { address, blankFrames, connectionOf, connectionOfPacket, crowd } from '../js/frames.js';
import { type Asked, premise } from '../js/room.js';
import { print } from '../results.js';

const CONNECTIONS = 1000;
const CAPACITY = 1_000_000;
const SYNS_EACH_TURN = 4000;
const PACKETS_EACH_TURN = 50;
const ROUNDS = 5;
// A turn every two milliseconds: two million SYNs a second.
const TURN_MS = 2;
// An odd multiple walks through all numbers of 32 bits, so no address comes twice.
const SPREAD = 0x9e37_79b1;

/** The one with this number in the flood; connections have greater ports. */
function invented(number: number): number {
  return connectionOf(Math.imul(number, SPREAD) >>> 0, 1 + (number & 0x1ff));
}

/** A node, the connections that it knows, and whose they are. */
class Scene {
  readonly engine = new Engine({ self: 0, owners: ownersInTurn(256, 2), capacity: CAPACITY });
  private readonly connections = Array.from({ length: CONNECTIONS }, (_, i) => crowd(i));
  private readonly own = new Set<number>();
  private readonly frames = blankFrames(SYNS_EACH_TURN + PACKETS_EACH_TURN);
  private syns = 0;
  private turns = 0;
  packets = 0;
  misdecided = 0;

  constructor() {
    establish(this.engine, this.connections);
    for (const connection of this.connections) this.engine.push(connection, 'ack');
    for (const packet of this.engine.turn()) this.own.add(connectionOfPacket(packet));
    premise(
      this.own.size > 0.4 * CONNECTIONS && this.own.size < 0.6 * CONNECTIONS,
      'the node has about half of the connections',
    );
  }

  /** One turn of the flood; the seconds that the node was at it. */
  turn(): number {
    const { engine, frames } = this;
    engine.age(TURN_MS * this.turns);
    const sent = this.write();
    const begin = performance.now();
    for (const frame of frames) engine.node.push(frame);
    const delivered = engine.turn();
    const seconds = (performance.now() - begin) / 1000;
    this.turns += 1;
    this.packets += frames.length;
    this.judge(sent, delivered);
    return seconds;
  }

  /** Writes the frames of a turn: packets of the connections here and there among SYNs. */
  private write(): number[] {
    const sent: number[] = [];
    const every = SYNS_EACH_TURN / PACKETS_EACH_TURN + 1;
    for (const [place, frame] of this.frames.entries()) {
      if (place % every === 0) {
        const next = (this.turns * PACKETS_EACH_TURN + sent.length) % CONNECTIONS;
        sent.push(this.connections[next] as number);
        address(frame, sent.at(-1) as number, 'ack');
      } else {
        address(frame, invented(this.syns++), 'syn');
      }
    }
    return sent;
  }

  private judge(sent: readonly number[], delivered: readonly Buffer[]): void {
    const taken = new Set(delivered.map(connectionOfPacket));
    for (const connection of sent) {
      if (taken.has(connection) !== this.own.has(connection)) this.misdecided += 1;
    }
  }
}

export function flood({ full }: Asked, name: string): void {
  const turnsEach = (full ? 5_000_000 : 1_000_000) / SYNS_EACH_TURN / ROUNDS;
  const scene = new Scene();
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = scene.packets;
    let seconds = 0;
    for (let turn = 0; turn < turnsEach; turn += 1) seconds += scene.turn();
    rates.push((scene.packets - before) / seconds);
  }
  const { node } = scene.engine;
  const opening = node.snapshot()[0]?.sizes.opening ?? 0;
  const untracked = scene.engine.count('openingUntracked');
  const syns = ROUNDS * turnsEach * SYNS_EACH_TURN;
  premise(opening > 0 && untracked + opening === syns, 'every SYN was entered or counted');
  node.close();
  const of = 'flowsieve';
  const crossing = 'pushed one by one, half of them delivered as Buffers';
  const unit = '1/s';
  print({ name, of, unit, values: rates, note: `${syns} SYNs, all different; ${crossing}` });
  print({
    name: `${name}/misdecided`,
    of,
    unit: 'count',
    values: [scene.misdecided],
    note: `of ${scene.packets - syns} packets of ${CONNECTIONS} open connections`,
  });
  print({
    name: `${name}/openings`,
    of,
    unit: '%',
    values: [(100 * opening) / CAPACITY],
    note: `of ${CAPACITY} places, 25 % may be; ${untracked} SYNs were decided and not entered`,
  });
}
