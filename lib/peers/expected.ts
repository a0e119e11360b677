// The messages about expected connections, as they are taken from the network.
import { isIP } from 'node:net';
import { z } from 'zod';
import { EXPECTATION_REFUSALS, EXPECTATION_STATES, type ExpectedEnd } from '../protocol/index.js';

const count = z.int().min(0);
/** A day. */
const LEFT_MAX = 86_400_000;

const end = z.strictObject({
  address: z
    .string()
    .max(45)
    .refine((text) => isIP(text) !== 0)
    .nullable(),
  prefix: z.int().min(0).max(128),
  port: z.int().min(0).max(65_535).nullable(),
});

function fits({ address, prefix }: ExpectedEnd, family: 4 | 6): boolean {
  if (address === null) return prefix === 0;
  return isIP(address) === family && prefix > 0 && prefix <= (family === 4 ? 32 : 128);
}

const tuple = z
  .strictObject({
    protocol: z.int().min(0).max(255),
    family: z.union([z.literal(4), z.literal(6)]),
    client: end,
    server: end,
  })
  .refine(({ client, server, family }) => fits(client, family) && fits(server, family));

/** Every message of them. */
export const expectationSchemas = [
  z.strictObject({
    type: z.literal('expect'),
    incarnation: count,
    id: count,
    state: z.enum(EXPECTATION_STATES),
    tuple,
    once: z.boolean(),
    left: z.int().min(0).max(LEFT_MAX),
  }),
  z.strictObject({
    type: z.literal('unexpect'),
    incarnation: count,
    id: count,
    contested: z.boolean(),
  }),
  z.strictObject({
    type: z.literal('expected'),
    incarnation: count,
    id: count,
    step: z.enum([...EXPECTATION_STATES, 'gone']),
    refused: z.enum(EXPECTATION_REFUSALS).nullable(),
    contested: z.boolean(),
  }),
] as const;
