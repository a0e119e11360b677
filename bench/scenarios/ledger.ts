// Whose packets reach another server than their connection began with.
//
// One engine stands for the cluster. In it every node sees every packet and keeps an entry of every
// connection, own or another's, that names its owner; these entries are the same in all nodes. So a
// node is enough that owns nothing and looks on: the packets of a connection go where its entry
// says, and that is read after they have been decided.
//
//   open    SYN and ACK, decided by the bucket           -> its owner is the server, "home"
//   change  other owners of buckets; then every open connection sends a packet
//                                                        -> the entry's owner must still be home
//   close   FIN
//
// Beside it stands a plain twin without any table, "hash alone": there a packet goes to the owner
// of its connection's bucket.
//
// A connection is broken, once, when a packet of it would reach another server than its home while
// its home has not died. One whose home has died is lost, whatever anybody does.
import { addon } from '../../lib/native/index.js';
import type { Engine } from '../js/engine.js';
import { eachRecord } from '../js/frames.js';

interface Connection {
  /** Node index of its server, and its bucket; -1: not read yet. */
  home: number;
  bucket: number;
  isBroken: boolean;
  isBrokenByHash: boolean;
}

const KEY_BYTES = 40;
// The bucket of one in so many is computed anew from its key.
const SAMPLE = 64;

/** The open connections, and what became of all. */
export class Ledger {
  readonly counts = { opened: 0, broken: 0, brokenByHash: 0, lost: 0, changes: 0 };
  private readonly live = new Map<number, Connection>();

  constructor(
    private readonly engine: Engine,
    private owners: Uint16Array,
  ) {}

  /** Connections that are open. */
  get size(): number {
    return this.live.size;
  }

  open(number: number): void {
    this.engine.push(number, 'syn');
    this.engine.push(number, 'ack');
    this.live.set(number, { home: -1, bucket: -1, isBroken: false, isBrokenByHash: false });
    this.counts.opened += 1;
  }

  close(number: number): void {
    if (this.live.delete(number)) this.engine.push(number, 'fin');
  }

  /** The buckets have other owners from now on. */
  change(owners: Uint16Array): void {
    this.engine.turn();
    this.engine.allocate(owners);
    this.verify(owners);
  }

  /** A server has died, and others have its buckets. */
  bury(dead: number, owners: Uint16Array): void {
    this.settle();
    this.engine.bury(dead, owners);
    for (const [number, { home }] of this.live) {
      if (home !== dead) continue;
      this.live.delete(number);
      // The client goes on until somebody answers with a reset.
      this.engine.push(number, 'ack');
      this.counts.lost += 1;
    }
    this.verify(owners);
  }

  /** Connections of each owner and of each bucket. */
  loads(buckets: number, owners: number): { byBucket: number[]; byOwner: number[] } {
    this.settle();
    const byBucket = new Array<number>(buckets).fill(0);
    const byOwner = new Array<number>(owners).fill(0);
    for (const { home, bucket } of this.live.values()) {
      byBucket[bucket] = (byBucket[bucket] ?? 0) + 1;
      byOwner[home] = (byOwner[home] ?? 0) + 1;
    }
    return { byBucket, byOwner };
  }

  /** Reads where the connections since the last change are at home. */
  private settle(): void {
    this.engine.turn();
    this.look((connection, owner) => {
      if (connection.home !== owner && !connection.isBroken) {
        throw new Error(`Expected owner ${connection.home} of a connection but received ${owner}.`);
      }
    });
  }

  /** Every open connection sends a packet: whose is it? */
  private verify(owners: Uint16Array): void {
    this.counts.changes += 1;
    for (const number of this.live.keys()) this.engine.push(number, 'ack');
    this.engine.turn();
    this.look((connection, owner) => {
      this.judge(connection, owner, owners[connection.bucket] as number);
    });
    this.owners = owners;
  }

  /** Shows every open connection with the owner that its entry names. */
  private look(show: (connection: Connection, owner: number) => void): void {
    let seen = 0;
    for (const block of this.engine.blocks()) {
      eachRecord(block, (number, owner, bucket, at) => {
        const connection = this.live.get(number);
        if (!connection) return;
        seen += 1;
        if (connection.home < 0) this.place(connection, bucket, number, block.subarray(at));
        show(connection, owner);
      });
    }
    if (seen !== this.live.size) {
      throw new Error(`Expected ${this.live.size} connections in the table but found ${seen}.`);
    }
  }

  /** A connection is at home where the allocation put it when it opened: since the last change. */
  private place(connection: Connection, bucket: number, number: number, record: Buffer): void {
    connection.bucket = bucket;
    connection.home = this.owners[bucket] as number;
    if (number % SAMPLE !== 0) return;
    const hashed = addon.hash(this.engine.distribution, record.subarray(0, KEY_BYTES));
    if (hashed.bucket !== bucket) {
      throw new Error(`Expected bucket ${hashed.bucket} of a record but received ${bucket}.`);
    }
  }

  private judge(connection: Connection, owner: number, byHash: number): void {
    if (owner !== connection.home && !connection.isBroken) {
      connection.isBroken = true;
      this.counts.broken += 1;
    }
    if (byHash !== connection.home && !connection.isBrokenByHash) {
      connection.isBrokenByHash = true;
      this.counts.brokenByHash += 1;
    }
  }
}
