// Letters to peers and from them: copies of messages, and short lists. Nothing here is a promise;
// the streams beside it bring everything in the end.
import { FlowsieveError } from '../errors/index.js';
import type { Incarnation } from '../protocol/index.js';
import { Answers, type AnswersContext } from './answers.js';
import { Asking } from './asking.js';
import type { Counters } from './counters.js';
import type { ListRequest } from './frames.js';
import type { Inbox } from './inbox.js';
import {
  type Content,
  decodeLetter,
  encodeLetter,
  LETTER_BYTES_MAX,
  LETTER_HEAD_BYTES,
  type Letter,
} from './letters.js';
import { cut, PIECES_BYTES_MAX, type Piece, Pieces } from './pieces.js';
import type { Refusals } from './refusals.js';
import type { Roster, RosterPeer } from './roster.js';
import { type Opening, open, sealBytes } from './seal.js';

/** Of a message there are three letters: one of three is hardly ever lost but all of them. */
const COPIES_AFTER_MS = [5, 15];
/** How many copies may wait to be sent. */
const COPIES_MAX = 256;

/** What mail needs of its surroundings. */
export interface MailContext extends Omit<AnswersContext, 'post'> {
  readonly roster: Roster;
  readonly counters: Counters;
  readonly refusals: Refusals;
  readonly inbox: Inbox;
  /** Seals a letter and sends it; false when it could not be sent. */
  sendLetter(plain: Buffer, peer: RosterPeer): boolean;
}

/** Writes letters and reads them. */
export class Mail {
  readonly #context: MailContext;
  readonly #opening: Opening<Letter>;
  readonly #answers: Answers;
  readonly #askings = new Map<number, Asking>();
  readonly #copies = new Set<NodeJS.Timeout>();
  readonly #pieces = new Map<string, Pieces>();

  constructor(context: MailContext, opening: Omit<Opening<never>, 'path' | 'read' | 'judge'>) {
    this.#context = context;
    const { roster } = context;
    this.#opening = {
      ...opening,
      path: 'letter',
      read: decodeLetter,
      judge: ({ to }) => (to === roster.self.incarnation ? undefined : 'life'),
    };
    this.#answers = new Answers({
      ...context,
      post: (peer, to, content) => void this.#post(peer, to, content),
    });
  }

  /** Sends a message that is not too long, in pieces if need be, if the peer's life is known. */
  sendMessage(peer: RosterPeer, number: number, message: Buffer): void {
    const { roster } = this.#context;
    const own = roster.self.incarnation;
    const life = peer.incarnation;
    if (life === 0 || message.length > PIECES_BYTES_MAX) return;
    const bytes = LETTER_HEAD_BYTES + message.length + sealBytes(roster.self.name);
    const whole: Content = { type: 'message', number, message };
    const contents = bytes > LETTER_BYTES_MAX ? cut(number, message) : [whole];
    const send = () => {
      for (const content of contents) this.#post(peer, life, content);
    };
    send();
    for (const ms of COPIES_AFTER_MS) {
      if (this.#copies.size >= COPIES_MAX) return;
      const timer = setTimeout(() => {
        this.#copies.delete(timer);
        const known = roster.peers.get(peer.name) === peer && peer.incarnation === life;
        if (known && roster.self.incarnation === own) send();
      }, ms);
      this.#copies.add(timer);
    }
  }

  /** Begins to ask for a list. */
  ask(peer: RosterPeer, list: ListRequest): Asking {
    const { roster } = this.#context;
    const post = (to: RosterPeer, life: Incarnation, content: Content) => {
      this.#post(to, life, content);
    };
    const asking = new Asking({ roster, post }, peer, list);
    asking.ask();
    this.#askings.set(asking.request, asking);
    return asking;
  }

  /** What it asked for has come, or will not come. */
  forget({ request }: Asking): void {
    this.#askings.delete(request);
  }

  /** Takes what came from an address and claims to be a letter. */
  take(sealed: Buffer, source: string): void {
    const { roster, counters, refusals, inbox } = this.#context;
    const opened = open(sealed, this.#opening, source);
    if ('refused' in opened) {
      const whose = opened.from === '' ? '' : ` of ${opened.from}`;
      refusals.add(opened.refused, () => `a letter${whose} from ${source}`);
      return;
    }
    counters.add('lettersReceived');
    const { name } = opened.sender;
    const { incarnation, content } = opened.said;
    const peer = roster.peers.get(name);
    if (!peer) return;
    if (content.type === 'message') this.#takeMessage(inbox, name, opened.said, content);
    else if (content.type === 'piece') this.#takePiece(inbox, name, opened.said, content);
    else if (content.type === 'ask') this.#answers.take(peer, opened.said, content);
    else this.#askings.get(content.request)?.take(name, incarnation, content);
  }

  /** Forgets what is old, and who is no peer any more. */
  prune(): void {
    const { roster, inbox } = this.#context;
    this.#answers.prune(roster.peers);
    for (const name of this.#pieces.keys()) if (!roster.peers.has(name)) this.#pieces.delete(name);
    inbox.prune(roster.peers);
  }

  /** This node begins another life: nobody is to have a part of what the old one gave. */
  renew(): void {
    this.#answers.clear();
  }

  close(cause: FlowsieveError): void {
    for (const timer of this.#copies) clearTimeout(timer);
    this.#copies.clear();
    this.#answers.clear();
    for (const asking of this.#askings.values()) asking.abort(cause);
  }

  #takeMessage(
    inbox: Inbox,
    from: string,
    { incarnation }: Letter,
    { number, message }: { readonly number: number; readonly message: Buffer },
  ): void {
    try {
      inbox.fromLetter(from, { life: incarnation, number }, message);
    } catch (error) {
      if (!(error instanceof FlowsieveError)) throw error;
      const about = () => `a letter of ${from} (${error.message})`;
      this.#context.refusals.add('malformed', about);
    }
  }

  #takePiece(inbox: Inbox, from: string, said: Letter, piece: Piece): void {
    const { number } = piece;
    if (inbox.has(from, { life: said.incarnation, number })) return;
    const pieces = this.#pieces.get(from) ?? new Pieces();
    this.#pieces.set(from, pieces);
    const message = pieces.take(said.incarnation, piece, performance.now());
    if (message) this.#takeMessage(inbox, from, said, { number, message });
  }

  #post(peer: RosterPeer, to: Incarnation, content: Content): void {
    const { roster, counters, sendLetter } = this.#context;
    const plain = encodeLetter({ incarnation: roster.self.incarnation, to, content });
    counters.add(sendLetter(plain, peer) ? 'lettersSent' : 'lettersUnsent');
  }
}
