// What nodes say to each other about expected connections
// (docs/decisions/expected-connections.md). The core looks at none of it: views do not depend on
// what is expected.
import type { Incarnation } from './types.js';

/** How far an expectation has come on a node; it never goes back. */
export const EXPECTATION_STATES = ['pending', 'active', 'ending'] as const;

/** One of {@link EXPECTATION_STATES}. */
export type ExpectationState = (typeof EXPECTATION_STATES)[number];

/** One end of the connections that are expected. */
export interface ExpectedEnd {
  /** Null: any. */
  readonly address: string | null;
  /** Leading bits of the address that count; 0 for any. */
  readonly prefix: number;
  /** Null: any. */
  readonly port: number | null;
}

/** Which connections are expected: what a packet of theirs says, from the client to the server. */
export interface ExpectedTuple {
  /** IANA protocol number. */
  readonly protocol: number;
  readonly family: 4 | 6;
  readonly client: ExpectedEnd;
  readonly server: ExpectedEnd;
}

/** What the owner of an expectation says of it, and what is answered. */
export type ExpectationMessage =
  | {
      readonly type: 'expect';
      /** The owner's life. */
      readonly incarnation: Incarnation;
      /** Larger with every expectation, also of the owner's next life. */
      readonly id: number;
      readonly state: ExpectationState;
      readonly tuple: ExpectedTuple;
      readonly once: boolean;
      /** Milliseconds until it ends, as far as is known; only shown. */
      readonly left: number;
    }
  | {
      readonly type: 'unexpect';
      readonly incarnation: Incarnation;
      readonly id: number;
      /** The owner has contested connections: they are to be pulled first. */
      readonly contested: boolean;
    }
  | {
      readonly type: 'expected';
      /** The owner's, to whom this is the answer. */
      readonly incarnation: Incarnation;
      readonly id: number;
      /** What has been done; `gone` answers `unexpect`. */
      readonly step: ExpectationState | 'gone';
      /** Why not. */
      readonly refused: ExpectationRefusal | null;
      /** The sender has contested connections: the owner has to pull them before it takes over. */
      readonly contested: boolean;
    };

/** Why a node does not take an expectation: no room in all, of its owner's, or of masks; or another has the same identifiers. */
export const EXPECTATION_REFUSALS = ['full', 'nodeFull', 'masks', 'taken'] as const;

/** One of {@link EXPECTATION_REFUSALS}. */
export type ExpectationRefusal = (typeof EXPECTATION_REFUSALS)[number];
