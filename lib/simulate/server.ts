import type { Connection, Packet, Socket } from './model.js';
import type { Process } from './process.js';
import type { World } from './world.js';

const ANSWER_MS = [0.1, 1.5] as const;

/**
 * The server on a node, as far as its clients see it: it accepts what opens a connection, and
 * resets what belongs to none that it has.
 */
export class Server {
  readonly sockets = new Map<string, Socket>();

  constructor(
    private readonly world: World,
    private readonly process: Process,
  ) {}

  /** A packet is delivered. */
  take(packet: Packet): void {
    const { connection, kind } = packet;
    const socket = this.sockets.get(packet.key);
    const known = socket !== undefined && socket.connection === connection;
    const { trace, judge } = this.world;
    trace.line(this.process.name, () => `   takes ${packetText(packet)}`);
    judge.taken(this.process, packet, known ? socket : null);
    if (packet.opens) this.accept(packet, known);
    else if (!known) this.reset(packet);
    else if (kind === 'fin' || kind === 'reset') this.sockets.delete(packet.key);
  }

  /** A packet is decided, and not delivered. */
  pass(packet: Packet): void {
    const socket = this.sockets.get(packet.key);
    if (socket?.connection === packet.connection) this.world.judge.missed(socket, packet);
  }

  private accept({ connection, key, kind }: Packet, known: boolean): void {
    // The client has been answered by a node that is gone, and refuses another answer.
    if (!known && kind === 'syn' && connection.state === 'open') {
      this.resetBy(connection);
      return;
    }
    if (!known) {
      const socket = { connection, life: this.process.life };
      this.sockets.set(key, socket);
      connection.server = socket;
      connection.accepted += 1;
    }
    const { random, queue, clients } = this.world;
    queue.after(random.between(...ANSWER_MS), () => clients.answered(connection));
  }

  private reset({ connection }: Packet): void {
    this.resetBy(connection);
  }

  private resetBy(connection: Connection): void {
    const { random, queue, clients } = this.world;
    queue.after(random.between(...ANSWER_MS), () => clients.reset(connection));
  }
}

/** A packet in words. */
export function packetText({ id, kind, key, connection }: Packet): string {
  return `#${id} ${kind} of connection ${connection.id} ${key}`;
}
