import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Checked, HealthSettings, Outcome } from './types.js';

// One check. Whatever the other side does, it ends within its time, takes a bounded number of bytes,
// and leaves nothing behind: neither a socket nor a process.

/** The most bytes of an answer's header; its body is not read at all. */
const HEADER_BYTES_MAX = 8192;
/** How long a program that was killed may take to be gone. */
const GONE_MS = 1000;
const FOUND_MAX = 200;

function bad(found: string): Outcome {
  return { good: false, found: found.slice(0, FOUND_MAX) };
}

function reason(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** A connection is accepted. */
function probeTcp(address: string, port: number, timeout: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => end(bad(`no connection within ${timeout} ms`)), timeout);
    socket.once('connect', () => end({ good: true, found: 'connected' }));
    socket.on('error', (error) => end(bad(reason(error))));
  });
}

/** The answer to a GET has a good status. A redirect is an answer like any other. */
function probeHttp(checked: Checked, settings: HealthSettings): Promise<Outcome> {
  const { port = 80, path, host, status, timeout } = settings;
  const isGood = (code: number): boolean =>
    status === undefined ? code >= 200 && code < 300 : status.includes(code);
  return new Promise((resolve) => {
    const asked = request({
      host: checked.address,
      port,
      path,
      agent: false,
      maxHeaderSize: HEADER_BYTES_MAX,
      insecureHTTPParser: false,
      headers: { ...(host === undefined ? {} : { host }), connection: 'close' },
    });
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      asked.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => end(bad(`no answer within ${timeout} ms`)), timeout);
    asked.once('response', ({ statusCode = 0 }) => {
      const found = `HTTP ${statusCode}`;
      end(isGood(statusCode) ? { good: true, found } : bad(found));
    });
    asked.once('upgrade', (_response, socket) => {
      socket.destroy();
      end(bad('another protocol'));
    });
    asked.on('error', (error) => end(bad(reason(error))));
    asked.end();
  });
}

/** The program ends with 0. It and what it has started are killed when it takes too long. */
function probeCommand(
  checked: Checked,
  [program = '', ...argv]: readonly string[],
  timeout: number,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(program, argv, {
      // A process group of its own, so that its children go with it.
      detached: true,
      stdio: 'ignore',
      env: { PATH: process.env['PATH'], NODE_NAME: checked.name, NODE_ADDRESS: checked.address },
    });
    let late: NodeJS.Timeout | undefined;
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      clearTimeout(late);
      resolve(outcome);
    };
    const overdue = bad(`did not end within ${timeout} ms`);
    const timer = setTimeout(() => {
      killGroup(child.pid);
      late = setTimeout(() => end(overdue), GONE_MS);
    }, timeout);
    child.once('error', (error) => end(bad(reason(error))));
    child.once('exit', (code, signal) => {
      // Whoever it has left behind is not to run on until the next check.
      killGroup(child.pid);
      if (late !== undefined) return end(overdue);
      const found = code === null ? `ended by ${signal}` : `ended with ${code}`;
      end(code === 0 ? { good: true, found } : bad(found));
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody of it is there any more.
  }
}

/** Checks a node once. Never rejects. */
export async function probe(checked: Checked, settings: HealthSettings): Promise<Outcome> {
  const { type, port = 0, command = [], timeout } = settings;
  try {
    if (type === 'tcp') return await probeTcp(checked.address, port, timeout);
    if (type === 'http') return await probeHttp(checked, settings);
    if (type === 'command') return await probeCommand(checked, command, timeout);
    return { good: true, found: 'not checked' };
  } catch (error) {
    // What node itself refuses, for example a path that is none.
    return bad(reason(error as Error));
  }
}
