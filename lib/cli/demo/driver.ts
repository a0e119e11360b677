// The handle of the traffic program (traffic.ts): one promise per command.
import { fileURLToPath } from 'node:url';
import type { Child } from './child.js';
import type {
  Answer,
  BulkResult,
  CommandBody,
  Datagrams,
  DatagramsResult,
  Fared,
  Hold,
  Opened,
  OpeningFate,
  ShortResult,
  Target,
} from './commands.js';
import type { Lab } from './lab.js';

/** The traffic of one namespace, aimed at one port of one or more addresses. */
export class Driver {
  private readonly child: Child;
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private commands = 0;

  constructor(
    lab: Lab,
    namespace: string,
    private readonly port: number,
  ) {
    const program = fileURLToPath(new URL('./traffic.js', import.meta.url));
    this.child = lab.spawn(namespace, [process.execPath, program]);
    this.child.onLine((line) => {
      const answer = JSON.parse(line) as Answer;
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
    void this.child.ended.then(() => {
      const error = `the traffic program ended: ${this.child.stderr.slice(-3).join(' | ')}`;
      for (const [id, done] of this.waiting) done({ id, error });
      this.waiting.clear();
    });
  }

  /** Short connections: each asks who is there and closes. */
  short(
    address: string,
    count: number,
    concurrency = 16,
    patienceMs = 15_000,
  ): Promise<ShortResult> {
    const order = { count, concurrency, patienceMs };
    return this.command<ShortResult>({ do: 'short', ...this.at(address), ...order });
  }

  /** Opens conversations and keeps them open under a name. */
  hold(
    kind: Hold['do'],
    name: string,
    address: string,
    count: number,
    everyMs = 200,
  ): Promise<Opened> {
    return this.command<Opened>({ do: kind, name, ...this.at(address), count, everyMs });
  }

  /** How the conversations of that name fared so far. */
  look(name: string): Promise<Fared> {
    return this.command<Fared>({ do: 'look', name });
  }

  /** Ends the conversations of that name, and tells how they fared. */
  release(name: string): Promise<Fared> {
    return this.command<Fared>({ do: 'release', name });
  }

  /** Begins to open connections at a steady pace under a name, to the addresses in turn. */
  async steady(
    name: string,
    addresses: readonly string[],
    perSecond: number,
    patienceMs = 8_000,
  ): Promise<void> {
    const order = { addresses, port: this.port, perSecond, patienceMs };
    await this.command({ do: 'steady', name, ...order });
  }

  /** Opens no more under that name; tells what happened to each. */
  settle(name: string): Promise<OpeningFate[]> {
    return this.command<OpeningFate[]>({ do: 'settle', name });
  }

  /** One download, checked piece by piece. */
  download(address: string, bytes: number): Promise<BulkResult> {
    return this.command<BulkResult>({ do: 'download', ...this.at(address), bytes });
  }

  /** One upload, checked by its hash. */
  upload(address: string, bytes: number): Promise<BulkResult> {
    return this.command<BulkResult>({ do: 'upload', ...this.at(address), bytes });
  }

  /** Datagrams, each answered before the next. */
  datagrams(
    address: string,
    order: Pick<Datagrams, 'count' | 'each' | 'size'>,
    waitMs = 1_000,
  ): Promise<DatagramsResult> {
    return this.command<DatagramsResult>({
      do: 'datagrams',
      ...this.at(address),
      ...order,
      waitMs,
    });
  }

  /** Ends the program, and with it whatever is still open. */
  async close(): Promise<void> {
    await this.child.stop('SIGKILL');
  }

  private at(address: string): Target {
    return { address, port: this.port };
  }

  private command<Result>(body: CommandBody): Promise<Result> {
    this.commands += 1;
    const id = this.commands;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, (answer) => {
        if (answer.error === undefined) resolve(answer.result as Result);
        else reject(new Error(`Expected traffic (${body.do}) but ${answer.error}.`));
      });
      if (this.child.running) this.child.write(JSON.stringify({ id, ...body }));
    });
  }
}
