// What may be asked for in GET /connections, both ways: from the query string, and into it.
import { isIP, SocketAddress } from 'node:net';
import { z } from 'zod';
import { expectedSentence, FlowsieveError, show } from '../errors/index.js';
import type { ConnectionsQuery, EndpointFilter } from '../node/types.js';

/** The most connections on one page. */
export const CONNECTIONS_LIMIT_MAX = 1000;
const CONNECTIONS_LIMIT_DEFAULT = 100;
const PROTOCOLS = ['tcp', 'udp', 'sctp', 'icmp', 'icmp6', 'other'] as const;
const STATUSES = ['OPENING', 'ESTABLISHED', 'CLOSING'] as const;

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,5}$/)
    .transform(Number)
    .pipe(z.int().min(min).max(max));

const endpoint = z.string().transform((text, context): EndpointFilter => {
  const parsed = parseEndpoint(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'not an end' });
  return z.NEVER;
});

/** Every parameter, and in words what is expected of it. */
const PARAMETERS = {
  limit: [integer(1, CONNECTIONS_LIMIT_MAX), `an integer from 1 to ${CONNECTIONS_LIMIT_MAX}`],
  cursor: [z.string().regex(/^[\w:.-]{1,100}$/), 'the cursor of the page before'],
  protocol: [
    z.union([z.enum(PROTOCOLS), integer(0, 255)]),
    `one of ${PROTOCOLS.join(', ')} or a number from 0 to 255`,
  ],
  owner: [z.string().min(1).max(253), "a node's name"],
  status: [z.string().toUpperCase().pipe(z.enum(STATUSES)), `one of ${STATUSES.join(', ')}`],
  client: [endpoint, 'an address, a port (:80), or both (192.0.2.1:80, [2001:db8::1]:80)'],
  server: [endpoint, 'an address, a port (:80), or both (192.0.2.1:80, [2001:db8::1]:80)'],
} as const;

const querySchema = z.strictObject({
  limit: PARAMETERS.limit[0].default(CONNECTIONS_LIMIT_DEFAULT),
  cursor: PARAMETERS.cursor[0].optional(),
  protocol: PARAMETERS.protocol[0].optional(),
  owner: PARAMETERS.owner[0].optional(),
  status: PARAMETERS.status[0].optional(),
  client: PARAMETERS.client[0].optional(),
  server: PARAMETERS.server[0].optional(),
});

/**
 * Reads the query string's parameters.
 *
 * @throws FlowsieveError FLOWSIEVE_ARGUMENT that says what was expected of the first wrong one.
 */
export function parseConnectionsQuery(received: unknown): ConnectionsQuery {
  const parsed = querySchema.safeParse(received);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const names = Object.keys(PARAMETERS).join(', ');
    throw argument(`one of ${names}`, 'the parameters', show(issue.keys[0]));
  }
  const name = String(issue?.path[0]) as keyof typeof PARAMETERS;
  const value = (received as Record<string, unknown>)[name];
  throw argument(PARAMETERS[name]?.[1] ?? 'something else', name, show(value));
}

function argument(expected: string, subject: string, received: string): FlowsieveError {
  return new FlowsieveError('FLOWSIEVE_ARGUMENT', expectedSentence(expected, subject, received), {
    path: subject,
  });
}

/**
 * Reads one end: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, `:80`; undefined
 * for anything else.
 */
export function parseEndpoint(text: string): EndpointFilter | undefined {
  if (text.length > 60 || text.includes('%')) return undefined;
  if (isIP(text) !== 0) return { address: canonical(text) };
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))?:(\d{1,5})$/.exec(text);
  if (parts === null) return undefined;
  const [, ipv6, ipv4, digits] = parts;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? { address: canonical(ipv6), port } : undefined;
  if (ipv4 !== undefined) return isIP(ipv4) === 4 ? { address: ipv4, port } : undefined;
  return { port };
}

function canonical(address: string): string {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  return new SocketAddress({ address, family }).address;
}

/** The query string for a query; {@link parseConnectionsQuery} reads the same out of it. */
export function formatConnectionsQuery(query: Partial<ConnectionsQuery>): string {
  const parameters = new URLSearchParams();
  for (const name of ['limit', 'cursor', 'protocol', 'owner', 'status'] as const) {
    const value = query[name];
    if (value !== undefined) parameters.set(name, String(value));
  }
  for (const name of ['client', 'server'] as const) {
    const end = query[name];
    if (end !== undefined) parameters.set(name, formatEndpoint(end));
  }
  return parameters.toString();
}

function formatEndpoint({ address, port }: EndpointFilter): string {
  if (port === undefined) return address ?? '';
  const bracketed = address?.includes(':') === true ? `[${address}]` : (address ?? '');
  return `${bracketed}:${port}`;
}
