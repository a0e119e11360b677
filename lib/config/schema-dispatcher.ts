import { z } from 'zod';
import { address, integer, name, note, oneOf } from './leaves.js';

// The part of the schema for dispatchers and the nodes behind them.

/** The keys of a health check, without defaults. */
const HEALTH = {
  type: oneOf(
    ['none', 'tcp', 'http', 'command'],
    'how a node is checked: a connection is accepted; a GET is answered with a good status; a program ends with 0',
  ),
  port: integer(1, 65_535, "tcp and http: the port, on the node's own address"),
  path: note(z.string().regex(/^\/[\x21-\x7e]{0,1023}$/), {
    expected: 'a path of an URL, with a slash first',
    text: 'http: what is asked for; redirects are not followed',
  }),
  host: note(z.string().regex(/^[A-Za-z0-9.:[\]-]{1,255}$/), {
    expected: 'a host name or address',
    text: "http: the Host header; without it the node's address",
  }),
  status: note(z.array(z.number().int().min(100).max(599)).min(1).max(64), {
    expected: 'a list of HTTP status codes',
    text: 'http: the answers that are good; without it 200 to 299',
  }),
  command: note(
    z
      .array(z.string().refine((value) => !value.includes('\0')))
      .min(1)
      .max(64),
    {
      expected: 'a list of a program and its arguments',
      text: 'command: what is run, without a shell, with NODE_NAME and NODE_ADDRESS in its environment',
    },
  ),
  interval: integer(50, 3_600_000, 'milliseconds from one check to the next'),
  timeout: integer(10, 600_000, 'milliseconds that a check may take; a program is killed then'),
  rise: integer(1, 1000, 'good checks in a row after which a node that was down is up'),
  fall: integer(1, 1000, 'bad checks in a row after which a node that was up is down'),
};

export const health = z.strictObject({
  type: HEALTH.type.default('none'),
  port: HEALTH.port.optional(),
  path: HEALTH.path.default('/'),
  host: HEALTH.host.optional(),
  status: HEALTH.status.optional(),
  command: HEALTH.command.optional(),
  interval: HEALTH.interval.default(1000),
  timeout: HEALTH.timeout.default(500),
  rise: HEALTH.rise.default(2),
  fall: HEALTH.fall.default(3),
});

export const nodeHealth = z.strictObject({
  type: HEALTH.type.optional(),
  port: HEALTH.port.optional(),
  path: HEALTH.path.optional(),
  host: HEALTH.host.optional(),
  status: HEALTH.status.optional(),
  command: HEALTH.command.optional(),
  interval: HEALTH.interval.optional(),
  timeout: HEALTH.timeout.optional(),
  rise: HEALTH.rise.optional(),
  fall: HEALTH.fall.optional(),
});

export const FORWARDS = ['mac', 'ipip', 'gue'] as const;

/** The section `dispatcher`. */
export const dispatcherSchema = z.strictObject({
  forward: oneOf(
    FORWARDS,
    'how packets get to the nodes: by their MAC address, on one link; IP in IP or GUE, also over routers',
  ).default('mac'),
  select: oneOf(
    ['bucket', 'leastConnections'],
    'which node an opening packet goes to: the owner of its bucket, or the one with the fewest connections for its weight',
  ).default('bucket'),
  onFailure: oneOf(
    ['stay', 'move'],
    'what becomes of the connections of a node whose checks fail: they stay with it, or go to the others, who end them',
  ).default('move'),
  elements: note(
    z
      .array(
        z.strictObject({
          name: name('the dispatcher, as `node` on it says'),
          address: address('its address, on which dispatchers speak to each other').optional(),
          sync: address(
            'its address on the network on which dispatchers speak to each other',
            'its `address`',
          ).optional(),
        }),
      )
      .min(1)
      .max(2),
    {
      expected: 'a list of one or two dispatchers',
      text: 'this dispatcher, and the other of a pair',
      derived: 'this one alone',
    },
  ).optional(),
  mtu: integer(
    1400,
    65_535,
    'the largest packet on the ways to the nodes, outer headers included; without it what the routes and interfaces say',
  ).optional(),
  guePort: integer(1, 65_535, 'gue: the UDP port at which the nodes receive').default(6080),
});
