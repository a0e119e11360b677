// New connections at a steady pace, each with an account of its own, the client's side.
import { connect } from 'node:net';
import type { OpeningFate, Steady } from './commands.js';
import { kind } from './transfers.js';

const QUESTION = 'GET /who HTTP/1.1\r\nHost: cluster\r\nConnection: close\r\n\r\n';
const NODE = /^x-node: (.+)\r$/m;

/** Opens connections until it is settled; see {@link Steady}. */
export class SteadyOpenings {
  private readonly fates: Promise<OpeningFate>[] = [];
  private readonly start = performance.now();
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly order: Steady) {
    // As many as are due by now: a timer that comes late does not slow the pace.
    this.timer = setInterval(() => this.catchUp(), 1000 / order.perSecond);
  }

  /** Opens no more, and waits for what is under way. */
  settle(): Promise<OpeningFate[]> {
    clearInterval(this.timer);
    return Promise.all(this.fates);
  }

  private catchUp(): void {
    const { addresses, perSecond } = this.order;
    const due = ((performance.now() - this.start) / 1000) * perSecond;
    while (this.fates.length < due) {
      const address = addresses[this.fates.length % addresses.length] ?? '';
      this.fates.push(open(address, this.order));
    }
  }
}

/** Never rejects: what went wrong is part of the account. */
function open(address: string, { port, patienceMs }: Steady): Promise<OpeningFate> {
  const at = Date.now();
  const start = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, noDelay: true });
    let connectMs: number | null = null;
    let local = 0;
    let said = '';
    const finish = (error: string | null): void => {
      clearTimeout(timer);
      socket.destroy();
      const node = NODE.exec(said)?.[1] ?? null;
      const why = error ?? (node === null ? 'no answer' : null);
      resolve({ address, port: local, at, connectMs, endedAt: Date.now(), node, error: why });
    };
    const timer = setTimeout(() => finish('timeout'), patienceMs);
    socket.on('connect', () => {
      connectMs = performance.now() - start;
      local = socket.localPort ?? 0;
      socket.write(QUESTION);
    });
    socket.on('data', (piece: Buffer) => {
      said += piece.toString('latin1');
    });
    socket.on('end', () => finish(null));
    socket.on('error', (error) => finish(kind(error)));
  });
}
