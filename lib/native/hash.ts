import { isIP } from 'node:net';
import { type Configuration, resolveDistribution } from '../config/index.js';
import { expectedSentence, FlowsieveError, show } from '../errors/index.js';
import { addon } from './addon.js';
import { nativeDistribution } from './criteria.js';
import { type Flow, writeFlow } from './records.js';

/** What the distribution makes of a connection. */
export interface Hashed {
  /** The bytes that are hashed, as docs/reference/hash-layout.md writes them down. */
  readonly bytes: Buffer;
  readonly hash: bigint;
  /** From `distribution.buckets` on: not by the hash, but by a rule that takes its place. */
  readonly bucket: number;
  /** The place of the rule that matches, from 1; null: none. */
  readonly rule: number | null;
}

/**
 * The bucket of a connection, as every node of the cluster computes it for the
 * packet that opens it.
 *
 * @param flow - from the client (source) to the server (destination)
 * @throws FlowsieveError FLOWSIEVE_ARGUMENT for a flow that no packet can have
 */
export function hash(config: Configuration, flow: Flow): Hashed {
  const distribution = resolveDistribution(config);
  const made = addon.hash(nativeDistribution(distribution), writeFlow(checked(flow)));
  return {
    bytes: made.hashed,
    hash: made.hash,
    bucket: made.bucket,
    rule: made.rule < 0 ? null : made.rule + 1,
  };
}

function refuse(expected: string, path: string, received: unknown): never {
  const message = expectedSentence(expected, path, show(received));
  throw new FlowsieveError('FLOWSIEVE_ARGUMENT', message, { path });
}

function checkInteger(value: number, max: number, path: string): void {
  if (Number.isInteger(value) && value >= 0 && value <= max) return;
  refuse(`an integer from 0 to ${max}`, path, value);
}

function checked(flow: Flow): Flow {
  for (const side of ['source', 'destination'] as const) {
    const { address, port } = flow[side];
    const family = address.includes('%') ? 0 : isIP(address);
    if (family === 0) refuse('an IPv4 or IPv6 address', `${side}.address`, address);
    if (family !== isIP(flow.source.address)) {
      refuse("an address of the source's family", `${side}.address`, address);
    }
    checkInteger(port, 0xffff, `${side}.port`);
  }
  checkInteger(flow.protocolNumber, 0xff, 'protocolNumber');
  return flow;
}
