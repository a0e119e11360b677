// Conversations that stay open while the cluster changes under them, the client's side.
import type { Socket as DatagramSocket } from 'node:dgram';
import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ByNode, Fared, Fate, Hold, Opened } from './commands.js';
import { connected } from './datagrams.js';
import { isPattern } from './pattern.js';
import { kind, tally } from './transfers.js';

/** How long an answer may take at the end before the conversation counts as broken. */
const PATIENCE_MS = 10_000;
const PHASES = 10;
/** What a late transfer brings before it is ended. */
const LATE_BYTES = 200_000;

/** A group of open conversations. */
export interface Held {
  readonly opened: Opened;
  report(): Fared;
  release(): Promise<Fared>;
}

/** One open conversation. */
interface Conversation {
  readonly node: string;
  /** Why it broke, and when; see {@link Fate}. */
  readonly breakage: Breakage;
  moved: boolean;
  messages: number;
  bytes: number;
  unanswered: number;
  /** Says something, if it is not waiting for an answer. */
  speak(): void;
  /** Ends in good order; says in `breakage` when that fails. */
  finish(): Promise<void>;
}

/** The first thing that broke a conversation; what follows from it does not count. */
class Breakage {
  why: string | undefined;
  at: number | undefined;

  by(why: string): void {
    this.why ??= why;
    this.at ??= Date.now();
  }
}

class Group implements Held {
  private readonly timer: NodeJS.Timeout;
  private phase = 0;

  constructor(
    private readonly members: readonly Conversation[],
    readonly opened: Opened,
    everyMs: number,
  ) {
    // A tenth of them speaks at a time, as independent clients would.
    this.timer = setInterval(() => {
      this.phase = (this.phase + 1) % PHASES;
      for (let i = this.phase; i < members.length; i += PHASES) members[i]?.speak();
    }, everyMs / PHASES);
  }

  report(): Fared {
    const errors: ByNode = {};
    const nodes: ByNode = {};
    let [messages, bytes, unanswered] = [0, 0, 0];
    for (const member of this.members) {
      tally(nodes, member.node);
      if (member.breakage.why !== undefined) tally(errors, member.breakage.why);
      messages += member.messages;
      bytes += member.bytes;
      unanswered += member.unanswered;
    }
    const fates = this.members.map(({ node, breakage, moved }): Fate => {
      return { node, broken: breakage.why ?? null, brokenAt: breakage.at ?? null, moved };
    });
    const broken = fates.filter((fate) => fate.broken !== null).length;
    const moved = fates.filter((fate) => fate.moved).length;
    const count = fates.length;
    return { count, broken, moved, unanswered, messages, bytes, nodes, errors, fates };
  }

  async release(): Promise<Fared> {
    clearInterval(this.timer);
    await Promise.all(this.members.map((member) => member.finish()));
    return this.report();
  }
}

async function openGroup(order: Hold, open: () => Promise<Conversation>): Promise<Held> {
  const members: Conversation[] = [];
  const nodes: ByNode = {};
  const errors: ByNode = {};
  for (let i = 0; i < order.count; i += 20) {
    const batch = Math.min(20, order.count - i);
    const opened = await Promise.allSettled(Array.from({ length: batch }, open));
    for (const one of opened) {
      if (one.status === 'fulfilled') {
        members.push(one.value);
        tally(nodes, one.value.node);
      } else tally(errors, kind(one.reason));
    }
  }
  const failed = order.count - members.length;
  return new Group(members, { opened: members.length, failed, nodes, errors }, order.everyMs);
}

/** Resolves true when `promise` settles within the patience of this file. */
async function inTime(promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), PATIENCE_MS);
  });
  const settled = promise.then(() => true);
  const result = await Promise.race([settled, late]);
  clearTimeout(timer);
  return result;
}

/**
 * What lines and streams have in common: a TCP connection that must neither end nor err
 * before its time.
 */
abstract class Connection implements Conversation {
  readonly breakage = new Breakage();
  moved = false;
  messages = 0;
  bytes = 0;
  readonly unanswered = 0;
  protected finishing = false;
  protected readonly closed: Promise<void>;

  constructor(
    readonly node: string,
    protected readonly socket: Duplex,
  ) {
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (piece: Buffer) => {
      this.take(piece);
      this.bytes += piece.length;
    });
    socket.on('error', (error) => this.fail(kind(error)));
    socket.on('end', () => {
      if (!this.finishing) this.fail('ended early');
      socket.end();
    });
  }

  abstract speak(): void;
  abstract finish(): Promise<void>;
  protected abstract take(piece: Buffer): void;

  protected fail(why: string): void {
    this.breakage.by(why);
  }
}

class Line extends Connection {
  private asked = 0;
  private rest = '';
  private answered: (() => void) | undefined;

  speak(): void {
    if (this.asked !== this.messages || this.breakage.why !== undefined) return;
    this.asked += 1;
    this.socket.write(`${this.asked}\n`);
  }

  /**
   * Asks once more and wants the answer: a conversation that only fell silent is found out here.
   */
  async finish(): Promise<void> {
    const answer = new Promise<void>((resolve) => {
      this.answered = resolve;
    });
    if (this.asked === this.messages) this.speak();
    if (this.breakage.why === undefined) {
      if (!(await inTime(Promise.race([answer, this.closed])))) this.fail('silent');
    }
    this.finishing = true;
    this.socket.end();
    if (!(await inTime(this.closed))) this.fail('did not close');
    this.socket.destroy();
  }

  protected take(piece: Buffer): void {
    const lines = (this.rest + piece.toString()).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      this.messages += 1;
      const [node, number] = line.split(' ');
      if (node !== this.node) this.moved = true;
      if (Number(number) !== this.messages) this.fail('wrong content');
      this.answered?.();
    }
  }
}

class Stream extends Connection {
  speak(): void {}

  async finish(): Promise<void> {
    this.finishing = true;
    this.socket.write('.');
    if (!(await inTime(this.closed))) this.fail('silent');
    this.socket.destroy();
  }

  protected take(piece: Buffer): void {
    this.messages += 1;
    if (!isPattern(this.bytes, piece)) this.fail('wrong content');
  }
}

/** Opens with small packets only; its transfer happens when it is released. */
class LateStream extends Stream {
  private enough: (() => void) | undefined;

  override async finish(): Promise<void> {
    const arrival = new Promise<void>((resolve) => {
      this.enough = resolve;
    });
    this.socket.write('.');
    if (!(await inTime(Promise.race([arrival, this.closed])))) this.fail('stalled');
    await super.finish();
  }

  protected override take(piece: Buffer): void {
    super.take(piece);
    if (this.bytes + piece.length >= LATE_BYTES) this.enough?.();
  }
}

type Kind = new (node: string, socket: Duplex) => Conversation;

function upgrade(order: Hold, path: string, Made: Kind): Promise<Conversation> {
  return new Promise((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: 'pattern' };
    const options = { host: order.address, port: order.port, path, agent: false, headers };
    const question = request({ ...options, timeout: PATIENCE_MS });
    question.on('upgrade', (response, socket, head) => {
      // What came behind the answer's head belongs to the conversation.
      if (head.length > 0) socket.unshift(head);
      socket.setTimeout(0);
      resolve(new Made(String(response.headers['x-node'] ?? ''), socket));
    });
    question.on('response', () => reject(new Error('no upgrade')));
    question.on('timeout', () => question.destroy(new Error('timeout')));
    question.on('error', reject);
    question.end();
  });
}

/** Conversations of lines, each answered behind the node's name. */
export function holdLines(order: Hold): Promise<Held> {
  return openGroup(order, () => upgrade(order, '/hold', Line));
}

/** Transfers that are under way until they are released. */
export function holdStreams(order: Hold): Promise<Held> {
  return openGroup(order, () => upgrade(order, '/stream', Stream));
}

/** Connections whose transfer begins when they are released. */
export function holdLateStreams(order: Hold): Promise<Held> {
  return openGroup(order, () => upgrade(order, '/later', LateStream));
}

class DatagramFlow implements Conversation {
  readonly breakage = new Breakage();
  moved = false;
  messages = 0;
  bytes = 0;
  unanswered = 0;
  private asked = 0;
  private waiting = false;
  private answered: (() => void) | undefined;

  constructor(
    readonly node: string,
    private readonly socket: DatagramSocket,
  ) {
    socket.on('error', (error) => this.breakage.by(kind(error)));
    socket.on('message', (bytes) => this.take(bytes));
  }

  speak(): void {
    if (this.waiting) this.unanswered += 1;
    this.waiting = true;
    this.asked += 1;
    this.socket.send(String(this.asked));
  }

  /** A datagram may be lost; eleven in a row are not. */
  async finish(): Promise<void> {
    const answer = new Promise<boolean>((resolve) => {
      this.answered = () => resolve(true);
    });
    for (let i = 0; ; i += 1) {
      this.socket.send(String(this.asked));
      const late = new Promise<boolean>((resolve) => setTimeout(resolve, 200, false));
      if (await Promise.race([answer, late])) break;
      if (i === 10) {
        this.breakage.by('silent');
        break;
      }
    }
    this.socket.close();
  }

  private take(bytes: Buffer): void {
    const [node, number] = bytes.toString().split(' ');
    if (node !== this.node) this.moved = true;
    if (Number(number) === this.asked) this.waiting = false;
    this.messages += 1;
    this.bytes += bytes.length;
    this.answered?.();
  }
}

/** A client of datagrams asks again when nobody answers; it gives up after four seconds. */
async function openDatagrams(order: Hold): Promise<Conversation> {
  const socket = await connected(order.address, order.port);
  const ask = (): void => void socket.send('0');
  const again = setInterval(ask, 1_000);
  const first = new Promise<string>((resolve, reject) => {
    socket.once('message', (bytes) => resolve(bytes.toString().split(' ')[0] ?? ''));
    socket.once('error', reject);
    setTimeout(() => reject(new Error('timeout')), 4_500);
  });
  ask();
  const node = await first.finally(() => clearInterval(again));
  socket.removeAllListeners('error');
  return new DatagramFlow(node, socket);
}

/** Flows of datagrams, each answered behind the node's name. */
export function holdDatagrams(order: Hold): Promise<Held> {
  return openGroup(order, () => openDatagrams(order));
}
