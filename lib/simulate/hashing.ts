import { addon, type NativeDistribution } from '../native/index.js';
import type { Criteria } from '../protocol/index.js';
import { type Tuple, tupleKey } from './packets.js';
import type { Distribution } from './plane.js';

// Source and destination, addresses and ports.
const ALL_FIELDS = 15;
const KEY_BYTES = 40;

/** Remembers the bucket of every connection: the twin asks for it with every packet. */
class Hashing implements Distribution {
  private readonly known = new Map<string, number>();

  constructor(readonly native: NativeDistribution) {}

  get buckets(): number {
    return this.native.buckets;
  }

  bucket(tuple: Tuple, key: string): number {
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const { bucket } = addon.hash(this.native, tupleKey(tuple));
    this.known.set(key, bucket);
    return bucket;
  }
}

/** What the simulated nodes agree on as criteria: the key of the hash, as one number. */
export interface Settings {
  readonly key: number;
}

/** Criteria with that key. */
export function makeCriteria(key: number, buckets: number): Criteria {
  const settings: Settings = { key };
  return { digest: `siphash-${key}-${buckets}`, buckets, settings };
}

/** The distributions of one simulation, one for each criteria. */
export class Distributions {
  private readonly byDigest = new Map<string, Distribution>();

  of(criteria: Criteria): Distribution {
    const known = this.byDigest.get(criteria.digest);
    if (known) return known;
    const key = new Uint8Array(KEY_BYTES).fill((criteria.settings as Settings).key);
    const made = new Hashing({
      hash: 'siphash',
      key,
      fields: ALL_FIELDS,
      sourcePrefixIpv4: 32,
      sourcePrefixIpv6: 128,
      destinationPrefixIpv4: 32,
      destinationPrefixIpv6: 128,
      symmetric: false,
      buckets: criteria.buckets,
    });
    this.byDigest.set(criteria.digest, made);
    return made;
  }
}
