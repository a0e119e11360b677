// Where a running node can be asked.
//
//   Unix socket, this user only     GET /status  /connections  /allocation  /metrics
//                                   GET /audit  /events  /expectations
//                                   POST /drain  /resume  /weight  /expect  /unexpect  /reconcile
//   TCP (admin.http), read-only     GET /status  /metrics
//
// The second line is there for a node that speaks with others. Two servers of one kind, because the second is open to whoever can reach it: it gets its routes
// and nothing that changes anything or names clients. Every answer that is not 200 has the body
// {"code", "message"}: a code of lib/errors and a sentence. Requests, connections and waiting are
// bounded, so that a caller can bother the node but not harm it.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyError, type FastifyInstance, type FastifyRequest, fastify } from 'fastify';
import { type ErrorCode, FlowsieveError } from '../errors/index.js';
import type { Administered, ClusterAdministered } from '../node/types.js';
import { METRICS_CONTENT_TYPE, renderMetrics } from './metrics.js';
import { parseConnectionsQuery } from './query.js';
import {
  parseDrain,
  parseExpect,
  parseReconcile,
  parseResume,
  parseUnexpect,
  parseWeight,
} from './requests.js';
import { listenOnSocket } from './socket.js';

/** Where to listen; `Configuration.admin` is one. */
export interface AdminOptions {
  /** Path of the Unix socket. */
  readonly socket: string;
  /** Where HTTP is served read-only, or null: nowhere. */
  readonly http: { readonly host: string; readonly port: number } | null;
}

/** Body of every answer that is not a success. */
export interface AdminErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
}

const CONNECTIONS_MAX = 64;
const HEADER_BYTES_MAX = 8192;
const BODY_BYTES_MAX = 64 * 1024;
const REQUEST_MS_MAX = 5_000;
const CLOSE_MS_MAX = 500;

interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  answer(request: FastifyRequest): unknown;
}

function get(path: string, answer: Route['answer']): Route {
  return { method: 'GET', path, answer };
}

/** A route that makes the node do something, and answers with an empty map once it does. */
function post(path: string, act: (body: unknown) => Promise<void>): Route {
  return {
    method: 'POST',
    path,
    answer: async (request) => {
      await act(request.body);
      return {};
    },
  };
}

function speaksWithOthers(
  administered: Administered | ClusterAdministered,
): administered is ClusterAdministered {
  return 'audit' in administered && 'events' in administered;
}

function clusterRoutes(administered: ClusterAdministered): Route[] {
  return [
    get('/audit', () => administered.audit()),
    get('/events', () => administered.events()),
    // Whoever wants to wait for the end asks for the status: a drain may take hours.
    post('/drain', (body) => administered.drain({ ...parseDrain(body), wait: false })),
    post('/resume', (body) => administered.resume(parseResume(body).node)),
    post('/weight', (body) => {
      const { node, weight } = parseWeight(body);
      return administered.weight(node, weight);
    }),
    {
      method: 'POST',
      path: '/reconcile',
      answer: (request) => administered.reconcile(parseReconcile(request.body)),
    },
    get('/expectations', () => administered.expectations()),
    {
      method: 'POST',
      path: '/expect',
      answer: ({ body }) => administered.expect(parseExpect(body)),
    },
    post('/unexpect', (body) => administered.unexpect(parseUnexpect(body).id)),
  ];
}

/** The administration server of one node; see above. */
export class AdminServer {
  private closing: Promise<void> | undefined;

  private constructor(private readonly servers: readonly Listening[]) {}

  /**
   * Loads what answering takes. That takes a while in which nothing else is done: it is better over
   * before other nodes count on this one.
   */
  static async load(): Promise<void> {
    await close(await makeServer([]));
  }

  /**
   * Starts to listen.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE when another process answers on the socket or has the
   * port, FLOWSIEVE_PRIVILEGE when the place is not ours.
   */
  static async start(
    options: AdminOptions,
    administered: Administered | ClusterAdministered,
  ): Promise<AdminServer> {
    const status = get('/status', () => administered.status());
    const metrics = get('/metrics', async () =>
      renderMetrics(await administered.status(), administered.vocabulary),
    );
    const local = [
      status,
      get('/connections', (request) =>
        administered.connections(parseConnectionsQuery(request.query)),
      ),
      get('/allocation', () => administered.allocation()),
      metrics,
      ...(speaksWithOthers(administered) ? clusterRoutes(administered) : []),
    ];

    const servers: Listening[] = [];
    try {
      const { socket, http } = options;
      const first = await makeServer(local);
      await listenOnSocket(first.server, socket);
      servers.push(first);
      if (http !== null) {
        const open = await makeServer([status, metrics]);
        await listenOnPort(open.server, http);
        servers.push(open);
      }
    } catch (error) {
      await Promise.all(servers.map(close));
      throw error;
    }
    return new AdminServer(servers);
  }

  /**
   * The port of admin.http, which is another than the configured one when that is 0; null
   * without admin.http.
   */
  get httpPort(): number | null {
    const address = this.servers[1]?.server.address();
    return (address as AddressInfo | null | undefined)?.port ?? null;
  }

  /** Answers what has been asked, and removes the socket. Can be called any number of times. */
  close(): Promise<void> {
    this.closing ??= Promise.all(this.servers.map(close)).then(() => {});
    return this.closing;
  }
}

interface Listening {
  readonly app: FastifyInstance;
  readonly server: Server;
}

async function makeServer(routes: readonly Route[]): Promise<Listening> {
  let made: Server | undefined;
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    routerOptions: { maxParamLength: 100 },
    exposeHeadRoutes: true,
    serverFactory: (handler) => {
      made = createServer(
        {
          maxHeaderSize: HEADER_BYTES_MAX,
          requestTimeout: REQUEST_MS_MAX,
          headersTimeout: REQUEST_MS_MAX,
          keepAliveTimeout: REQUEST_MS_MAX,
        },
        handler,
      );
      made.maxConnections = CONNECTIONS_MAX;
      return made;
    },
  });
  for (const route of routes) {
    const { method, path } = route;
    app.route({
      method,
      url: path,
      handler: async (request, reply) => {
        if (path !== '/connections') refuseParameters(request);
        const body = await route.answer(request);
        void reply.header('cache-control', 'no-store');
        if (typeof body === 'string') void reply.type(METRICS_CONTENT_TYPE);
        return body;
      },
    });
  }
  answerErrors(app, routes);
  await app.ready();
  if (made === undefined) {
    throw new FlowsieveError('FLOWSIEVE_INTERNAL', 'Expected fastify to make a server.');
  }
  return { app, server: made };
}

function refuseParameters(request: FastifyRequest): void {
  const [name] = Object.keys(request.query as object);
  if (name === undefined) return;
  throw new FlowsieveError(
    'FLOWSIEVE_ARGUMENT',
    `Expected no parameters for ${request.routeOptions.url} but received "${name.slice(0, 60)}".`,
  );
}

function answerErrors(app: FastifyInstance, routes: readonly Route[]): void {
  app.setErrorHandler((error: FastifyError | FlowsieveError, _request, reply) => {
    const { status, body } = errorAnswer(error);
    return reply.code(status).send(body);
  });
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?');
    const known = routes.find((route) => route.path === path);
    if (known) void reply.header('allow', known.method === 'GET' ? 'GET, HEAD' : 'POST');
    const meant = known ? [known] : routes;
    const expected = meant.map((route) => `${route.method} ${route.path}`).join(', ');
    const received = `${request.method} ${path.slice(0, 60)}`;
    const body: AdminErrorBody = {
      code: 'FLOWSIEVE_USAGE',
      message: `Expected ${expected} but received ${received}.`,
    };
    return reply.code(known ? 405 : 404).send(body);
  });
}

const HTTP_STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  FLOWSIEVE_ARGUMENT: 400,
  FLOWSIEVE_USAGE: 400,
  FLOWSIEVE_CONFIGURATION: 400,
  FLOWSIEVE_REFUSED: 409,
  FLOWSIEVE_FULL: 409,
  FLOWSIEVE_STATE: 409,
  FLOWSIEVE_TIMEOUT: 504,
};

function errorAnswer(error: FastifyError | FlowsieveError): {
  status: number;
  body: AdminErrorBody;
} {
  if (error instanceof FlowsieveError) {
    const { code, message } = error;
    return { status: HTTP_STATUS[code] ?? 500, body: { code, message } };
  }
  // What fastify itself refuses: a body that is too large, a URL that cannot be decoded …
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return { status: error.statusCode, body: { code: 'FLOWSIEVE_USAGE', message: error.message } };
  }
  return { status: 500, body: { code: 'FLOWSIEVE_INTERNAL', message: error.message } };
}

function listenOnPort(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EACCES' ? 'FLOWSIEVE_PRIVILEGE' : 'FLOWSIEVE_STATE';
      const message = `Expected an address and a port that are free and ours for admin.http but received ${error.code} for ${host}, port ${port}.`;
      reject(new FlowsieveError(code, message, { path: 'admin.http', cause: error }));
    });
    server.listen({ host, port }, resolve);
  });
}

async function close({ app, server }: Listening): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
  await closed;
  clearTimeout(timer);
  await app.close();
}
