// How a command asks the running node.
import { type IncomingMessage, request } from 'node:http';
import { ERROR_CODES, type ErrorCode, FlowsieveError } from '../errors/index.js';
import type {
  AllocationView,
  AuditView,
  ClusterEvent,
  ClusterStatus,
  ConnectionsPage,
  ConnectionsQuery,
  ConnectionView,
  DrainRequest,
  ExpectationRequest,
  ExpectationView,
  ReconcileRequest,
  ReconcileView,
  Status,
} from '../node/types.js';
import { CONNECTIONS_LIMIT_MAX, formatConnectionsQuery } from './query.js';

/** Whom to ask. */
export interface AdminClientOptions {
  readonly cluster: string;
  /** Path of the Unix socket. */
  readonly socket: string;
  /** How long an answer may take; default 10 s. */
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 10_000;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** A client of {@link AdminServer}; it holds nothing open between two questions. */
export class AdminClient {
  constructor(private readonly options: AdminClientOptions) {}

  /** All of the node at this moment; with its peers when it has any. */
  status(): Promise<Status & Partial<ClusterStatus>> {
    return this.getJson<Status & Partial<ClusterStatus>>('/status');
  }

  /** One page of connections. */
  connections(query: Partial<ConnectionsQuery> = {}): Promise<ConnectionsPage> {
    const parameters = formatConnectionsQuery(query);
    return this.getJson<ConnectionsPage>(
      `/connections${parameters === '' ? '' : `?${parameters}`}`,
    );
  }

  /** All connections that are wanted, page by page. */
  async *everyConnection(
    query: Omit<Partial<ConnectionsQuery>, 'cursor'> = {},
  ): AsyncGenerator<ConnectionView> {
    let cursor: string | null | undefined;
    while (cursor !== null) {
      const page = await this.connections({ limit: CONNECTIONS_LIMIT_MAX, ...query, cursor });
      yield* page.connections;
      cursor = page.cursor;
    }
  }

  /** The allocation that is in force. */
  allocation(): Promise<AllocationView> {
    return this.getJson<AllocationView>('/allocation');
  }

  /** Whether each opening packet was taken exactly once. */
  audit(): Promise<AuditView> {
    return this.getJson<AuditView>('/audit');
  }

  /** What happened in the cluster lately, the newest last. */
  events(): Promise<readonly ClusterEvent[]> {
    return this.getJson<readonly ClusterEvent[]>('/events');
  }

  /** Begins a drain; the status says how it goes. */
  drain({ deadline, node }: Pick<DrainRequest, 'deadline' | 'node'> = {}): Promise<void> {
    return this.post('/drain', { deadline, node });
  }

  /** Ends a drain, or lets a node that has left come back; of a dispatcher, the node behind it. */
  resume(node?: string): Promise<void> {
    return this.post('/resume', { node });
  }

  /** Changes a member's weight until its configuration says otherwise. */
  weight(node: string, weight: number): Promise<void> {
    return this.post('/weight', { node, weight });
  }

  /** Compares the own table with the operating system's list now. */
  async reconcile(request: ReconcileRequest = {}): Promise<ReconcileView> {
    return (await this.postFor('/reconcile', request)) as ReconcileView;
  }

  /** Makes connections the node's, whatever their bucket; all nodes know it when it resolves. */
  async expect(request: ExpectationRequest): Promise<ExpectationView> {
    return (await this.postFor('/expect', request)) as ExpectationView;
  }

  /** Ends an expectation of the node. */
  unexpect(id: number): Promise<void> {
    return this.post('/unexpect', { id });
  }

  /** All expectations that the node knows of. */
  expectations(): Promise<readonly ExpectationView[]> {
    return this.getJson<readonly ExpectationView[]>('/expectations');
  }

  /** The metrics, as Prometheus reads them. */
  async metrics(): Promise<string> {
    const { status, text } = await this.ask('GET', '/metrics');
    if (status !== 200) throw refusal(status, text);
    return text;
  }

  // The other end is this very package, so what it sends is taken at its word once it is JSON.
  private async getJson<T>(path: string): Promise<T> {
    const { status, text } = await this.ask('GET', path);
    if (status !== 200) throw refusal(status, text);
    return parseJson(text) as T;
  }

  private async post(path: string, body: object): Promise<void> {
    await this.postFor(path, body);
  }

  private async postFor(path: string, body: object): Promise<unknown> {
    const { status, text } = await this.ask('POST', path, JSON.stringify(body));
    if (status !== 200) throw refusal(status, text);
    return parseJson(text);
  }

  private ask(
    method: 'GET' | 'POST',
    path: string,
    body?: string,
  ): Promise<{ status: number; text: string }> {
    const { socket, deadlineMs = DEADLINE_MS } = this.options;
    const signal = AbortSignal.timeout(deadlineMs);
    return new Promise<{ status: number; text: string }>((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const options = { socketPath: socket, method, path, headers, agent: false, signal };
      const asked = request(options, (answer) => {
        readAnswer(answer).then(
          (text) => resolve({ status: answer.statusCode ?? 0, text }),
          reject,
        );
      });
      asked.once('error', reject);
      asked.end(body);
    }).catch((error: unknown) => {
      throw error instanceof FlowsieveError ? error : this.unreachable(error, deadlineMs);
    });
  }

  private unreachable(error: unknown, deadlineMs: number): FlowsieveError {
    const { cluster, socket } = this.options;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return new FlowsieveError(
        'FLOWSIEVE_UNREACHABLE',
        `Expected a running flowsieve for cluster ${cluster} at ${socket} but found none.`,
        { cause: error },
      );
    }
    if (code === 'EACCES' || code === 'EPERM') {
      return new FlowsieveError(
        'FLOWSIEVE_PRIVILEGE',
        `Expected permission to connect to ${socket} but the kernel refused; it belongs to the user who runs flowsieve.`,
        { cause: error },
      );
    }
    if (code === 'ABORT_ERR') {
      return new FlowsieveError(
        'FLOWSIEVE_TIMEOUT',
        `Expected an answer from ${socket} within ${deadlineMs / 1000} s but received none.`,
        { cause: error },
      );
    }
    return new FlowsieveError(
      'FLOWSIEVE_UNREACHABLE',
      `Expected an answer from ${socket} but received ${String(code ?? error)}.`,
      { cause: error },
    );
  }
}

async function readAnswer(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > ANSWER_BYTES_MAX) throw malformed(`more than ${ANSWER_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function refusal(status: number, text: string): FlowsieveError {
  const body = parseJson(text);
  if (typeof body === 'object' && body !== null && 'code' in body && 'message' in body) {
    const code = String(body.code);
    const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'FLOWSIEVE_REFUSED';
    return new FlowsieveError(known, String(body.message));
  }
  return malformed(`status ${status} without a reason`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed('something that is not JSON');
  }
}

function malformed(what: string): FlowsieveError {
  return new FlowsieveError(
    'FLOWSIEVE_FORMAT',
    `Expected an answer of flowsieve but received ${what}.`,
  );
}
