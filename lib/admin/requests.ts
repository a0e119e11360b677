// What a node may be told to do, as it comes in the body of a POST.
import { z } from 'zod';
import { expectedSentence, FlowsieveError, show } from '../errors/index.js';
import type { DrainRequest, ExpectationRequest, ReconcileRequest } from '../node/types.js';

const DEADLINE_MAX = 2_592_000;
const WEIGHT_MIN = 0.001;
const WEIGHT_MAX = 65_535;
const NAMED_MAX = 10_000;

// Which protocols, addresses and times there are says the node (lib/node/expectation.ts).
const expectedEnd = z.strictObject({
  address: z.string().max(60).optional(),
  port: z.number().optional(),
});

const FIELDS = {
  deadline: [z.number().min(0).max(DEADLINE_MAX), `a number of seconds from 0 to ${DEADLINE_MAX}`],
  dryRun: [z.boolean(), 'true or false'],
  limit: [z.number().int().min(0).max(NAMED_MAX), `an integer from 0 to ${NAMED_MAX}`],
  node: [z.string().min(1).max(63), "a node's name"],
  weight: [
    z
      .number()
      .min(0)
      .max(WEIGHT_MAX)
      .refine((value) => value === 0 || value >= WEIGHT_MIN),
    `0 or a number from ${WEIGHT_MIN} to ${WEIGHT_MAX}`,
  ],
  protocol: [z.union([z.string().max(16), z.number()]), 'a protocol'],
  client: [expectedEnd.optional(), 'a map of address, port'],
  server: [expectedEnd.optional(), 'a map of address, port'],
  lifetime: [z.number().optional(), 'a number of seconds'],
  once: [z.boolean().optional(), 'true or false'],
  id: [z.int().min(0), 'the id of an expectation'],
} as const;

/** What `weight` is told. */
export interface WeightRequest {
  readonly node: string;
  readonly weight: number;
}

const resume = z.strictObject({ node: FIELDS.node[0].optional() });
const reconcile = z.strictObject({
  dryRun: FIELDS.dryRun[0].optional(),
  limit: FIELDS.limit[0].optional(),
});
const drain = z.strictObject({
  deadline: FIELDS.deadline[0].optional(),
  node: FIELDS.node[0].optional(),
});
const weight = z.strictObject({ node: FIELDS.node[0], weight: FIELDS.weight[0] });

const expect = z.strictObject({
  protocol: FIELDS.protocol[0],
  client: FIELDS.client[0],
  server: FIELDS.server[0],
  lifetime: FIELDS.lifetime[0],
  once: FIELDS.once[0],
});
const unexpect = z.strictObject({ id: FIELDS.id[0] });

function read<T extends z.ZodObject>(schema: T, body: unknown): z.output<T> {
  // A POST without a body tells nothing more.
  const received = body ?? {};
  const parsed = schema.safeParse(received);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const name = String(issue?.path[0] ?? '');
  if (Object.hasOwn(FIELDS, name)) {
    const value = (received as Record<string, unknown>)[name];
    throw argument(FIELDS[name as keyof typeof FIELDS][1], name, show(value));
  }
  const keys = Object.keys(schema.shape);
  const expected = keys.length === 0 ? 'nothing' : `a map of ${keys.join(', ')}`;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  throw argument(expected, 'the request', show(unknown ?? received));
}

function argument(expected: string, path: string, received: string): FlowsieveError {
  const message = expectedSentence(expected, path, received);
  return new FlowsieveError('FLOWSIEVE_ARGUMENT', message, { path });
}

/** @throws FlowsieveError FLOWSIEVE_ARGUMENT for a body that says anything else */
export function parseDrain(body: unknown): DrainRequest {
  return read(drain, body);
}

/** @throws FlowsieveError FLOWSIEVE_ARGUMENT for a body that says anything else */
export function parseResume(body: unknown): { readonly node?: string | undefined } {
  return read(resume, body);
}

/** @throws FlowsieveError FLOWSIEVE_ARGUMENT for a body that says anything else */
export function parseWeight(body: unknown): WeightRequest {
  return read(weight, body);
}

/** @throws FlowsieveError FLOWSIEVE_ARGUMENT for a body that says anything else */
export function parseReconcile(body: unknown): ReconcileRequest {
  return read(reconcile, body);
}

/** @throws FlowsieveError FLOWSIEVE_ARGUMENT for a body that says anything else */
export function parseExpect(body: unknown): ExpectationRequest {
  return read(expect, body);
}

/** @throws FlowsieveError FLOWSIEVE_ARGUMENT for a body that says anything else */
export function parseUnexpect(body: unknown): { readonly id: number } {
  return read(unexpect, body);
}
