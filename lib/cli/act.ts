import type { AdminClient } from '../admin/index.js';
import { FlowsieveError } from '../errors/index.js';
import { type AskOptions, client, endOf } from './ask.js';
import { columns, print, printJson } from './output.js';
import { printDrain } from './status.js';

// The commands that make a running node do something: drain, resume, weight, expect, unexpect; and
// its audit.

/** Options of `flowsieve drain`. */
export interface DrainCommandOptions extends AskOptions {
  deadline?: number;
  wait?: boolean;
}

/** Options of `flowsieve expect`. */
export interface ExpectCommandOptions extends AskOptions {
  protocol: string;
  client?: string;
  server?: string;
  lifetime?: number;
  once?: boolean;
}

const POLL_MS = 1000;

/**
 * `flowsieve drain [NODE]`: gives the node's buckets away; with --wait until the node has left. With
 * NODE, of a dispatcher, the node behind it.
 */
export async function drainCommand(
  node: string | undefined,
  options: DrainCommandOptions,
): Promise<void> {
  const asked = client(options);
  if (node !== undefined) return drainBehind(asked, node, options);
  await asked.drain({ deadline: options.deadline });
  if (options.wait) await untilLeft(asked, options);
  else if (options.json) printJson({ draining: true });
  else print('The node drains; status says how it goes.');
}

async function drainBehind(
  asked: AdminClient,
  node: string,
  { json, wait }: DrainCommandOptions,
): Promise<void> {
  await asked.drain({ node });
  if (!wait) {
    if (json) printJson({ draining: true, node });
    else print(`${node} drains; status says how it goes.`);
    return;
  }
  for (;;) {
    const { dispatcher } = await asked.status();
    const found = dispatcher?.nodes.find(({ name }) => name === node);
    const connections = found?.connections ?? 0;
    if (json) printJson({ node, connections });
    else print(`${node}: ${connections} connections`);
    if (connections === 0) return;
    if (!found?.draining) {
      const message = `Expected ${node} to drain but received that somebody has resumed it.`;
      throw new FlowsieveError('FLOWSIEVE_STATE', message);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function untilLeft(asked: AdminClient, { json }: AskOptions): Promise<void> {
  for (;;) {
    const { state, drain = null } = await asked.status();
    if (json) printJson({ state, drain });
    else if (state === 'left') print('The node has left.');
    else if (drain) printDrain(drain, Date.now() / 1000);
    if (state === 'left') return;
    if (drain === null && state !== 'draining') {
      throw new FlowsieveError(
        'FLOWSIEVE_STATE',
        `Expected the node to drain until it leaves but received the state ${state}: somebody has resumed it.`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** `flowsieve resume [NODE]`: ends a drain, or lets a node that has left come back. */
export async function resumeCommand(node: string | undefined, options: AskOptions): Promise<void> {
  await client(options).resume(node);
  if (options.json) printJson({ resumed: true, ...(node === undefined ? {} : { node }) });
  else print(node === undefined ? 'The node takes part again.' : `${node} takes part again.`);
}

/** `flowsieve weight NODE W`: changes a member's weight until its configuration says otherwise. */
export async function weightCommand(
  node: string,
  weight: number,
  options: AskOptions,
): Promise<void> {
  await client(options).weight(node, weight);
  if (options.json) printJson({ node, weight });
  else print(`${node} has weight ${weight}, until its configuration says otherwise.`);
}

/** `flowsieve expect`: makes connections the node's, whatever their bucket. */
export async function expectCommand(options: ExpectCommandOptions): Promise<void> {
  const { protocol, lifetime, once } = options;
  const expectation = await client(options).expect({
    protocol: /^\d+$/.test(protocol) ? Number(protocol) : protocol,
    client: expectedEnd(options.client, 'client'),
    server: expectedEnd(options.server, 'server'),
    lifetime,
    once,
  });
  if (options.json) printJson(expectation);
  else print(`${expectation.id}`);
}

function expectedEnd(text: string | undefined, name: 'client' | 'server') {
  // A prefix is none of an end that could be looked for.
  const [, address, length, port] =
    /^\[?([^\]/]+?)\]?\/(\d+)\]?(?::(\d+))?$/.exec(text ?? '') ?? [];
  if (address === undefined) return endOf(text, name);
  const end = { address: `${address}/${length}` };
  return port === undefined ? end : { ...end, port: Number(port) };
}

/** `flowsieve unexpect ID`: ends an expectation of the node. */
export async function unexpectCommand(id: number, options: AskOptions): Promise<void> {
  await client(options).unexpect(id);
  if (options.json) printJson({ id });
  else print('It is over; connections that have met it stay.');
}

/**
 * `flowsieve audit`: whether each opening packet was taken exactly once. The exit status is 1 when
 * one was not.
 */
export async function auditCommand(options: AskOptions): Promise<number> {
  const audit = await client(options).audit();
  if (options.json) printJson(audit);
  else {
    const rows = audit.epochs.map(({ epoch, verdict, seen, taken, nodes }) => [
      epoch,
      verdict,
      seen,
      taken,
      nodes.map(({ name, taken: own }) => `${name} ${own}`).join(', '),
    ]);
    print(columns(['epoch', 'verdict', 'seen', 'taken', 'by'], rows));
    if (audit.silent.length > 0) print(`nothing heard from ${audit.silent.join(', ')}`);
  }
  return audit.epochs.some(({ verdict }) => verdict === 'differs') ? 1 : 0;
}
