#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { exitCodeOf } from '../errors/index.js';
import {
  type AskOptions,
  allocationCommand,
  type ConnectionsCommandOptions,
  connectionsCommand,
  statusCommand,
} from './ask.js';
import { checkCommand } from './check.js';
import { explainCommand } from './explain.js';
import { type ReplayCommandOptions, replayCommand } from './replay.js';
import { runCommand } from './run.js';

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
  addAsking(root);
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
    .action((options: ConnectionsCommandOptions) => connectionsCommand(options));
  root
    .command('allocation')
    .description('which node owns which buckets')
    .option(...CONFIG)
    .option(...JSON_OUTPUT)
    .action((options: AskOptions) => allocationCommand(options));
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
