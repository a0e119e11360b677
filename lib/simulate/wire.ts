import type { Connection, Packet } from './model.js';
import { type PacketKind, writeFrame } from './packets.js';
import type { EventQueue } from './queue.js';
import type { Random } from './random.js';

/** A packet, and when it came to one node. */
export interface Arrival {
  readonly time: number;
  readonly packet: Packet;
}

/** What one node has received and not looked at. */
export class Ring {
  private arrivals: Arrival[] = [];
  private readonly latest = new Map<string, number>();

  /**
   * Packets of one connection keep their order, those of different ones need not: the switch may
   * have sent them over different ports.
   */
  push(time: number, packet: Packet): number {
    const arrival = Math.max(time, this.latest.get(packet.key) ?? 0);
    this.latest.set(packet.key, arrival);
    const { arrivals } = this;
    let at = arrivals.length;
    while (at > 0 && (arrivals[at - 1] as Arrival).time > arrival) at -= 1;
    arrivals.splice(at, 0, { time: arrival, packet });
    return arrival;
  }

  /** Takes out what has arrived by `now`. */
  take(now: number): Arrival[] {
    let count = 0;
    while (count < this.arrivals.length && (this.arrivals[count] as Arrival).time <= now)
      count += 1;
    return this.arrivals.splice(0, count);
  }

  /** When the first that has not been taken arrives. */
  get next(): number | undefined {
    return this.arrivals[0]?.time;
  }
}

/** Whoever sees the packets for the cluster address. */
export interface Listener {
  receive(time: number, packet: Packet): void;
}

/** The wire of the clients: every listener sees every packet, each a little later than another. */
export class Wire {
  readonly packets: Packet[] = [];
  private readonly listeners = new Set<Listener>();

  constructor(
    private readonly queue: EventQueue,
    private readonly random: Random,
    /** Two listeners see a packet at most so many milliseconds apart. */
    private readonly spread: number,
  ) {}

  attach(listener: Listener): void {
    this.listeners.add(listener);
  }

  detach(listener: Listener): void {
    this.listeners.delete(listener);
  }

  send(connection: Connection, kind: PacketKind, opens: boolean): Packet {
    const { tuple, key } = connection;
    const id = this.packets.length;
    const frame = writeFrame(tuple, kind, id);
    const sentAt = this.queue.now;
    const packet = { id, kind, tuple, key, frame, connection, sentAt, opens, takers: [] };
    this.packets.push(packet);
    for (const listener of this.listeners) {
      listener.receive(sentAt + this.random.between(0, this.spread), packet);
    }
    return packet;
  }
}
