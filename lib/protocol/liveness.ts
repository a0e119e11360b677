// Who is heard, what is granted to whom, whose death one has consented to. Layer 1 of
// docs/decisions/cluster-protocol.md.
//
//   heard     a heartbeat came that echoes a reading that we wrote lately: both ways work
//   granted   our newest reading from which on a peer keeps its consent back
//   consent   given once, for one life of a peer; from then on it is granted nothing
import type { Echo, Heartbeat, Identity, PeerState, Timing } from './types.js';
import { lifeOf } from './view.js';

interface Peer {
  incarnation: number;
  /** Its newest reading, and the newest of a heartbeat by which it was heard. */
  reading: number | null;
  heardReading: number | null;
  /** When it was heard last, in this life; null: never. */
  heardAt: number | null;
  /** When it was heard last in the life before this one. */
  before: { incarnation: number; heardAt: number | null } | null;
  /** Our newest reading that it has granted. */
  granted: number | null;
  /** Its newest heartbeat, and when it last asked to be answered at once. */
  said: Heartbeat | null;
  urgentAt: number;
  answeredAt: number;
}

/** A consent to the death of one life, and what was known when it was given (last). */
interface Consent extends Moment {
  readonly identity: Identity;
}

/** The epoch of one's view, and the term. */
export interface Moment {
  readonly epoch: number;
  readonly term: number;
}

/** What a heartbeat has changed. */
export interface Taken {
  /** It is the first of this life, or of a peer that one hears again. */
  readonly news: boolean;
  /** The sender wants, and may have, an answer at once. */
  readonly answer: boolean;
}

/** How often a peer that asks for it is answered at once, at most; milliseconds. */
const ANSWER_EVERY = 10;

export class Liveness {
  private readonly peers = new Map<string, Peer>();
  private readonly consented = new Map<string, Consent>();
  /** Before this moment we were not listening. */
  private listeningSince: number;
  private ownLife: number;

  constructor(
    private readonly self: Identity,
    private readonly timing: Timing,
    now: number,
  ) {
    this.listeningSince = now;
    this.ownLife = self.incarnation;
  }

  /** We were not running until `now`: nobody's silence before it means anything. */
  wasDeaf(now: number): void {
    this.listeningSince = now;
  }

  /** We begin another life: what was granted was granted to the one before. */
  begin(incarnation: number, now: number): void {
    this.ownLife = incarnation;
    this.listeningSince = now;
    for (const peer of this.peers.values()) peer.granted = null;
  }

  /** Takes in a heartbeat; undefined when it is old. */
  take(heartbeat: Heartbeat, now: number): Taken | undefined {
    const peer = this.peerInLife(heartbeat);
    if (peer === undefined || heartbeat.sent < (peer.reading ?? heartbeat.sent)) return undefined;
    const first = peer.reading === null;
    const wasHeard = peer.heardAt !== null && now - peer.heardAt < this.timing.failAfter;
    // It comes on two paths, and on one of them in parts: what it says to us may be in a later one.
    const echo = heartbeat.echoes.find(
      ({ name, incarnation }) => name === this.self.name && incarnation === this.ownLife,
    );
    if (!echo && !first) return undefined;
    if (peer.heardReading === heartbeat.sent) return undefined;
    peer.reading = heartbeat.sent;
    peer.said = heartbeat;
    if (heartbeat.urgent) peer.urgentAt = now;
    const age = echo?.echo == null ? Number.POSITIVE_INFINITY : now - echo.echo;
    if (age <= this.timing.failAfter) {
      peer.heardReading = heartbeat.sent;
      peer.heardAt = now;
    }
    if (echo?.grant != null) peer.granted = Math.max(peer.granted ?? echo.grant, echo.grant);
    const answer = (first || heartbeat.urgent) && now - peer.answeredAt >= ANSWER_EVERY;
    if (answer) peer.answeredAt = now;
    return { news: first || (!wasHeard && peer.heardAt === now), answer };
  }

  private peerInLife({ name, incarnation }: Identity): Peer | undefined {
    const known = this.peers.get(name);
    if (known && known.incarnation > incarnation) return undefined;
    if (known && known.incarnation === incarnation) return known;
    const peer: Peer = {
      incarnation,
      reading: null,
      heardReading: null,
      heardAt: null,
      before: known ? { incarnation: known.incarnation, heardAt: known.heardAt } : null,
      granted: null,
      said: null,
      urgentAt: Number.NEGATIVE_INFINITY,
      answeredAt: Number.NEGATIVE_INFINITY,
    };
    this.peers.set(name, peer);
    return peer;
  }

  /**
   * What our next heartbeat says to each of `names`.
   *
   * @param isOver - in our view this life has ended
   * @param mayGrant - we know enough to keep our consent back
   */
  echoes(
    names: readonly string[],
    isOver: (peer: Identity) => boolean,
    mayGrant: (peer: Identity) => boolean,
  ): Echo[] {
    const echoes: Echo[] = [];
    for (const name of names) {
      const peer = this.peers.get(name);
      if (name === this.self.name || peer === undefined) continue;
      const identity = { name, incarnation: peer.incarnation };
      const refused = this.hasConsented(identity) || !mayGrant(identity);
      echoes.push({
        ...identity,
        echo: peer.reading,
        grant: refused ? null : peer.heardReading,
        dead: isOver(identity),
      });
    }
    return echoes;
  }

  /** By peer, the newest of our readings that it has granted. */
  granted(): Map<string, number> {
    const granted = new Map<string, number>();
    for (const [name, peer] of this.peers)
      if (peer.granted !== null) granted.set(name, peer.granted);
    return granted;
  }

  /** Milliseconds since this life of a node was heard, or since we have been listening. */
  silence({ name, incarnation }: Identity, now: number): number {
    const peer = this.peers.get(name);
    const life =
      peer?.incarnation === incarnation
        ? peer
        : peer?.before?.incarnation === incarnation
          ? peer.before
          : undefined;
    return now - Math.max(life?.heardAt ?? Number.NEGATIVE_INFINITY, this.listeningSince);
  }

  /** The same for whatever life of a node is the latest that we know of. */
  isQuiet(name: string, now: number): boolean {
    return (
      this.silence({ name, incarnation: this.incarnation(name) }, now) >= this.timing.failAfter
    );
  }

  /** Nobody need wait for this life of a node any more, as far as we can tell. */
  isSilent(identity: Identity, now: number): boolean {
    return this.silence(identity, now) >= this.timing.failAfter;
  }

  /** Consents to the death of those of `identities` that are silent; returns which. */
  consent(identities: readonly Identity[], { epoch, term }: Moment, now: number): Identity[] {
    const given = identities.filter(
      (identity) =>
        identity.name !== this.self.name &&
        (this.hasConsented(identity) || this.isSilent(identity, now)),
    );
    for (const identity of given) {
      const since = this.consented.get(lifeOf(identity))?.epoch ?? epoch;
      this.consented.set(lifeOf(identity), { identity, epoch: since, term });
    }
    return given;
  }

  /** It has said itself that its life is over: that is as good as one's consent. */
  left(identity: Identity, moment: Moment): void {
    this.consented.set(lifeOf(identity), { identity, ...moment });
  }

  hasConsented(identity: Identity): boolean {
    return this.consented.has(lifeOf(identity));
  }

  consents(): Identity[] {
    return [...this.consented.values()].map(({ identity }) => identity);
  }

  /**
   * A view has been decided: it answers the consents that were given before it. Whoever it counts
   * among the living and does not condemn may be granted leases again.
   */
  decided(epoch: number, isLiving: (peer: Identity) => boolean): void {
    for (const [life, { identity, epoch: since }] of this.consented) {
      if (epoch > since && isLiving(identity)) this.consented.delete(life);
    }
  }

  /**
   * A coordinator has made a view in this term: it has asked everybody who could act on a consent
   * that was given in a term before. So a newcomer, whom no view counts, takes those back.
   */
  overruled(term: number, isLiving: (peer: Identity) => boolean): void {
    for (const [life, { identity, term: given }] of this.consented) {
      if (term > given && isLiving(identity)) this.consented.delete(life);
    }
  }

  /** The latest life of a node that we know of; 0: none. */
  incarnation(name: string): number {
    return this.peers.get(name)?.incarnation ?? 0;
  }

  /** A node is heard and has a lease that need not worry it. */
  isSecure(name: string, now: number): boolean {
    const peer = this.peers.get(name);
    return (
      this.heard(name, now) !== undefined && now - (peer?.urgentAt ?? now) > this.timing.heartbeat
    );
  }

  /** The newest heartbeat of a peer that is heard. */
  heard(name: string, now: number): Heartbeat | undefined {
    const peer = this.peers.get(name);
    if (peer?.said == null || peer.heardAt === null) return undefined;
    return now - peer.heardAt < this.timing.failAfter ? peer.said : undefined;
  }

  /** The newest heartbeats of all that are heard. */
  *allHeard(now: number): Generator<Heartbeat> {
    for (const name of this.peers.keys()) {
      const said = this.heard(name, now);
      if (said) yield said;
    }
  }

  state(now: number): PeerState[] {
    return [...this.peers].map(([name, { incarnation, heardAt }]) => ({
      name,
      incarnation,
      heardAt,
      suspected: this.isSilent({ name, incarnation }, now),
    }));
  }
}
