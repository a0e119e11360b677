import { loadConfiguration } from '../config/index.js';
import { FlowsieveError, show } from '../errors/index.js';
import { ConnectionIds } from '../quic/index.js';
import { DEFAULT_FILE } from './ask.js';
import { columns, print, printJson } from './output.js';

/** Options of `flowsieve quic-id`. */
export interface QuicIdCommandOptions {
  config?: string;
  json?: boolean;
  node?: string;
  count: number;
  key?: boolean;
  read?: string;
}

/** `flowsieve quic-id`: from the configuration alone, no node is asked. */
export function quicIdCommand(options: QuicIdCommandOptions): void {
  const ids = new ConnectionIds(loadConfiguration(options.config ?? DEFAULT_FILE));
  if (options.read === undefined) printFacts(ids, options);
  else printMeaning(ids, options.read, options.json === true);
}

function printFacts(ids: ConnectionIds, { node, count, key, json }: QuicIdCommandOptions): void {
  for (const facts of ids.facts(node)) {
    const { config } = facts;
    const made = Array.from({ length: count }, () => ids.make({ node, config }).toString('hex'));
    const serverId = facts.serverId.toString('hex');
    const encrypted = facts.key !== null;
    const secret = facts.key?.toString('hex') ?? null;
    if (json) {
      printJson({
        ...facts,
        serverId,
        encrypted,
        key: key ? secret : undefined,
        connectionIds: made,
      });
      continue;
    }
    const how = encrypted ? 'encrypted' : 'plain';
    const length = facts.encodesLength ? ', which the first octet says' : '';
    print(
      columns(
        [`config ${config}`, `${how}, connection ids of ${facts.length} octets${length}`],
        [
          ['server id', `${serverId} (${facts.node})`],
          ['nonce', `${facts.nonceLength} octets`],
          ...(key && secret !== null ? [['key', secret]] : []),
          ...made.map((id) => ['connection id', id]),
        ],
      ),
    );
  }
}

function printMeaning(ids: ConnectionIds, hex: string, json: boolean): void {
  if (!/^([0-9a-f]{2})+$/i.test(hex)) {
    const message = `Expected an even number of hexadecimal digits for --read but received ${show(hex)}.`;
    throw new FlowsieveError('FLOWSIEVE_USAGE', message);
  }
  const meaning = ids.read(Buffer.from(hex, 'hex'));
  if (json) {
    printJson({
      connectionId: hex.toLowerCase(),
      routable: meaning !== null && meaning.node !== null,
      node: meaning?.node ?? null,
      config: meaning?.config ?? null,
      serverId: meaning?.serverId.toString('hex') ?? null,
    });
  } else if (meaning === null) {
    print('no config reads it: its packets go by the four-tuple');
  } else {
    const { config, serverId, node } = meaning;
    const whose = node === null ? 'no node: its packets go by the four-tuple' : node;
    print(`config ${config}, server id ${serverId.toString('hex')}: ${whose}`);
  }
}
