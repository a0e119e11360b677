// The handle of tools/raw.py, which sends what no well-behaved sender does.
import { fileURLToPath } from 'node:url';
import type { Child } from '../../lib/cli/demo/child.js';
import type { Lab } from '../../lib/cli/demo/lab.js';

// Compiled tests are in dist/test/live; the tools stay where they are.
const TOOL = fileURLToPath(new URL('../../../test/live/tools/raw.py', import.meta.url));

/** A datagram in fragments. */
export interface RawDatagram {
  readonly family: 4 | 6;
  readonly size: number;
  /** Indices of the fragments in the order of sending; by default all, in order. */
  readonly order?: readonly number[];
  /** Seconds to wait for the first answer. */
  readonly wait?: number;
}

/** The raw sender in the client's namespace; one command at a time. */
export class RawSender {
  private readonly child: Child;

  constructor(lab: Lab) {
    this.child = lab.spawn('client', ['python3', TOOL]);
  }

  /** Sends it and waits for the answers. */
  datagram(order: RawDatagram): Promise<{ nodes: string[]; right: boolean; fragments: number }> {
    return this.command({ do: 'datagram', ...order }, 5_000);
  }

  /** Sends a SYN in fragments, the first of which has `first` bytes of TCP. */
  syn(
    family: 4 | 6,
    first: number,
    order?: readonly number[],
  ): Promise<{ answers: number; fragments: number }> {
    return this.command(
      { do: 'syn', family, first, ...(order === undefined ? {} : { order }) },
      5_000,
    );
  }

  /** Sends SYNs of ever new sources as fast as it can: for so long, and until there were so many. */
  flood(seconds: number, atLeast: number): Promise<{ sent: number }> {
    const limit = seconds * 5;
    return this.command({ do: 'flood', seconds, atLeast, limit }, limit * 1000 + 5_000);
  }

  /** Makes nodes take so many connections for established; always the same ones. */
  establish(count: number, perSecond: number): Promise<{ sent: number }> {
    const deadlineMs = (count / Math.min(perSecond, 10_000)) * 1000 + 5_000;
    return this.command({ do: 'establish', count, perSecond }, deadlineMs);
  }

  private async command<Result>(order: object, deadlineMs: number): Promise<Result> {
    await this.child.line((line) => line.startsWith('{"ready"'));
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        stop();
        clearTimeout(timer);
        settle();
      };
      const stop = this.child.onLine((line) => finish(() => resolve(JSON.parse(line) as Result)));
      const why = (): Error =>
        new Error(`raw.py did not answer: ${this.child.stderr.slice(-3).join(' | ')}`);
      const timer = setTimeout(() => finish(() => reject(why())), deadlineMs);
      void this.child.ended.then(() => finish(() => reject(why())));
      this.child.write(JSON.stringify(order));
    });
  }
}
