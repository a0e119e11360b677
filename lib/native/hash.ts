import { type Configuration, resolveDistribution } from '../config/index.js';
import { addon } from './addon.js';
import { nativeDistribution } from './criteria.js';
import { type Flow, writeFlow } from './records.js';

/** What the distribution makes of a connection. */
export interface Hashed {
  /** The bytes that are hashed, as docs/reference/hash-layout.md writes them down. */
  readonly bytes: Buffer;
  readonly hash: bigint;
  readonly bucket: number;
}

/**
 * The bucket of a connection, as every node of the cluster computes it for the
 * packet that opens it.
 *
 * @param flow - from the client (source) to the server (destination)
 */
export function hash(config: Configuration, flow: Flow): Hashed {
  const made = addon.hash(nativeDistribution(resolveDistribution(config)), writeFlow(flow));
  return { bytes: made.hashed, hash: made.hash, bucket: made.bucket };
}
