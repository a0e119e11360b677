// The transport between nodes: heartbeats on two paths, messages and lists over streams; and where
// they are short, by letters as well, so that a lost packet does not cost the time that TCP takes.
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import type { Logger } from '../log/index.js';
import type { Heartbeat, Identity, Incarnation, Message } from '../protocol/index.js';
import { maybeShort } from './asking.js';
import { malformed } from './bytes.js';
import { Counters } from './counters.js';
import { Datagrams } from './datagrams.js';
import { type Dial, dial } from './dial.js';
import { Door } from './door.js';
import type { ListRequest } from './frames.js';
import { Guests } from './guests.js';
import { decodeHeartbeat, encodeHeartbeat, encodeHeartbeats } from './heartbeat.js';
import { Inbox } from './inbox.js';
import { EVERYBODY } from './keys.js';
import { type Ages, type Pulled, pullList, takeList } from './lists.js';
import { Mail } from './mail.js';
import { encodeMessage } from './messages.js';
import { Outgoing } from './outgoing.js';
import { Refusals } from './refusals.js';
import { Roster, type RosterPeer } from './roster.js';
import {
  type HeartbeatPath,
  isLetter,
  type Opening,
  open,
  type SealedPath,
  type Sender,
  seal,
  sealBytes,
} from './seal.js';
import {
  DEFAULT_LIMITS,
  type Limits,
  type ListBlock,
  type PeersConfiguration,
  type PeersOptions,
  type PeersStatus,
} from './types.js';

const TICK_MS = 250;
const REBIND_MS = 1000;
const REBIND_LOG_MS = 60_000;
/** The longest payload of a frame on the capture interface. */
const WIRE_BYTES_MAX = 1400;

/** This node's way to all others, and theirs to it. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #limits: Limits;
  readonly #logger: Logger;
  readonly #roster: Roster;
  readonly #counters = new Counters();
  readonly #refusals: Refusals;
  readonly #datagrams: Datagrams;
  readonly #door: Door;
  readonly #guests: Guests;
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #pulls = new Set<Dial>();
  readonly #openings: Readonly<Record<HeartbeatPath, Opening<Heartbeat>>>;
  readonly #mail: Mail;
  #messages = 0;
  #timer: NodeJS.Timeout | null = null;
  #rebind: NodeJS.Timeout | null = null;
  #rebindLoggedAt = -REBIND_LOG_MS;
  #binding: Promise<void> = Promise.resolve();
  #bound = false;
  #tickedAt = performance.now();
  #closed = false;

  private constructor(options: PeersOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#logger = options.logger;
    const { cluster, hashLayoutVersion, self } = options;
    this.#roster = new Roster(cluster, hashLayoutVersion, self, options);
    this.#openings = {
      sync: this.#openingHeartbeats('sync'),
      wire: this.#openingHeartbeats('wire'),
    };
    this.#refusals = new Refusals(options.logger, () => performance.now());
    this.#datagrams = new Datagrams(options.port, (bytes, address) => {
      if (isLetter(bytes)) this.#takeLetter(bytes, address);
      else this.#take(bytes, 'sync', address);
    });
    const inbox = new Inbox({
      counters: this.#counters,
      onMessage: (from, message) => {
        if (!this.#closed) options.onMessage(from, message);
      },
    });
    const context = { ...this.#context(), inbox };
    this.#guests = new Guests(context);
    this.#door = new Door({ ...context, onGuest: (guest) => void this.#guests.attend(guest) });
    const sendLetter = (plain: Buffer, { name, address }: RosterPeer) => {
      return this.#datagrams.send(this.#seal(plain, 'letter', name), address);
    };
    this.#mail = new Mail({ ...context, sendLetter }, this.#opening('letter'));
  }

  #opening(path: SealedPath) {
    const { layout, cluster } = this.#roster;
    return {
      layout,
      cluster,
      knows: (keyId: number) => this.#roster.secret(keyId) !== undefined,
      sender: (name: string) => this.#roster.peers.get(name),
      admits: ({ name }: Sender, source: string) => {
        return path === 'wire' || this.#roster.peers.get(name)?.address === source;
      },
    };
  }

  #openingHeartbeats(path: HeartbeatPath): Opening<Heartbeat> {
    const read = (plain: Buffer, { name }: Sender) => {
      const heartbeat = decodeHeartbeat(plain);
      if (heartbeat.name !== name) throw malformed(name, 'a heartbeat', heartbeat.name);
      return heartbeat;
    };
    return { ...this.#opening(path), path, read, judge: () => undefined };
  }

  #context() {
    return {
      roster: this.#roster,
      limits: this.#limits,
      logger: this.#logger,
      counters: this.#counters,
      refusals: this.#refusals,
      port: this.#options.port,
      onHello: (from: string, incarnation: Incarnation) => {
        this.#outgoing.get(from)?.heard(performance.now(), incarnation);
      },
      onList: (to: string, request: ListRequest) => {
        return this.#closed ? null : this.#options.onList(to, request);
      },
    };
  }

  /**
   * Binds this node's address and begins to dial. When the address is not there yet, it is tried
   * again until it is.
   *
   * @throws FlowsieveError FLOWSIEVE_ARGUMENT for options that cannot be, FLOWSIEVE_SYSTEM when the
   * port is taken or may not be used
   */
  static async start(options: PeersOptions): Promise<Peers> {
    const peers = new Peers(options);
    try {
      await peers.#bind();
    } catch (error) {
      await peers.close();
      throw error;
    }
    peers.#meet();
    options.wire?.onFrame((payload, source) => peers.#take(payload, 'wire', source));
    peers.#timer = setInterval(() => peers.#tick(), TICK_MS);
    return peers;
  }

  /**
   * Sends a heartbeat to every peer on every path, or to `only` these; to each the echo that is
   * its own.
   */
  sendHeartbeat(heartbeat: Heartbeat, only: readonly string[] | null): void {
    this.#checkIdentity(heartbeat);
    const wanted = only && new Set(only);
    const echoes = heartbeat.echoes.filter(({ name }) => wanted?.has(name) ?? true);
    const echoOf = new Map(echoes.map((echo) => [echo.name, echo]));
    for (const peer of this.#roster.peers.values()) {
      if (wanted && !wanted.has(peer.name)) continue;
      const echo = echoOf.get(peer.name);
      const plain = encodeHeartbeat(heartbeat, echo ? [echo] : []);
      const sent = this.#datagrams.send(this.#seal(plain, 'sync', peer.name), peer.address);
      this.#counters.add(sent ? 'heartbeatsSent' : 'heartbeatsUnsent');
    }
    const { wire, linkMtu } = this.#options;
    if (!wire || this.#closed) return;
    const room = Math.min(WIRE_BYTES_MAX, linkMtu ?? WIRE_BYTES_MAX) - sealBytes(heartbeat.name);
    for (const plain of encodeHeartbeats(heartbeat, echoes, room)) {
      const sent = wire.send(this.#seal(plain, 'wire', EVERYBODY));
      this.#counters.add(sent ? 'heartbeatsSent' : 'heartbeatsUnsent');
    }
  }

  /**
   * Sends a message, without a promise: without a connection it waits for a moment and is dropped
   * then. One that is not too long goes by letters as well, and may overtake others; a report, of
   * which there is another every second, does not.
   *
   * @throws FlowsieveError FLOWSIEVE_ARGUMENT for a message that no peer would take
   */
  send(to: string, message: Message): void {
    const outgoing = this.#outgoing.get(to);
    const peer = this.#roster.peers.get(to);
    if (!outgoing || !peer || this.#closed) {
      this.#counters.add('messagesDropped');
      return;
    }
    const bytes = encodeMessage(message);
    this.#messages += 1;
    const comesAgain = message.type === 'report' || message.type === 'targets';
    if (!comesAgain) this.#mail.sendMessage(peer, this.#messages, bytes);
    outgoing.send(this.#messages, bytes);
  }

  /**
   * Pulls a list from a peer and hands it over block by block; the next one is not read before
   * `onBlock` is done with the last. A peer whose blocks are not taken for long gives up.
   *
   * @throws FlowsieveError FLOWSIEVE_UNREACHABLE, FLOWSIEVE_REFUSED, FLOWSIEVE_TIMEOUT (what is too
   * old by the time at which it would be handed over, among others), FLOWSIEVE_SYSTEM when the
   * connection breaks, FLOWSIEVE_FORMAT, FLOWSIEVE_STATE after close(), FLOWSIEVE_ARGUMENT for an
   * unknown peer; whatever `onBlock` throws
   */
  async pull(
    from: string,
    request: ListRequest,
    onBlock: (block: ListBlock) => Promise<void>,
  ): Promise<Pulled> {
    this.#checkOpen();
    const peer = this.#roster.peers.get(from);
    if (!peer) {
      const sentence = expectedSentence('a configured peer', 'a pull', from);
      throw new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence);
    }
    const short = maybeShort(request) ? await this.#pullByLetters(peer, request, onBlock) : null;
    const pulled = short ?? (await this.#pullOverStream(peer, request, onBlock));
    this.#counters.add('listsPulled');
    if (short) this.#counters.add('listsPulledByLetters');
    return pulled;
  }

  /** Null when a stream is to be used. */
  async #pullByLetters(
    peer: RosterPeer,
    request: ListRequest,
    onBlock: (block: ListBlock) => Promise<void>,
  ): Promise<Pulled | null> {
    const asking = this.#mail.ask(peer, request);
    try {
      const frames = await asking.frames;
      if (!frames) {
        this.#counters.add('listsFallenBack');
        return null;
      }
      const ages = this.#ages(peer, request, asking.askedAt);
      return await takeList(frames, peer.name, ages, (block) => {
        this.#checkOpen();
        return onBlock(block);
      });
    } finally {
      this.#mail.forget(asking);
    }
  }

  #ages({ name }: RosterPeer, { kind }: ListRequest, askedAt: number): Ages {
    const onOld = () => this.#refusals.add('old', () => `a list of ${name} (${kind})`);
    return { askedAt, ageMs: this.#limits.listAgeMs, onOld };
  }

  async #pullOverStream(
    peer: RosterPeer,
    request: ListRequest,
    onBlock: (block: ListBlock) => Promise<void>,
  ): Promise<Pulled> {
    this.#checkOpen();
    this.#counters.add('dials');
    const dialled = dial(this.#context(), peer, request);
    this.#pulls.add(dialled);
    try {
      const connection = await dialled.connection;
      const ages = this.#ages(peer, request, connection.helloAt);
      const { stallMs } = this.#limits;
      return await pullList(connection, peer.name, { ...ages, stallMs }, onBlock);
    } catch (error) {
      this.#checkOpen();
      throw error;
    } finally {
      this.#pulls.delete(dialled);
      dialled.abort(closedError());
    }
  }

  /** Begins another life under the same name; it must be a later one. */
  setIdentity(self: Identity): void {
    const { name, incarnation } = this.#roster.self;
    if (self.name !== name || !(self.incarnation > incarnation)) {
      const received = `${self.name} ${self.incarnation}`;
      const sentence = expectedSentence(`${name} after ${incarnation}`, 'self', received);
      throw new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence, { path: 'self' });
    }
    this.#roster.self = self;
    this.#mail.renew();
    for (const outgoing of this.#outgoing.values()) outgoing.renew();
  }

  /**
   * Takes other nodes and secrets. Connections go on unless they are with somebody who is gone, or
   * by a secret that is.
   *
   * @throws FlowsieveError FLOWSIEVE_ARGUMENT, and nothing has changed
   */
  configure(configuration: PeersConfiguration): void {
    this.#checkOpen();
    const before = { address: this.#roster.address, peers: this.#roster.peers };
    this.#roster.configure(configuration);
    this.#guests.prune();
    this.#mail.prune();
    for (const [name, outgoing] of this.#outgoing) {
      const peer = this.#roster.peers.get(name);
      if (peer && peer === before.peers.get(name)) {
        outgoing.prune();
        continue;
      }
      outgoing.close();
      this.#outgoing.delete(name);
    }
    if (before.address !== this.#roster.address) this.#move();
    else this.#meet();
  }

  /** What the transport sees and has counted. */
  status(): PeersStatus {
    const peers = [...this.#roster.peers.values()].map(({ name, lastSeen }) => ({
      name,
      connected: this.#outgoing.get(name)?.connected ?? false,
      paths: { ...lastSeen },
    }));
    const refused = this.#refusals.counts();
    const { self } = this.#roster;
    return { self, bound: this.#bound, peers, counters: this.#counters.all(), refused };
  }

  /** Ends everything, the wire too; nothing is called any more after it has resolved. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer) clearInterval(this.#timer);
    if (this.#rebind) clearTimeout(this.#rebind);
    await this.#binding;
    this.#mail.close(closedError());
    for (const pulling of this.#pulls) pulling.abort(closedError());
    for (const outgoing of this.#outgoing.values()) outgoing.close();
    this.#unbind();
    this.#guests.close();
    this.#options.wire?.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw closedError();
  }

  #checkIdentity({ name, incarnation }: Identity): void {
    const { self } = this.#roster;
    if (name === self.name && incarnation === self.incarnation) return;
    const expected = `${self.name} ${self.incarnation}`;
    const sentence = expectedSentence(expected, 'a heartbeat', `${name} ${incarnation}`);
    throw new FlowsieveError('FLOWSIEVE_ARGUMENT', sentence);
  }

  #seal(plain: Buffer, path: SealedPath, to: string): Buffer {
    const { signing, numbering, self, layout, cluster } = this.#roster;
    const key = signing.key(path, self.name, to);
    return seal(plain, {
      layout,
      cluster,
      secret: signing,
      key,
      numbering,
      sender: self.name,
      path,
      to,
    });
  }

  #take(sealed: Buffer, path: HeartbeatPath, source: string): void {
    if (this.#closed) return;
    const opened = open(sealed, this.#openings[path], source);
    if ('refused' in opened) {
      // On a shared wire a node may hear itself.
      if (path === 'wire' && opened.from === this.#roster.self.name) return;
      const whose = opened.from === '' ? '' : ` of ${opened.from}`;
      this.#refusals.add(opened.refused, () => `a heartbeat${whose} from ${source} (${path})`);
      return;
    }
    const heartbeat = opened.said;
    const now = performance.now();
    const peer = this.#roster.peers.get(heartbeat.name);
    if (peer) peer.lastSeen[path] = now;
    this.#counters.add('heartbeatsReceived');
    if (path === 'sync') this.#outgoing.get(heartbeat.name)?.heard(now, heartbeat.incarnation);
    this.#options.onHeartbeat(heartbeat, path);
  }

  #takeLetter(sealed: Buffer, source: string): void {
    if (!this.#closed) this.#mail.take(sealed, source);
  }

  /** Has a socket and a connection for every peer. */
  #meet(): void {
    const peers = [...this.#roster.peers.values()];
    this.#datagrams.connect(new Set(peers.map(({ address }) => address)));
    for (const peer of peers) {
      if (this.#outgoing.has(peer.name)) continue;
      const outgoing = new Outgoing(this.#context(), peer);
      this.#outgoing.set(peer.name, outgoing);
      outgoing.tick(performance.now(), null);
    }
  }

  #tick(): void {
    const now = performance.now();
    const late = now - this.#tickedAt - TICK_MS;
    this.#tickedAt = now;
    if (late > TICK_MS) {
      // The process was not running; what came meanwhile is read after this.
      this.#guests.shift(late);
      for (const outgoing of this.#outgoing.values()) outgoing.shift(late);
    }
    this.#mail.prune();
    this.#guests.endSilent(now - this.#limits.silenceMs);
    for (const [name, outgoing] of this.#outgoing) {
      outgoing.tick(now, this.#roster.peers.get(name)?.lastSeen.sync ?? null);
    }
    if (this.#bound) this.#meet();
  }

  /** Goes to another address of this node. */
  #move(): void {
    this.#unbind();
    for (const outgoing of this.#outgoing.values()) outgoing.reconnect();
    this.#guests.close();
    this.#bind().catch((error) => this.#bindLater(error));
  }

  #unbind(): void {
    this.#bound = false;
    this.#door.close();
    this.#datagrams.close();
  }

  /** Binds once whatever is under way has come to its end. */
  #bind(): Promise<void> {
    if (this.#rebind) clearTimeout(this.#rebind);
    this.#rebind = null;
    const bound = this.#binding.then(() => this.#bindNow());
    this.#binding = bound.catch(() => undefined);
    return bound;
  }

  async #bindNow(): Promise<void> {
    if (this.#closed || this.#bound) return;
    const { address } = this.#roster;
    const { port } = this.#options;
    try {
      await this.#door.listen(address, port);
      await this.#datagrams.bind(address);
    } catch (error) {
      this.#unbind();
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRNOTAVAIL') throw unbindable(`${address} port ${port}`, error);
      this.#bindLater(error);
      return;
    }
    // Whoever has closed or moved it meanwhile waits for this, and goes on from here.
    if (this.#closed || address !== this.#roster.address) {
      this.#unbind();
      return;
    }
    this.#bound = true;
    this.#meet();
  }

  #bindLater(error: unknown): void {
    if (this.#closed) return;
    const now = performance.now();
    if (now - this.#rebindLoggedAt >= REBIND_LOG_MS) {
      this.#rebindLoggedAt = now;
      const { message } = error as Error;
      const sentence = `Expected to have the sync address ${this.#roster.address}`;
      this.#logger.warn(`${sentence} but received: ${message}; it is tried every second.`);
    }
    if (this.#rebind) clearTimeout(this.#rebind);
    this.#rebind = setTimeout(() => {
      this.#bind().catch((again) => this.#bindLater(again));
    }, REBIND_MS);
  }
}

function closedError(): FlowsieveError {
  return new FlowsieveError('FLOWSIEVE_STATE', 'Expected open peers but received closed ones.');
}

function unbindable(where: string, cause: unknown): FlowsieveError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const received = code === 'EADDRINUSE' ? 'somebody who has it already' : message;
  const sentence = expectedSentence('to bind', where, received);
  const kind = code === 'EACCES' ? 'FLOWSIEVE_PRIVILEGE' : 'FLOWSIEVE_SYSTEM';
  return new FlowsieveError(kind, sentence, { cause });
}
