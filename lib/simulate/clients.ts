import type { Connection, Packet } from './model.js';
import { type Tuple, tupleText } from './packets.js';
import type { World } from './world.js';

// Retransmissions of a packet that opens a connection: TCP's first second, then sooner than TCP's
// doubling, so that a short run sees many.
const RETRY_MS = [1000, 1100, 1200] as const;
/** A client that waits for an answer tries again at least so often. */
export const RETRY_MS_MAX = 1300;
// A port is not taken again sooner: longer than any packet is held, and any node behind.
const REUSE_MS = 1300;
const CLUSTER_PORTS = [80, 443] as const;
// So many connections at most that the rush of one change brings.
const RUSH_MAX = 250;

/** How one connection behaves. */
interface Behaviour {
  /** Milliseconds between its packets, on the average. */
  readonly gap: number;
  /** How many packets it sends before it closes. */
  readonly packets: number;
}

/** The clients: they open, use and close connections, and take their ports again. */
export class Clients {
  readonly connections: Connection[] = [];
  private readonly closed: Connection[] = [];
  private nextPort = 1024;
  private hurry = 0;
  private open = false;
  private arrivals = 0;

  constructor(private readonly world: () => World) {}

  /** From now on connections are opened. */
  begin(): void {
    if (this.open) return;
    this.open = true;
    this.next(++this.arrivals);
  }

  /** From now on none is; those that are open go on. */
  end(): void {
    this.open = false;
  }

  /** Something changes: whatever can go wrong goes wrong within milliseconds, so be there. */
  rush(): void {
    if (this.hurry > 0) {
      this.hurry = RUSH_MAX;
      return;
    }
    this.hurry = RUSH_MAX;
    if (this.open) this.next(++this.arrivals);
  }

  calm(): void {
    this.hurry = 0;
  }

  private next(ticket: number): void {
    const { queue, random, scenario } = this.world();
    const mean = this.hurry > 0 ? scenario.rushGap : scenario.gap;
    queue.after(random.exponential(mean), () => {
      if (!this.open || ticket !== this.arrivals) return;
      if (this.hurry > 0) this.hurry -= 1;
      this.begins();
      this.next(ticket);
    });
  }

  private begins(): void {
    const { random, queue } = this.world();
    const tuple = this.tuple();
    const connection: Connection = {
      id: this.connections.length,
      tuple,
      key: tupleText(tuple),
      state: 'opening',
      knocks: 0,
      accepted: 0,
      server: null,
      begun: queue.now,
      openedAt: 0,
    };
    this.connections.push(connection);
    const isLong = random.chance(0.15);
    const behaviour: Behaviour = isLong
      ? { gap: random.between(300, 1500), packets: Number.POSITIVE_INFINITY }
      : { gap: random.between(2, 120), packets: random.below(6) };
    this.behaviours.set(connection, behaviour);
    this.knock(connection, 0);
  }

  private readonly behaviours = new WeakMap<Connection, Behaviour>();

  private tuple(): Tuple {
    const { random } = this.world();
    if (this.closed.length > 0 && random.chance(0.2)) {
      const index = random.below(this.closed.length);
      const [reused] = this.closed.splice(index, 1);
      if (reused) return reused.tuple;
    }
    const protocol = random.chance(0.2) ? 'udp' : 'tcp';
    const family = random.chance(0.3) ? 6 : 4;
    const port = this.nextPort++;
    return {
      protocol,
      family,
      host: 1 + random.below(1000),
      port,
      serverPort: random.pick(CLUSTER_PORTS),
    };
  }

  /** Sends what opens a connection until somebody answers. */
  private knock(connection: Connection, times: number): void {
    if (connection.state !== 'opening') return;
    const { wire, judge, queue } = this.world();
    const packet = wire.send(
      connection,
      connection.tuple.protocol === 'udp' ? 'datagram' : 'syn',
      true,
    );
    this.log(packet);
    judge.expects(packet);
    connection.knocks += 1;
    queue.after(RETRY_MS[Math.min(times, RETRY_MS.length - 1)] as number, () => {
      this.knock(connection, times + 1);
    });
  }

  /** The answer to what opens the connection has come. */
  answered(connection: Connection): void {
    if (connection.state !== 'opening') return;
    connection.state = 'open';
    connection.openedAt = this.world().queue.now;
    if (connection.tuple.protocol === 'tcp') this.sends(connection, 'data');
    const behaviour = this.behaviours.get(connection);
    if (behaviour) this.goOn(connection, behaviour, behaviour.packets);
  }

  private goOn(connection: Connection, behaviour: Behaviour, left: number): void {
    const { queue, random } = this.world();
    queue.after(1 + random.exponential(behaviour.gap), () => {
      if (connection.state !== 'open') return;
      if (left > 0) {
        this.sends(connection, connection.tuple.protocol === 'udp' ? 'datagram' : 'data');
        this.goOn(connection, behaviour, left - 1);
      } else if (connection.tuple.protocol === 'tcp') {
        this.sends(connection, random.chance(0.8) ? 'fin' : 'reset');
        connection.state = 'closed';
        queue.after(REUSE_MS, () => this.closed.push(connection));
      }
    });
  }

  private sends(connection: Connection, kind: 'data' | 'fin' | 'reset' | 'datagram'): void {
    this.log(this.world().wire.send(connection, kind, false));
  }

  private log({ id, kind, connection, key }: Packet): void {
    this.world().trace.line('client', () => `#${id} ${kind} of connection ${connection.id} ${key}`);
  }

  /** A server says that it does not know the connection. */
  reset(connection: Connection): void {
    if (connection.state === 'open' || connection.state === 'opening') connection.state = 'broken';
  }
}
