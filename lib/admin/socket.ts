// The admin socket's place in the file system.
import { lstat, mkdir, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { expectedSentence, FlowsieveError } from '../errors/index.js';

// sun_path has 108 bytes, one of them for the end; Node cuts a longer path off without a word.
const PATH_BYTES_MAX = 107;

/**
 * Makes `server` listen on a Unix socket that nobody but this user can connect to. Makes the
 * folder; takes away the socket that a dead process left, but nothing that is not a socket and no
 * socket that is answered.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new FlowsieveError(
      'FLOWSIEVE_ARGUMENT',
      expectedSentence(`a path of at most ${PATH_BYTES_MAX} bytes`, 'admin.socket', `"${path}"`),
      { path: 'admin.socket' },
    );
  }
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await removeStale(path);
    await bind(server, path);
  } catch (error) {
    throw error instanceof FlowsieveError ? error : unusable(path, error);
  }
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new FlowsieveError(
      'FLOWSIEVE_STATE',
      `Expected a socket or nothing at ${path} but found something else; it is left alone.`,
      { path: 'admin.socket' },
    );
  }
  if (await isAnswered(path)) {
    throw new FlowsieveError(
      'FLOWSIEVE_STATE',
      `Expected no running flowsieve at ${path} but found one that answers.`,
      { path: 'admin.socket' },
    );
  }
  await unlink(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      // EAGAIN: somebody listens and is too busy to accept.
      if (error.code === 'EAGAIN') resolve(true);
      else if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else reject(error);
    });
  });
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // bind(2) happens within listen(), so that the mask is in force for nothing else, and at no
    // moment is the socket open to others.
    const mask = process.umask(0o177);
    try {
      server.listen({ path }, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

function unusable(path: string, error: unknown): FlowsieveError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const refused = code === 'EACCES' || code === 'EPERM';
  return new FlowsieveError(
    refused ? 'FLOWSIEVE_PRIVILEGE' : 'FLOWSIEVE_SYSTEM',
    `Expected a place for the admin socket at ${path} but received ${code}.`,
    { path: 'admin.socket', cause: error },
  );
}
