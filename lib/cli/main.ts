#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { exitCodeOf } from '../errors/index.js';
import {
  auditCommand,
  type DrainCommandOptions,
  drainCommand,
  type ExpectCommandOptions,
  expectCommand,
  resumeCommand,
  unexpectCommand,
  weightCommand,
} from './act.js';
import {
  type AskOptions,
  allocationCommand,
  type ConnectionsCommandOptions,
  connectionsCommand,
  statusCommand,
} from './ask.js';
import { checkCommand } from './check.js';
import { explainCommand } from './explain.js';
import { type QuicIdCommandOptions, quicIdCommand } from './quic-id.js';
import { receiverCommand } from './receiver.js';
import { type ReconcileCommandOptions, reconcileCommand } from './reconcile.js';
import { type ReplayCommandOptions, replayCommand } from './replay.js';
import { runCommand } from './run.js';
import { type SimulateCommandOptions, simulateCommand } from './simulate.js';

// The command line: what there is, and which function does it. Exit codes: 0 done, 1 failed, 2
// wrong usage or configuration, 3 missing privilege or kernel feature.

const CONFIG = ['-c, --config <file>', 'configuration (YAML or JSON)'] as const;
const JSON_OUTPUT = ['--json', 'for programs: JSON, one object a line'] as const;

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected an integer from ${min} to ${max}.`);
  };
}

function weightNumber(text: string): number {
  const value = Number(text);
  const valid = text.trim() !== '' && (value === 0 || (value >= 0.001 && value <= 65_535));
  if (valid) return value;
  throw new InvalidArgumentError('Expected 0 or a number from 0.001 to 65535.');
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 2_592_000) return value;
  throw new InvalidArgumentError('Expected a number of seconds from 0 to 2592000.');
}

function program(): Command {
  const root = new Command('flowsieve')
    .description('The clustering module of a network element cluster.')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text) });
  root
    .command('run')
    .description('run a node in the foreground; SIGHUP reloads, SIGTERM and SIGINT leave')
    .requiredOption(...CONFIG)
    .action(async ({ config }: { config: string }) => {
      process.exitCode = await runCommand(config);
    });
  root
    .command('check <file>')
    .description('say what is wrong with a configuration, or what it means')
    .option(...JSON_OUTPUT)
    .action(checkCommand);
  root
    .command('receiver <file> <node>')
    .description('on a node behind a dispatcher: what it lacks to receive; 1 when something')
    .option(...JSON_OUTPUT)
    .action(async (file: string, node: string, options: { json?: boolean }) => {
      process.exitCode = await receiverCommand(file, node, options);
    });
  root
    .command('replay <pcap>')
    .description('the connections of a capture, and whose they are')
    .option(...CONFIG)
    .option('--nodes <n>', 'so many nodes of equal weight', wholeNumber(1, 1024))
    .option(...JSON_OUTPUT)
    .action((pcap: string, options: ReplayCommandOptions) => replayCommand(pcap, options));
  root
    .command('explain <pcap|hex>')
    .description('packet by packet: what it is, whose it is, and why')
    .option(...CONFIG)
    .option('--nodes <n>', 'so many nodes of equal weight', wholeNumber(1, 1024))
    .option(...JSON_OUTPUT)
    .action((what: string, options: ReplayCommandOptions) => explainCommand(what, options));
  root
    .command('quic-id')
    .description('what an application makes QUIC connection ids of, so that they name its node')
    .option(...CONFIG)
    .option('--node <name>', 'of another node than this one')
    .option('--count <n>', 'make so many of each config', wholeNumber(0, 100_000), 1)
    .option('--key', 'show the keys, too')
    .option('--read <hex>', 'say instead whom a connection id names')
    .option(...JSON_OUTPUT)
    .action((options: QuicIdCommandOptions) => quicIdCommand(options));
  addAsking(root);
  addActing(root);
  root
    .command('simulate')
    .description('clusters in this process, with faults and clients, and a judge over them')
    .option('--seed <n>', 'the seed that everything is made from', wholeNumber(0, 0xffff_ffff), 1)
    .option('--seeds <n>', 'so many seeds, from --seed on', wholeNumber(1, 1_000_000), 1)
    .option('--nodes <n>', 'so many nodes, instead of as many as the seed says', wholeNumber(2, 16))
    .option('--seconds <n>', 'simulated seconds in which things happen', wholeNumber(1, 3600))
    .option('--trace', 'to standard error: everything that happens, a line each')
    .option(...JSON_OUTPUT)
    .action((options: SimulateCommandOptions) => {
      process.exitCode = simulateCommand(options);
    });
  root
    .command('demo')
    .description('a client and three nodes in namespaces of their own, real traffic, and an audit')
    .action(async () => {
      const { demo } = await import('./demo/demo.js');
      process.exitCode = await demo();
    });
  return root;
}

/** The commands that ask a running node. */
function addAsking(root: Command): void {
  root
    .command('status')
    .description('all of the running node at this moment')
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action((options: AskOptions) => statusCommand(options));
  root
    .command('connections')
    .description('the connections in the tables of the running node')
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .option('--limit <n>', 'at most so many', wholeNumber(1, 100_000_000), 1000)
    .option('--protocol <name>', 'tcp, udp, sctp, icmp, icmp6, other, or a number')
    .option('--owner <node>', 'those of one node')
    .option('--status <status>', 'OPENING, ESTABLISHED or CLOSING')
    .option('--client <end>', 'an address, a port (:80), or both')
    .option('--server <end>', 'an address, a port (:80), or both')
    .option('--expected', 'instead: the connections that are expected, by --owner')
    .action((options: ConnectionsCommandOptions) => connectionsCommand(options));
  root
    .command('allocation')
    .description('which node owns which buckets')
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action((options: AskOptions) => allocationCommand(options));
}

/** The commands that make a running node do something, and show what came of it. */
function addActing(root: Command): void {
  root
    .command('drain')
    .description("give the node's buckets to the others, wait for its connections, leave")
    .argument('[node]', 'of a dispatcher: the node behind it that is to drain')
    .option(...CONFIG)
    .option('--deadline <s>', 'seconds until open connections are given up', seconds)
    .option('--wait', 'until the node has left')
    .option(...JSON_OUTPUT)
    .action((node: string | undefined, options: DrainCommandOptions) =>
      drainCommand(node, options),
    );
  root
    .command('resume')
    .description('end a drain, or let a node that has left come back')
    .argument('[node]', 'of a dispatcher: the node behind it')
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action((node: string | undefined, options: AskOptions) => resumeCommand(node, options));
  root
    .command('weight')
    .description("change a member's weight until its configuration says otherwise")
    .argument('<node>', 'name of the member')
    .argument('<weight>', 'its share beside the other weights; 0: no buckets', weightNumber)
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action((node: string, weight: number, options: AskOptions) =>
      weightCommand(node, weight, options),
    );
  root
    .command('reconcile')
    .description("compare the own connections with the operating system's, with tracking os")
    .option(...CONFIG)
    .option('--dry-run', 'change nothing, and say what would be dropped and restored')
    .option('--limit <n>', 'name at most so many connections', wholeNumber(0, 10_000), 100)
    .option(...JSON_OUTPUT)
    .action((options: ReconcileCommandOptions) => reconcileCommand(options));
  root
    .command('expect')
    .description("make connections the node's, whatever their bucket; prints the id when all know")
    .requiredOption('--protocol <name>', 'tcp, udp, sctp, icmp, icmp6, or a number')
    .option(
      '--client <end>',
      'an address, perhaps with the length of a prefix, a port (:80), or both',
    )
    .option('--server <end>', 'the same; in a cluster of servers a cluster address')
    .option('--lifetime <s>', 'seconds until it ends, 60 without it', seconds)
    .option('--once', 'it ends when a connection has met it')
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action((options: ExpectCommandOptions) => expectCommand(options));
  root
    .command('unexpect')
    .description('end an expectation of the node; connections that have met it stay')
    .argument('<id>', 'as `expect` has printed it', wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action((id: number, options: AskOptions) => unexpectCommand(id, options));
  root
    .command('audit')
    .description('whether each opening packet was taken exactly once; 1 when one was not')
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action(async (options: AskOptions) => {
      process.exitCode = await auditCommand(options);
    });
}

async function main(): Promise<void> {
  // A reader that has seen enough (head, less) closes the pipe: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    await program().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

await main();
