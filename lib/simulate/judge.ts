import { ownerOf } from '../allocation/index.js';
import { type Identity, living, type View } from '../protocol/index.js';
import type { Life, Packet, Socket } from './model.js';
import type { Process } from './process.js';
import { Separation } from './separation.js';
import { packetText } from './server.js';
import type { World } from './world.js';

const VIOLATIONS_MAX = 20;
// In a run without faults every packet that opens a connection is answered within that time.
const ANSWER_MS_MAX = 100;

/**
 * Watches what no node can see: all of them at once. What must hold is written down in
 * docs/decisions/cluster-protocol.md under "Invariants", whose numbers stand in the sentences.
 */
export class Judge {
  readonly violations: string[] = [];
  /** What was lost with a node that had died, left, or was declared dead. */
  readonly excused = {
    reset: 0,
    missed: 0,
    twice: 0,
    forgotten: 0,
    guessed: 0,
    stuck: 0,
    split: 0,
  };
  readonly answered = { count: 0, slowest: 0 };
  private readonly lives = new Map<string, { life: Life; process: Process }>();
  /** Of a life that has been declared over, the lives that go by that. */
  private readonly informed = new Map<Life, Set<Life>>();
  private readonly allocations = new Map<number, string>();
  private readonly expected: { packet: Packet; fenced: readonly string[] }[] = [];

  private readonly separation: Separation;

  constructor(private readonly world: () => World) {
    this.separation = new Separation(world, (members) => this.reunited(members));
  }

  /** What one cluster must not do, but two may. */
  private failUnlessSplit(sentence: string): void {
    this.separation.look();
    if (this.separation.isSplit) this.excused.split += 1;
    else this.fail(sentence);
  }

  /** Two clusters are one again. */
  private reunited(members: readonly Process[]): void {
    this.forgetEpochs();
    for (const { life } of members) life.over = null;
  }

  fail(sentence: string): void {
    const { queue, trace } = this.world();
    trace.line('judge', () => `VIOLATION: ${sentence}`);
    if (this.violations.length < VIOLATIONS_MAX) {
      this.violations.push(`${queue.now.toFixed(3)} ms: ${sentence}`);
    }
  }

  /** A process begins a life. */
  begins(process: Process): void {
    const { life } = process;
    this.lives.set(`${life.name}/${life.incarnation}`, { life, process });
  }

  /** All that the nodes knew is gone: epochs may begin anew. */
  forgetEpochs(): void {
    this.allocations.clear();
  }

  /** A server gets a packet; `socket`: of the connection, when it has accepted that before. */
  taken(process: Process, packet: Packet, socket: Socket | null): void {
    const { connection, takers, opens } = packet;
    const { server } = connection;
    const isServed = server !== null && server.life.over === null && this.has(server);
    if (!socket && !opens) {
      // Its answer is a reset, or for a datagram something to the same effect.
      if (!isServed) this.excused.reset += 1;
      else
        this.failUnlessSplit(
          `(3) ${process.name} reset ${packetText(packet)}, which ${server.life.name} serves.`,
        );
      return;
    }
    this.accepted(process, packet, socket);
    if (!socket && isServed) {
      this.failUnlessSplit(
        `(1) ${process.name} accepted ${packetText(packet)}, which ${server.life.name} serves.`,
      );
    }
    if (opens && takers.length === 1) this.answers(packet);
  }

  /** Each transmission of a packet is accepted once. */
  private accepted(process: Process, packet: Packet, socket: Socket | null): void {
    // What a node accepted in an earlier life counts as little as that life.
    const life = socket?.life ?? process.life;
    const what = packetText(packet);
    for (const taker of packet.takers) {
      if (taker === life) this.failUnlessSplit(`(1) ${process.name} delivered ${what} twice.`);
      else if (taker.over !== null || (socket && life.over !== null)) this.excused.twice += 1;
      else
        this.failUnlessSplit(`(1) ${taker.name} and ${process.name} have both delivered ${what}.`);
    }
    packet.takers.push(life);
    if (!socket && life.over !== null) {
      this.failUnlessSplit(
        `(1) ${process.name} opened ${what} although its life was over: ${life.over}.`,
      );
    }
  }

  private has(socket: Socket): boolean {
    const process = this.world().running(socket.life.name);
    return process?.server.sockets.get(socket.connection.key) === socket;
  }

  /** A node that serves the connection did not deliver its packet. */
  missed(socket: Socket, packet: Packet): void {
    if (socket.life.over !== null) this.excused.missed += 1;
    else
      this.failUnlessSplit(
        `(3) ${socket.life.name} did not deliver ${packetText(packet)}, its own.`,
      );
  }

  private answers(packet: Packet): void {
    const { queue, scenario } = this.world();
    const waited = queue.now - packet.sentAt;
    this.answered.count += 1;
    this.answered.slowest = Math.max(this.answered.slowest, waited);
    if (scenario.faultless && waited > ANSWER_MS_MAX) {
      this.fail(`(2) ${packetText(packet)} was answered after ${waited.toFixed(1)} ms only.`);
    }
  }

  /** This packet must be answered, whatever is going on. */
  expects(packet: Packet): void {
    if (this.world().scenario.faultless) this.expected.push({ packet, fenced: this.fenced() });
  }

  /** To be called between events: what was expected and has not come. */
  check(): void {
    this.separation.look();
    const { now } = this.world().queue;
    for (;;) {
      const expected = this.expected[0];
      if (!expected || now < expected.packet.sentAt + ANSWER_MS_MAX) return;
      this.expected.shift();
      const { packet, fenced } = expected;
      if (packet.takers.length > 0) continue;
      const without = `without a lease: ${fenced.join(', ') || 'nobody'}`;
      this.fail(`(2) Nobody answered ${packetText(packet)}; ${this.whose(packet)}; ${without}.`);
    }
  }

  /** Who each node says should have answered. */
  private whose({ tuple, key }: Packet): string {
    const { running, scenario, distributions } = this.world();
    const processes = scenario.names.flatMap((name) => running(name) ?? []);
    const opinions = processes.flatMap(({ name, installed }) => {
      if (!installed) return [];
      const bucket = distributions.of(installed.criteria).bucket(tuple, key);
      return `${name} says ${ownerOf(installed.allocation, bucket)}`;
    });
    return opinions.join(', ');
  }

  private fenced(): string[] {
    const { running, scenario } = this.world();
    const processes = scenario.names.flatMap((name) => running(name) ?? []);
    return processes.flatMap(({ name, openUntil, now }) => (openUntil > now ? [] : name));
  }

  /** A node learns who is dead, or has left. */
  seesView(process: Process, view: View): void {
    for (const { name, incarnation, state } of view.members) {
      if (state !== 'dead' && state !== 'left') continue;
      const found = this.lives.get(`${name}/${incarnation}`);
      if (found) this.declaredOver(process, found.life, found.process, state);
    }
    for (const member of living(view)) this.outlives(member);
    this.seesAllocation(process, view);
  }

  /**
   * Those who went by the end of this life are over themselves, with all that they had inherited:
   * a quorum of newcomers that had not heard of it has let this one go on.
   */
  private outlives({ name, incarnation }: Identity): void {
    const life = this.lives.get(`${name}/${incarnation}`)?.life;
    const informed = life && this.informed.get(life);
    if (!life || life.over === null || !informed) return;
    const { running } = this.world();
    const isOver = (each: Life): boolean => each.over !== null || running(each.name)?.life !== each;
    if (running(name)?.life !== life || ![...informed].every(isOver)) return;
    life.over = null;
    this.informed.delete(life);
    this.excused.forgotten += 1;
  }

  /** A cluster that has begun anew, without its last member, has forgotten that one. */
  private forgets(by: Process, view: View): void {
    const living = new Set(view.members.map(({ name, incarnation }) => `${name}/${incarnation}`));
    for (const [identity, { life, process }] of this.lives) {
      if (life.over !== null || process.installed === null || living.has(identity)) continue;
      if (process.installed.epoch >= view.epoch && !this.separation.isRecent) continue;
      const had = process.installed.members.some(
        ({ name, incarnation }) => `${name}/${incarnation}` === identity,
      );
      if (!had) continue;
      this.excused.forgotten += 1;
      this.declaredOver(by, life, process, 'forgotten');
    }
  }

  private declaredOver(
    by: Process,
    life: Life,
    process: Process,
    state: 'dead' | 'left' | 'forgotten',
  ): void {
    this.informed.set(life, (this.informed.get(life) ?? new Set()).add(by.life));
    if (life.over !== null) return;
    life.over = `declared ${state} by ${by.name}`;
    const { scenario } = this.world();
    if (state !== 'left' && scenario.faultless && !process.ended) {
      this.fail(`(3) ${life.name} was declared ${state} although nothing was wrong with it.`);
    }
    if (!process.ended && process.life === life && process.openUntil > process.now) {
      const left = (process.openUntil - process.now).toFixed(1);
      const what = `(1) ${life.name} was declared ${state} by ${by.name}`;
      if (this.separation.isRecent) this.excused.split += 1;
      else this.fail(`${what} ${left} ms before its lease ends.`);
    }
  }

  /** The death of a loser is settled before there is a view that says so. */
  seesDeath(by: Process, name: string): void {
    const { running } = this.world();
    const process = running(name);
    // Another life of the same name may have begun since.
    const meant = by.installed?.members.find((member) => member.name === name);
    if (!process) return;
    if (meant?.incarnation !== process.life.incarnation) return;
    this.declaredOver(by, process.life, process, 'dead');
  }

  /** One epoch, one allocation. */
  seesAllocation(process: Process, { epoch, allocation, criteria }: View): void {
    const owners = Array.from(allocation.owners, (owner) => allocation.names[owner]);
    const text = `${criteria.digest} ${owners.join(' ')}`;
    if (this.separation.isRecent || this.separation.isSplit) this.forgetEpochs();
    const known = this.allocations.get(epoch);
    if (allocation.epoch !== epoch) {
      this.fail(`(4) ${process.name} has epoch ${allocation.epoch} in the view of epoch ${epoch}.`);
    }
    if (known === undefined) this.allocations.set(epoch, text);
    else if (known !== text)
      this.fail(`(4) Epoch ${epoch} of ${process.name} means another allocation.`);
  }

  /** A node decides by this view from now on. */
  installs(process: Process, view: View): void {
    // Whoever begins alone with quorum `paths` cannot know what another had come to before.
    const isFirst = view.members.length === 1 && this.world().scenario.quorum === 'paths';
    if (isFirst) this.forgetEpochs();
    const before = process.installed?.epoch ?? 0;
    if (view.epoch < before) {
      this.fail(`(4) ${process.name} went back from epoch ${before} to ${view.epoch}.`);
    }
    this.seesView(process, view);
    this.forgets(process, view);
  }
}
