// Pulling a short list by letters: ask, and ask again for the parts that have not come. Nothing is
// handed over before all parts of one snapshot are there, so whoever gives up may begin anew over
// a stream and no record comes twice.
import { randomInt } from 'node:crypto';
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import type { Incarnation } from '../protocol/index.js';
import type { ListedKind, ListRequest } from './frames.js';
import { ALL_PARTS, type Content, NO_LIST } from './letters.js';
import type { Roster, RosterPeer } from './roster.js';

/** Without an answer it is asked again so much later. */
const ASK_AGAIN_MS = 12;
/** Parts come one after the other: when they stop, the others were lost. */
const PARTS_STOPPED_MS = 6;
const GIVE_UP_MS = 600;
/** Lists that are long by nature are not even asked for. */
const LONG: readonly ListedKind[] = ['tables', 'own', 'moving'];

/** True for a list that may be short. */
export function maybeShort({ kind }: ListRequest): boolean {
  return !LONG.includes(kind);
}

/** What asking needs of its surroundings. */
export interface AskingContext {
  readonly roster: Roster;
  /** Sends a letter to a peer in one of its lives. */
  post(peer: RosterPeer, to: Incarnation, content: Content): void;
}

type Part = Extract<Content, { type: 'part' }>;

/** One list that is asked for. */
export class Asking {
  readonly request = randomInt(2 ** 48 - 1);
  /** The frames of the list; null: it is to be pulled over a stream. */
  readonly frames: Promise<Buffer | null>;
  readonly #context: AskingContext;
  readonly #peer: RosterPeer;
  readonly #list: ListRequest;
  // The pull is between these two lives: another life has other lists.
  readonly #own: Incarnation;
  readonly #life: Incarnation;
  /** Before anything was asked, by `performance.now()`. */
  readonly askedAt = performance.now();
  #parts: (Buffer | undefined)[] = [];
  #snapshot: number | null = null;
  #missing = ALL_PARTS;
  #timer: NodeJS.Timeout | undefined;
  #resolve: (frames: Buffer | null) => void = () => undefined;
  #reject: (error: FlowsieveError) => void = () => undefined;

  constructor(context: AskingContext, peer: RosterPeer, list: ListRequest) {
    this.#context = context;
    this.#peer = peer;
    this.#list = list;
    this.#own = context.roster.self.incarnation;
    this.#life = peer.incarnation;
    this.frames = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Asks for what is missing, again and again. */
  ask(): void {
    const { roster, post } = this.#context;
    const same = roster.self.incarnation === this.#own && this.#peer.incarnation === this.#life;
    const configured = roster.peers.get(this.#peer.name) === this.#peer;
    // Nobody who has not been heard can be written to.
    const late = performance.now() >= this.askedAt + GIVE_UP_MS || this.#life === 0;
    if (late || !same || !configured) {
      this.#end(null);
      return;
    }
    const { request } = this;
    post(this.#peer, this.#life, {
      type: 'ask',
      request,
      list: this.#list,
      missing: this.#missing,
    });
    this.#askIn(ASK_AGAIN_MS);
  }

  /** Takes an answer of a peer in one of its lives. */
  take(from: string, life: Incarnation, content: Content): void {
    if (from !== this.#peer.name || life !== this.#life) return;
    if (content.type === 'part') this.#takePart(content);
    if (content.type === 'nothing' && content.why === 'elsewhere') this.#end(null);
    if (content.type === 'nothing' && content.why === 'list') {
      const sentence = expectedSentence('a list', from, `a refusal: ${NO_LIST.list}`);
      this.abort(new FlowsieveError('FLOWSIEVE_REFUSED', sentence));
    }
  }

  /** Gives it up with an error. */
  abort(cause: FlowsieveError): void {
    clearTimeout(this.#timer);
    this.#reject(cause);
  }

  #takePart({ snapshot, parts, part, bytes }: Part): void {
    if (this.#snapshot === null) {
      this.#snapshot = snapshot;
      this.#parts = Array.from({ length: parts });
      this.#missing = 2 ** parts - 1;
    }
    // Of another snapshot nothing fits; there is none of one giver's life unless it has slept.
    if (snapshot !== this.#snapshot || parts !== this.#parts.length || this.#parts[part]) return;
    this.#parts[part] = bytes;
    this.#missing -= 2 ** part;
    if (this.#missing === 0) this.#end(Buffer.concat(this.#parts as Buffer[]));
    else this.#askIn(PARTS_STOPPED_MS);
  }

  #askIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.ask(), ms);
  }

  #end(frames: Buffer | null): void {
    clearTimeout(this.#timer);
    this.#resolve(frames);
  }
}
