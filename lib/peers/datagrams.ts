// UDP on the node's own address. Every peer has a socket of its own, connected to it: the kernel
// sorts what comes, so a flood from elsewhere fills another buffer than heartbeats come in. What
// no such socket takes comes to the open one, where it is counted.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';

type Take = (bytes: Buffer, address: string) => void;

/** The sockets of one address. */
export class Datagrams {
  readonly #take: Take;
  readonly #port: number;
  #address = '';
  #open: Socket | null = null;
  readonly #connected = new Map<string, { socket: Socket; ready: boolean }>();

  constructor(port: number, take: Take) {
    this.#port = port;
    this.#take = take;
  }

  #make(): Socket {
    const type = isIPv6(this.#address) ? 'udp6' : 'udp4';
    // Shared among the sockets of this process; TCP has seen to it that there is no other.
    const socket = createSocket({ type, reuseAddr: true });
    socket.on('message', (bytes, { address }) => this.#take(bytes, address));
    return socket;
  }

  /** Binds the open socket; rejects with the system's error. */
  bind(address: string): Promise<void> {
    this.#address = address;
    const socket = this.#make();
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close();
        reject(error);
      });
      socket.bind({ address, port: this.#port, exclusive: true }, () => {
        socket.removeAllListeners('error');
        // A peer that is not there is said to be unreachable; that is no news.
        socket.on('error', () => undefined);
        this.#open = socket;
        resolve();
      });
    });
  }

  /** Has a connected socket for each of these addresses, and for no other. */
  connect(addresses: ReadonlySet<string>): void {
    for (const [address, { socket }] of this.#connected) {
      if (addresses.has(address)) continue;
      this.#connected.delete(address);
      socket.close();
    }
    if (!this.#open) return;
    for (const address of addresses) if (!this.#connected.has(address)) this.#connectTo(address);
  }

  #connectTo(address: string): void {
    const socket = this.#make();
    const entry = { socket, ready: false };
    this.#connected.set(address, entry);
    const drop = () => {
      if (entry.ready || this.#connected.get(address) !== entry) return;
      this.#connected.delete(address);
      socket.close();
    };
    socket.on('error', drop);
    socket.bind({ address: this.#address, port: this.#port, exclusive: true }, () => {
      if (this.#connected.get(address) !== entry) return;
      // The types have no error here; there is one when no way leads there.
      const done = (error?: Error) => {
        entry.ready = !error;
        drop();
      };
      socket.connect(this.#port, address, done as () => void);
    });
  }

  /** Sends to an address; false when there is no socket yet. */
  send(bytes: Buffer, address: string): boolean {
    const own = this.#connected.get(address);
    const ignore = () => undefined;
    if (own?.ready) own.socket.send(bytes, ignore);
    else if (this.#open) this.#open.send(bytes, this.#port, address, ignore);
    else return false;
    return true;
  }

  close(): void {
    for (const { socket } of this.#connected.values()) socket.close();
    this.#connected.clear();
    this.#open?.close();
    this.#open = null;
  }
}
