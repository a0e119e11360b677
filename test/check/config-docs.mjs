// docs/reference/configuration.md and docs/reference/errors.md are made from the schema and from
// the list of error codes, so that they cannot say anything else than the program does.
//
//   node test/check/config-docs.mjs           fails when a page is stale
//   node test/check/config-docs.mjs --write   writes the pages
//
// It reads the compiled program: build first.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const root = new URL('../../', import.meta.url);
const dist = new URL(process.env.FLOWSIEVE_DIST ?? 'dist/', root);
const load = (path) => import(new URL(`lib/${path}`, dist));

const { configurationSchema } = await load('config/schema.js');
const { bare, notesOf } = await load('config/problems.js');
const { parseConfiguration } = await load('config/index.js');
const { ERROR_CODES } = await load('errors/index.js');

const EXAMPLE = `cluster: web
addresses: [192.0.2.100, "2001:db8::100"]
node: node-1                       # default: the host name
nodes:
  - { name: node-1, address: 192.0.2.1, weight: 1 }
  - { name: node-2, address: 192.0.2.2 }
interface: eth0
link: multicast
distribution: { hash: siphash, fields: [source, sourcePort, destination, destinationPort], buckets: 256 }
rules:                             # the first that matches decides; without rules everything is distributed
  - { protocol: tcp, ports: [443, "8000-8099"], affinity: source }
  - { protocol: tcp, ports: [5432], do: single, nodes: [node-2, node-1] }
tracking: observe
tables: { connections: 1000000, openingShare: 0.25 }
timeouts: { tcp: { opening: 30, established: 7440, closing: 20 } }
workers: 1
secret: { file: /etc/flowsieve/secret }
sync: { port: 7946, heartbeat: 100, failAfter: 300 }      # milliseconds
quorum: paths                      # majority from three nodes on
drain: { deadline: 300, then: leave }
admin: { socket: /run/flowsieve/web.sock, http: "127.0.0.1:9146" }
`;

function defaultOf(schema, notes) {
  if (schema instanceof z.ZodDefault) {
    const value = schema.def.defaultValue;
    return `\`${Array.isArray(value) ? `[${value.join(', ')}]` : value}\``;
  }
  if (notes?.derived) return notes.derived.replace(/\S*<\S*/, (path) => `\`${path}\``);
  return schema instanceof z.ZodOptional ? 'none' : 'required';
}

function leafRow(path, schema) {
  const notes = notesOf(schema);
  if (!notes) throw new Error(`${path} has no notes in the schema.`);
  const cells = [`\`${path}\``, notes.expected, defaultOf(schema, notes), notes.text];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function* rows(path, schema) {
  const inner = bare(schema);
  if (notesOf(schema)) yield leafRow(path, schema);
  if (inner instanceof z.ZodObject) {
    for (const [key, part] of Object.entries(inner.shape)) {
      yield* rows(path === '' ? key : `${path}.${key}`, part);
    }
  }
  if (inner instanceof z.ZodArray && bare(inner.element) instanceof z.ZodObject) {
    yield* rows(`${path}[]`, inner.element);
  }
}

const GENERATED =
  '<!-- Made by test/check/config-docs.mjs from the program itself; edit there. -->';

function configurationPage() {
  parseConfiguration(EXAMPLE); // The example on the page must be a valid one.
  return `# Configuration

${GENERATED}

One file, YAML or JSON, the same for every node but for \`node\`. Unknown keys are errors. Everything that is wrong is named
at once, one sentence for each problem, with its path: \`flowsieve check FILE\`.

\`\`\`yaml
${EXAMPLE}\`\`\`

## Keys

| key | takes | default | what it is |
|---|---|---|---|
${[...rows('', configurationSchema)].join('\n')}

## Between the keys

- Addresses are unicast, each stands once, and a node address is never a cluster address.
- Node names and node addresses are each other's only ones; \`node\` is one of \`nodes\`, and at least one weight is above 0.
- \`symmetric: true\` needs \`source\` with \`destination\` and \`sourcePort\` with \`destinationPort\`, and equal prefixes for both sides:
  otherwise the two directions of a connection would hash different bytes.
- \`linkAddress\` is a group address with \`link: multicast\`, a unicast one with \`link: unicast\`, and not given with \`link: none\`.
- \`quorum: paths\` is for at most two nodes. \`sync.failAfter\` is at least two heartbeats, \`sync.guard\` less than \`sync.hold\`.
- Where nodes speak to each other (\`sync\`, or else \`address\`) is each node's only one, and never a cluster address.
- \`hash: jhash\` gives the kernel's answer only with \`fields: [source]\`; other fields are allowed and warned of.
- Config ids of \`quic.configs\` are each other's only ones; server id and nonce have 19 octets together at most; \`keyFile\` is not given with
  \`encrypted: false\`. No two nodes have server ids that one of the configs cannot tell apart.
- \`os\` counts only with \`tracking: os\` ([what it does](../decisions/os-list.md)). \`os.match\` names each identifier once, and with
  one missing nothing is restored.
- \`monitoring: false\` replaces the three timeouts of each protocol by its \`established\` one.

## The hash key

All nodes must hash with the same key, and nobody else should know it: who does can open connections that all fall on one node.

1. \`distribution.key\`, when it is given, with zeros behind it up to 40 bytes.
2. Otherwise HKDF-SHA256 (RFC 5869) of the secret: salt the name of the cluster, info \`flowsieve distribution v1\`, 40 bytes.
3. Without a secret the name of the cluster takes its place, and a warning says that anyone who knows it can aim at one node.

\`siphash\` uses the first 16 bytes, \`toeplitz\` all 40, \`crc32c\` and \`jhash\` the first 4 as a little-endian seed. Only \`siphash\` keeps
somebody who sees the answers from finding addresses that collide; the others are there to agree with other machinery.

## QUIC connection ids

With \`quic\` a packet to one of its ports goes to the node that its connection id names, wherever the client is
([operating](../guide/operating.md#quic-clients-whose-address-changes), [why so](../decisions/quic.md)). The key of a config is

1. the content of its \`keyFile\`, 32 hexadecimal digits;
2. otherwise HKDF-SHA256 (RFC 5869) of the secret: salt the name of the cluster, info \`flowsieve quic-lb v1 config N\` with the config id, 16 bytes;
3. without a secret the name of the cluster takes its place, and a warning says so.

A node's server id is the first \`serverIdLength\` octets of its \`serverId\`, or of SHA-256 of its name.

## What nodes agree on

Nodes agree on the allocation, and on the criteria of the distribution and of \`quic\`, by the cluster protocol; a node whose configuration asks for
other criteria than those in force says so, and the nodes change to them when all ask for the same. \`cluster\`, \`addresses\`, \`sync\`,
\`quorum\` and the names and addresses of \`nodes\` have to be the same on all.

## Changing the secret

Every message between nodes is encrypted with what \`secret.file\` holds; \`secret.also\` is accepted besides. So the secret changes without
a moment in which two nodes do not understand each other, each step on all nodes before the next:

1. \`{ file: old, also: new }\`, reload
2. \`{ file: new, also: old }\`, reload
3. \`{ file: new }\`, reload

A hash key that is derived from the secret changes with it, when the last node has done the second step: one handover of all buckets. With
\`distribution.key\` it does not.

## What a reload takes over

\`nodes\`, \`distribution\`, \`rules\`, \`quic\`, \`secret\`, \`rebalance\`, \`drain\` and \`health\`; everything else stays as it is until the next start, and the log says so.

- A change of the node list is taken only if every majority of the old list shares a node with every majority of the new one: one node more
  or less at a time, when in doubt.
- The sync address of a node that stays does not change.
`;
}

function errorsPage() {
  const lines = Object.entries(ERROR_CODES).map(
    ([code, { exitCode, sentence }]) => `| \`${code}\` | ${exitCode} | ${sentence} |`,
  );
  return `# Errors

${GENERATED}

Every error of the TypeScript API is a \`FlowsieveError\` with a \`code\`, the offending configuration \`path\` when there is one, and
its \`cause\`. Messages have one shape: *Expected X for Y but received Z.* Commands end with the exit status of the table; 0 is done.

| code | exit status | meaning |
|---|---|---|
${lines.join('\n')}
`;
}

const pages = [
  ['docs/reference/configuration.md', configurationPage()],
  ['docs/reference/errors.md', errorsPage()],
];
let stale = 0;
for (const [path, text] of pages) {
  const file = fileURLToPath(new URL(path, root));
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
  if (process.argv.includes('--write')) {
    writeFileSync(file, text);
    console.log(`${path} written`);
  } else {
    console.error(`${path} is stale: run node test/check/config-docs.mjs --write after a build.`);
    stale += 1;
  }
}
process.exitCode = stale > 0 ? 1 : 0;
