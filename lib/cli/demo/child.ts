import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Options of {@link Child} beyond the argument vector. */
export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

const LINES_KEPT = 10_000;

/**
 * A running program whose output is read line by line. The last ten thousand lines are kept, so
 * that waiting for a line cannot miss one that came before the wait began.
 */
export class Child {
  /** Resolves when the program has ended and its output has been read to the end. Never rejects. */
  readonly ended: Promise<Ended>;
  private readonly process: ChildProcess;
  private readonly output: string[] = [];
  private readonly complaints: string[] = [];
  private readonly listeners = new Set<(line: string) => void>();
  private end: Ended | undefined;

  constructor(
    readonly name: string,
    argv: readonly string[],
    options: ChildOptions = {},
  ) {
    const [command = '', ...rest] = argv;
    this.process = spawn(command, rest, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    // A program that ended before it read its input is told by `ended`, not by a broken pipe.
    this.process.stdin?.on('error', () => {});
    this.read(this.process.stdout, this.output, (line) => {
      for (const listener of this.listeners) listener(line);
    });
    this.read(this.process.stderr, this.complaints, () => {});
    this.ended = new Promise((resolve) => {
      const finish = (end: Ended): void => {
        this.end ??= end;
        resolve(this.end);
      };
      this.process.once('close', (code, signal) => finish({ code, signal }));
      this.process.once('error', (error) => {
        this.complaints.push(error.message);
        finish({ code: 127, signal: null });
      });
    });
  }

  /**
   * The process id; it stays the program's own, because every wrapper around it replaces itself.
   */
  get pid(): number {
    return this.process.pid ?? -1;
  }

  /** True until the program has ended. */
  get running(): boolean {
    return this.end === undefined;
  }

  /** The latest lines of standard output. */
  get stdout(): readonly string[] {
    return this.output;
  }

  /** The latest lines of standard error. */
  get stderr(): readonly string[] {
    return this.complaints;
  }

  /**
   * Calls `listener` for every line of standard output from now on; the returned
   * function ends that.
   */
  onLine(listener: (line: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Writes one line to the program's standard input. */
  write(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  /** Writes the last of the program's standard input, if any, and closes it. */
  finishInput(text?: string): void {
    this.process.stdin?.end(text ?? '');
  }

  /**
   * The first line of standard output that `wanted` accepts, whether it has come already or
   * is still to come.
   */
  async line(wanted: (line: string) => boolean, deadlineMs = 10_000): Promise<string> {
    const past = this.output.find(wanted);
    if (past !== undefined) return past;
    let stop = (): void => {};
    let timer: NodeJS.Timeout | undefined;
    const arrival = new Promise<string>((resolve, reject) => {
      stop = this.onLine((line) => {
        if (wanted(line)) resolve(line);
      });
      timer = setTimeout(
        () => reject(this.failure(`said nothing of it in ${deadlineMs} ms`)),
        deadlineMs,
      );
      void this.ended.then((end) => reject(this.failure(`ended (${describeEnd(end)})`)));
    });
    try {
      return await arrival;
    } finally {
      stop();
      clearTimeout(timer);
    }
  }

  /** Sends a signal; does nothing when the program has ended. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.process.kill(signal);
  }

  /** Asks the program to end and waits; past the deadline it is killed. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', deadlineMs = 5_000): Promise<Ended> {
    this.signal(signal);
    const timer = setTimeout(() => this.signal('SIGKILL'), deadlineMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  private failure(what: string): Error {
    const last = this.complaints.slice(-5).join(' | ').replace(/\.$/, '');
    const said = last === '' ? '' : `: ${last}`;
    return new Error(`Expected a line from ${this.name} but it ${what}${said}.`);
  }

  private read(
    stream: NodeJS.ReadableStream | null,
    kept: string[],
    each: (line: string) => void,
  ): void {
    if (stream === null) return;
    createInterface({ input: stream }).on('line', (line) => {
      kept.push(line);
      if (kept.length > LINES_KEPT) kept.shift();
      each(line);
    });
  }
}

/** `code 1`, or `signal SIGKILL`. */
export function describeEnd(end: Ended): string {
  return end.signal === null ? `code ${end.code}` : `signal ${end.signal}`;
}

/**
 * Waits until `condition` gives a value that is neither undefined nor false; asks again
 * every `everyMs`.
 */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = 10_000,
  everyMs = 20,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end)
      throw new Error(`Expected ${what} within ${deadlineMs} ms but it did not come.`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
