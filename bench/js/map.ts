// The peer that a Node user would write today: a JavaScript Map from a string made of addresses and
// ports to the connection. What it does for a packet is what a node does for one of a connection
// that is open: find out whose it is, look it up, note when it was last seen.
//
// It knows IPv4 and TCP and no malformed packet: less than the engine looks at. Who owns a new
// connection it is told: only packets of connections that are open are measured.

const IPV4 = 0x0800;
const TCP = 6;
const ETHERNET_BYTES = 14;

interface Entry {
  readonly owner: number;
  lastSeen: number;
}

/** A node's connections in a Map. */
export class MapTable {
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly self: number) {}

  get size(): number {
    return this.entries.size;
  }

  /** The connection of a frame, in words; null when the frame is not TCP over IPv4. */
  private keyOf(frame: Buffer): string | null {
    if (frame.length < 54 || frame.readUInt16BE(12) !== IPV4) return null;
    if (frame[23] !== TCP) return null;
    const transport = ETHERNET_BYTES + ((frame[14] as number) & 0x0f) * 4;
    const source = `${frame[26]}.${frame[27]}.${frame[28]}.${frame[29]}`;
    const destination = `${frame[30]}.${frame[31]}.${frame[32]}.${frame[33]}`;
    const ports = `${frame.readUInt16BE(transport)}>${frame.readUInt16BE(transport + 2)}`;
    return `${source}>${destination}:${ports}`;
  }

  /** A connection opens. */
  enter(frame: Buffer, owner: number, now: number): void {
    const key = this.keyOf(frame);
    if (key !== null) this.entries.set(key, { owner, lastSeen: now });
  }

  /** True when this node is to take the packet. */
  decide(frame: Buffer, now: number): boolean {
    const key = this.keyOf(frame);
    const entry = key === null ? undefined : this.entries.get(key);
    if (!entry) return false;
    entry.lastSeen = now;
    return entry.owner === this.self;
  }
}
