// One TLS connection as a sequence of frames, read only as fast as they are taken.
import type { TLSSocket } from 'node:tls';
import { type Frame, FrameReader, frameHeader } from './frames.js';

/** A connection whose other side has proved to know the secret. */
export class Connection {
  readonly #socket: TLSSocket;
  readonly #reader: FrameReader;
  readonly #frames: AsyncGenerator<Frame>;
  #cause: Error | null = null;
  #giveUp: () => void = () => undefined;
  /** Resolves when the connection has ended, whatever ended it. */
  readonly closed: Promise<void>;
  /** When bytes came last, by `performance.now()`. */
  heardAt = performance.now();
  /** Before HELLO was said, by `performance.now()`. */
  helloAt = performance.now();

  /** @param takes - the types of frames that may come */
  constructor(socket: TLSSocket, takes: readonly number[]) {
    this.#socket = socket;
    this.#reader = new FrameReader(takes);
    this.#frames = this.#read();
    // What goes wrong is told to whoever takes frames or waits for room.
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#giveUp();
        resolve();
      });
    });
  }

  async *#read(): AsyncGenerator<Frame> {
    try {
      for await (const chunk of this.#socket) {
        this.heardAt = performance.now();
        this.#reader.push(chunk as Buffer);
        for (let frame = this.#reader.next(); frame; frame = this.#reader.next()) yield frame;
      }
    } catch (error) {
      throw this.#cause ?? error;
    }
    if (this.#cause) throw this.#cause;
  }

  /** The next frame, or null at the end. */
  async next(): Promise<Frame | null> {
    const { done, value } = await this.#frames.next();
    return done ? null : value;
  }

  /** From now on these types of frames may come. */
  expect(takes: readonly number[]): void {
    this.#reader.expect(takes);
  }

  /** Sends a frame whose body is these pieces; false when the sender should wait for room. */
  send(type: number, ...body: readonly Uint8Array[]): boolean {
    if (!this.#socket.writable) return false;
    const bytes = body.reduce((sum, piece) => sum + piece.length, 0);
    this.#socket.cork();
    let room = this.#socket.write(frameHeader(type, bytes));
    for (const piece of body) room = this.#socket.write(piece);
    this.#socket.uncork();
    return room;
  }

  /** Resolves when there is room again, or nothing more can be sent. */
  drained(): Promise<void> {
    const socket = this.#socket;
    if (!socket.writableNeedDrain || socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        socket.off('drain', done);
        socket.off('close', done);
        resolve();
      };
      socket.on('drain', done);
      socket.on('close', done);
    });
  }

  /**
   * What `work` resolves to, or null when the connection ends before. One at a time. (Not a race
   * with `closed`: that would hold on to every result until the connection ends.)
   */
  whileOpen<T>(work: Promise<T>): Promise<T | null> {
    if (this.#socket.destroyed) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(null);
      work.then(resolve, reject);
    });
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  get open(): boolean {
    return this.#socket.writable;
  }

  /** Ends with `error` when nothing moves in either direction for so long; 0: it may rest. */
  limitSilence(ms: number, error: () => Error | null = () => null): void {
    this.#socket.removeAllListeners('timeout');
    this.#socket.setTimeout(ms);
    if (ms > 0) this.#socket.once('timeout', () => this.destroy(error()));
  }

  /** Sends what is queued and then ends. */
  end(): void {
    this.#socket.end();
  }

  /** Ends at once; who waits for a frame gets `cause`. */
  destroy(cause: Error | null = null): void {
    this.#cause ??= cause;
    this.#socket.destroy();
  }
}
