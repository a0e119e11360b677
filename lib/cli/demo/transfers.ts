// Short connections and bulk transfers, the client's side.
import { createHash } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import type { Bulk, BulkResult, ByNode, Short, ShortResult } from './commands.js';
import { isPattern, patternAt } from './pattern.js';

const PATIENCE_MS = 15_000;

/** Adds one to a tally. */
export function tally(counts: ByNode, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** A short word for an error, so that equal errors are counted together. */
export function kind(error: unknown): string {
  if (error instanceof Error) return 'code' in error ? String(error.code) : error.message;
  return String(error);
}

function nodeOf(response: IncomingMessage): string {
  return String(response.headers['x-node'] ?? '');
}

/** One connection of its own that asks who is there; resolves with the node's name. */
function ask({ address, port, patienceMs }: Short): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: address, port, path: '/who', agent: false, timeout: patienceMs };
    const question = request(options, (response) => {
      let said = '';
      response.on('data', (piece: Buffer) => {
        said += piece.toString();
      });
      response.on('error', reject);
      response.on('end', () => {
        if (said === nodeOf(response)) resolve(said);
        else reject(new Error('wrong content'));
      });
    });
    question.on('timeout', () => question.destroy(new Error('timeout')));
    question.on('error', reject);
    question.end();
  });
}

/** See {@link Short}. */
export async function shortConnections(order: Short): Promise<ShortResult> {
  const nodes: ByNode = {};
  const errors: ByNode = {};
  const times: number[] = [];
  let left = order.count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const start = performance.now();
      try {
        tally(nodes, await ask(order));
        times.push(performance.now() - start);
      } catch (error) {
        tally(errors, kind(error));
      }
    }
  };
  await Promise.all(Array.from({ length: order.concurrency }, worker));
  times.sort((a, b) => a - b);
  return {
    opened: times.length,
    failed: order.count - times.length,
    nodes,
    errors,
    medianMs: times[times.length >> 1] ?? 0,
    slowestMs: times.at(-1) ?? 0,
  };
}

/** Fetches bytes of the pattern and checks each piece as it comes. */
export function download(order: Bulk): Promise<BulkResult> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const options = { host: order.address, port: order.port, agent: false, timeout: PATIENCE_MS };
    const question = request({ ...options, path: `/bytes?n=${order.bytes}` }, (response) => {
      let bytes = 0;
      let correct = true;
      response.on('data', (piece: Buffer) => {
        correct &&= isPattern(bytes, piece);
        bytes += piece.length;
      });
      response.on('error', reject);
      response.on('end', () => {
        const seconds = (performance.now() - start) / 1000;
        resolve({
          node: nodeOf(response),
          bytes,
          seconds,
          correct: correct && bytes === order.bytes,
        });
      });
    });
    question.on('timeout', () => question.destroy(new Error(`silent for ${PATIENCE_MS} ms`)));
    question.on('error', reject);
    question.end();
  });
}

/**
 * Sends bytes of the pattern; the server's hash of what it got is compared with the hash
 * of what was sent.
 */
export function upload(order: Bulk): Promise<BulkResult> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const hash = createHash('sha256');
    const options = { host: order.address, port: order.port, agent: false, timeout: PATIENCE_MS };
    const headers = { 'content-length': order.bytes };
    const post = { ...options, method: 'POST', path: '/upload', headers };
    const question = request(post, (response) => {
      let said = '';
      response.on('data', (piece: Buffer) => {
        said += piece.toString();
      });
      response.on('error', reject);
      response.on('end', () => {
        const seconds = (performance.now() - start) / 1000;
        const got = JSON.parse(said) as { sha256: string; bytes: number };
        const correct = got.sha256 === hash.digest('hex') && got.bytes === order.bytes;
        resolve({ node: nodeOf(response), bytes: got.bytes, seconds, correct });
      });
    });
    question.on('timeout', () => question.destroy(new Error(`silent for ${PATIENCE_MS} ms`)));
    question.on('error', reject);
    let sent = 0;
    const fill = (): void => {
      while (sent < order.bytes) {
        const piece = patternAt(sent, Math.min(65_536, order.bytes - sent));
        hash.update(piece);
        sent += piece.length;
        if (!question.write(piece)) return;
      }
      question.off('drain', fill);
      question.end();
    };
    question.on('drain', fill);
    fill();
  });
}
