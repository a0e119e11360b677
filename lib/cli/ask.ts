import { AdminClient, parseEndpoint } from '../admin/index.js';
import { defaultSocket, loadConfiguration } from '../config/index.js';
import { FlowsieveError, show } from '../errors/index.js';
import type {
  ConnectionsQuery,
  ConnectionView,
  EndpointFilter,
  ExpectationView,
} from '../node/types.js';
import { columns, durationText, endpointText, print, printJson } from './output.js';
import { printRules, printStatus } from './status.js';

// The commands that ask the running node: status, connections, allocation.

/** How a command finds the node, and how it prints. */
export interface AskOptions {
  config?: string;
  json?: boolean;
}

/** Options of `flowsieve connections`. */
export interface ConnectionsCommandOptions extends AskOptions {
  limit: number;
  protocol?: string;
  owner?: string;
  status?: string;
  client?: string;
  server?: string;
  expected?: boolean;
}

/** The configuration of a command that names none. */
export const DEFAULT_FILE = '/etc/flowsieve/flowsieve.yaml';

/** Whoever answers for the cluster that the options' configuration describes. */
export function client(options: AskOptions): AdminClient {
  const config = loadConfiguration(options.config ?? DEFAULT_FILE);
  return new AdminClient({
    cluster: config.cluster,
    socket: config.admin.socket ?? defaultSocket(config.cluster),
  });
}

/** `flowsieve status`. */
export async function statusCommand(options: AskOptions): Promise<void> {
  const status = await client(options).status();
  if (options.json) printJson(status);
  else printStatus(status, Date.now() / 1000);
}

/** `flowsieve connections`. */
export async function connectionsCommand(options: ConnectionsCommandOptions): Promise<void> {
  const asked = client(options);
  if (options.expected) {
    printExpectations(await asked.expectations(), options);
    return;
  }
  const query = queryOf(options);
  const rows: ConnectionView[] = [];
  for await (const connection of asked.everyConnection(query)) {
    if (options.json) printJson(connection);
    else rows.push(connection);
    if (--options.limit === 0) break;
  }
  if (options.json) return;
  const now = Date.now() / 1000;
  print(
    columns(
      ['protocol', 'client', 'server', 'status', 'owner', 'bucket', 'age', 'idle'],
      rows.map((row) => [
        row.protocol,
        endpointText(row.client),
        endpointText(row.server),
        row.status,
        row.own ? `${row.owner} (own)` : row.owner,
        row.bucket,
        durationText(Math.max(0, now - row.firstSeen)),
        durationText(Math.max(0, now - row.lastSeen)),
      ]),
    ),
  );
}

function printExpectations(
  expectations: readonly ExpectationView[],
  { json, owner, limit }: ConnectionsCommandOptions,
): void {
  const rows = expectations
    .filter((each) => owner === undefined || owner === each.owner)
    .slice(0, limit);
  if (json) {
    for (const each of rows) printJson(each);
    return;
  }
  const now = Date.now() / 1000;
  const end = ({ address, port }: ExpectationView['client']) => `${address ?? '*'} ${port ?? '*'}`;
  print(
    columns(
      ['id', 'protocol', 'client', 'server', 'owner', 'state', 'matched', 'left'],
      rows.map((each) => [
        each.id,
        each.protocol,
        end(each.client),
        end(each.server),
        each.own ? `${each.owner} (own)` : each.owner,
        each.state,
        each.matched,
        durationText(Math.max(0, each.expires - now)),
      ]),
    ),
  );
}

/** One end, as an option says it. */
export function endOf(
  text: string | undefined,
  name: 'client' | 'server',
): EndpointFilter | undefined {
  if (text === undefined) return undefined;
  const parsed = parseEndpoint(text);
  if (parsed) return parsed;
  throw new FlowsieveError(
    'FLOWSIEVE_USAGE',
    `Expected an address, a port (:80), or both for --${name} but received ${show(text)}.`,
  );
}

function queryOf(options: ConnectionsCommandOptions): Omit<Partial<ConnectionsQuery>, 'cursor'> {
  const end = (name: 'client' | 'server') => endOf(options[name], name);
  return {
    limit: Math.min(options.limit, 1000),
    protocol: options.protocol,
    owner: options.owner,
    status: options.status as ConnectionsQuery['status'],
    client: end('client'),
    server: end('server'),
  };
}

/** `flowsieve allocation`. */
export async function allocationCommand(options: AskOptions): Promise<void> {
  const allocation = await client(options).allocation();
  if (options.json) {
    printJson(allocation);
    return;
  }
  print(`epoch ${allocation.epoch}, ${allocation.buckets} buckets`);
  const rangesOf = (name: string): string =>
    ranges(
      allocation.owners.flatMap((owner, bucket) =>
        allocation.names[owner] === name ? [bucket] : [],
      ),
    );
  print(
    columns(
      ['node', 'weight', 'buckets', 'which'],
      allocation.shares.map(({ name, weight, buckets }) => [name, weight, buckets, rangesOf(name)]),
    ),
  );
  printRules(allocation.rules);
}

/** `0-3 7 9-10`, at most a line of it. */
function ranges(buckets: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < buckets.length; ) {
    let end = i;
    while (buckets[end + 1] === (buckets[end] as number) + 1) end += 1;
    parts.push(end === i ? `${buckets[i]}` : `${buckets[i]}-${buckets[end]}`);
    i = end + 1;
  }
  const shown = parts.slice(0, 12).join(' ');
  return parts.length > 12 ? `${shown} …` : shown;
}
