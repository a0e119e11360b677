// Giving short lists by letters. A list is collected once for a request, and kept for a moment: who
// asks again gets parts of the same snapshot, and costs no other list. What one peer can cost is
// bounded: lists kept, lists collected at a time, and parts sent for a request. Beyond that, and
// for every list that is long or slow, the answer is that a stream should be used.

import { maybeShort } from './asking.js';
import type { Counters } from './counters.js';
import type { ListRequest } from './frames.js';
import { collectList } from './giving.js';
import {
  type Content,
  LETTER_LIST_BYTES_MAX,
  type Letter,
  type NoList,
  PART_BYTES,
} from './letters.js';
import type { RosterPeer } from './roster.js';
import type { Limits, ListBlock } from './types.js';

/** How long an answer is kept: longer than anybody asks for it. */
const KEPT_MS = 1000;
/** How many answers are kept for a peer. */
const KEPT_MAX = 32;
/** What takes longer to collect is nearly too old to be taken, and better had over a stream. */
const COLLECT_MS = 200;
/** How many times each part of a list may be sent. */
const TIMES_MAX = 24;

/** What answers need of their surroundings. */
export interface AnswersContext {
  readonly limits: Limits;
  readonly counters: Counters;
  post(peer: RosterPeer, to: number, content: Content): void;
  onList(to: string, request: ListRequest): AsyncIterable<ListBlock> | null;
}

type Ask = Extract<Content, { type: 'ask' }>;

/** What is given for a request; null while it is collected. */
interface Answer {
  readonly since: number;
  readonly snapshot: number;
  what: readonly Buffer[] | NoList | null;
  /** What has been asked for while it was collected. */
  wanted: number;
  /** How many letters may yet be sent. */
  left: number;
}

/** Answers what peers ask for by letters. */
export class Answers {
  readonly #context: AnswersContext;
  // By the peer's name, and by its life and request.
  readonly #kept = new Map<string, Map<string, Answer>>();
  #snapshots = 0;

  constructor(context: AnswersContext) {
    this.#context = context;
  }

  /** Answers a peer that asks in one of its lives. */
  take(peer: RosterPeer, { incarnation }: Letter, ask: Ask): void {
    const key = `${incarnation}/${ask.request}/${ask.list.kind}/${ask.list.epoch}`;
    const kept = this.#of(peer.name);
    const known = kept.get(key);
    if (known) {
      this.#answer(peer, incarnation, ask, known);
      return;
    }
    const collecting = [...kept.values()].filter(({ what }) => what === null).length;
    const crowded = kept.size >= KEPT_MAX || collecting >= this.#context.limits.listsMax;
    if (crowded || !maybeShort(ask.list)) {
      const { request } = ask;
      this.#context.post(peer, incarnation, { type: 'nothing', request, why: 'elsewhere' });
      return;
    }
    this.#snapshots += 1;
    const begun: Answer = {
      since: performance.now(),
      snapshot: this.#snapshots,
      what: null,
      wanted: ask.missing,
      left: TIMES_MAX,
    };
    kept.set(key, begun);
    this.#collect(peer.name, ask.list).then((what) => {
      begun.what = what;
      begun.left = typeof what === 'string' ? TIMES_MAX : TIMES_MAX * what.length;
      // It has been forgotten when nodes or this node's life changed meanwhile.
      if (this.#kept.get(peer.name)?.get(key) !== begun) return;
      this.#answer(peer, incarnation, { ...ask, missing: begun.wanted }, begun);
    });
  }

  /** Forgets what is old, and everything for everybody but these. */
  prune(peers: ReadonlyMap<string, unknown>): void {
    for (const name of this.#kept.keys()) {
      if (!peers.has(name) || this.#of(name).size === 0) this.#kept.delete(name);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#kept.clear();
  }

  #of(name: string): Map<string, Answer> {
    const kept = this.#kept.get(name) ?? new Map<string, Answer>();
    this.#kept.set(name, kept);
    const old = performance.now() - KEPT_MS;
    for (const [key, { since }] of kept) if (since < old) kept.delete(key);
    return kept;
  }

  async #collect(to: string, list: ListRequest): Promise<readonly Buffer[] | NoList> {
    const { counters, onList } = this.#context;
    try {
      const given = onList(to, list);
      if (!given) {
        counters.add('listsRefused');
        return 'list';
      }
      const frames = await collectList(given, LETTER_LIST_BYTES_MAX, COLLECT_MS);
      if (!frames) return 'elsewhere';
      counters.add('listsGiven');
      const parts: Buffer[] = [];
      for (let at = 0; at < frames.length; at += PART_BYTES) {
        parts.push(frames.subarray(at, at + PART_BYTES));
      }
      return parts;
    } catch {
      // The stream, to which the peer turns now, will fail the same way, and say so.
      return 'elsewhere';
    }
  }

  #answer(peer: RosterPeer, to: number, { request, missing }: Ask, answer: Answer): void {
    const { snapshot, what } = answer;
    if (what === null) {
      answer.wanted |= missing;
      return;
    }
    const contents: Content[] =
      typeof what === 'string'
        ? [{ type: 'nothing', request, why: what }]
        : what.map((bytes, part) => {
            return { type: 'part', request, snapshot, parts: what.length, part, bytes };
          });
    for (const [i, content] of contents.entries()) {
      const asked = content.type === 'nothing' || (missing & (1 << i)) !== 0;
      if (!asked || answer.left === 0) continue;
      answer.left -= 1;
      this.#context.post(peer, to, content);
    }
  }
}
