import { getPriority, setPriority } from 'node:os';
import { AdminServer } from '../admin/index.js';
import { loadConfiguration } from '../config/index.js';
import { createLogger, type Logger } from '../log/index.js';
import { Node } from '../node/index.js';
import { print } from './output.js';

/**
 * `flowsieve run -c FILE`: one node in the foreground. Prints `ready` when the first packet can be
 * decided. SIGTERM drains as the configuration says and leaves, SIGINT leaves now (also during a
 * drain), SIGHUP reads the configuration again.
 *
 * Resolves with the exit code when the node has left.
 */
export async function runCommand(file: string): Promise<number> {
  const config = loadConfiguration(file);
  const logger = createLogger({ bindings: { cluster: config.cluster, node: config.node } });
  // From the first change on the host, a signal has to find somebody who puts it back.
  const leave = signalled();
  // A reload that comes too early has nothing to do: the file has just been read. Unheard, it would
  // end the process.
  let reload = (): void => {};
  process.on('SIGHUP', () => reload());
  takePrecedence();
  await AdminServer.load();
  const node = await Node.start(config, { logger, inRealTime: true });
  let admin: AdminServer;
  try {
    admin = await AdminServer.start(config.admin, node);
  } catch (error) {
    await node.stop();
    throw error;
  }
  reload = () => void reloadFrom(file, node, logger);
  print('ready');
  logger.info({ pid: process.pid, interface: config.interface }, 'ready');
  const reason = await leave;
  logger.info({ reason }, 'leaving');
  if (reason === 'SIGTERM') await drain(node, logger);
  reload = () => {};
  await admin.close();
  const leftBehind = await node.stop();
  for (const sentence of leftBehind) logger.error(sentence);
  return leftBehind.length === 0 && reason !== 'error' ? 0 : 1;
}

/** As nice(2) counts. */
const PRECEDENCE = -10;

/**
 * The node goes before what else runs on the machine, where that is allowed: while it begins, and
 * where it will not be allowed to run in real time.
 */
function takePrecedence(): void {
  try {
    if (getPriority() > PRECEDENCE) setPriority(PRECEDENCE);
  } catch {
    // Without the privilege it takes its turn with all others.
  }
}

/** Drains until the node has left, or a second signal has no patience with it. */
async function drain(node: Node, logger: Logger): Promise<void> {
  const hurried = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  const drained = node.drain().catch((error: unknown) => {
    logger.warn({ err: error }, 'not drained');
  });
  await Promise.race([drained, hurried]);
}

/**
 * Resolves with the name of the first signal that ends a node, or `error` when something was thrown
 * that nobody expected.
 */
function signalled(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
    process.once('uncaughtException', (error) => {
      process.stderr.write(`${error.stack ?? error.message}\n`);
      resolve('error');
    });
  });
}

/**
 * A configuration that cannot be used changes nothing: the node goes on with what it
 * has, and says why.
 */
async function reloadFrom(file: string, node: Node, logger: Logger): Promise<void> {
  try {
    await node.reload(loadConfiguration(file));
  } catch (error) {
    logger.error({ err: error }, 'reload refused');
  }
}
