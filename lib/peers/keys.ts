// Keys from secrets. Every key is for one purpose, one sender and one receiver, so that nothing
// that was sent to one node is taken by another, or on another path.
import { createHash, hkdfSync } from 'node:crypto';

/** What a key is for: heartbeats on the sync path, on the capture interface; letters; streams. */
export type Purpose = 'sync' | 'wire' | 'letter' | 'stream';

/** The bytes of a key id. */
export const KEY_ID_BYTES = 4;
/** The receiver of what goes to all. */
export const EVERYBODY = '*';

/** A secret within one cluster: what it is called on the network, and the keys made from it. */
export class Secret {
  readonly #secret: Buffer;
  readonly #cluster: string;
  readonly #keys = new Map<string, Buffer>();
  /** Says which secret; says nothing of it. */
  readonly id: Buffer;
  /** The same as hexadecimal digits. */
  readonly idText: string;

  constructor(secret: Buffer, cluster: string) {
    this.#secret = Buffer.from(secret);
    this.#cluster = cluster;
    this.id = this.#derive('key id', KEY_ID_BYTES);
    this.idText = this.id.toString('hex');
  }

  // HKDF-SHA-256 (RFC 5869) with the cluster's name as salt: two clusters with the same secret
  // have nothing in common. Names have no slashes, so no two infos are the same.
  #derive(info: string, bytes: number): Buffer {
    const label = `flowsieve peers ${info}`;
    return Buffer.from(hkdfSync('sha256', this.#secret, this.#cluster, label, bytes));
  }

  /** The key of 32 bytes by which `from` speaks to `to`; derived once. */
  key(purpose: Purpose, from: string, to: string): Buffer {
    const info = `${purpose}/${from}/${to}`;
    const known = this.#keys.get(info);
    if (known) return known;
    const made = this.#derive(info, 32);
    this.#keys.set(info, made);
    return made;
  }
}

/** Four bytes that tell clusters apart on the network. */
export function clusterTag(cluster: string): Buffer {
  return createHash('sha256').update(`flowsieve cluster ${cluster}`).digest().subarray(0, 4);
}
