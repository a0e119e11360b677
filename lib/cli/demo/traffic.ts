// The client's side of a laboratory: one program in the client's namespace that makes all the
// traffic. It takes one JSON command a line on standard input (Command) and answers each with one
// JSON line that carries the command's id (Answer). It ends when its input ends.
import { createInterface } from 'node:readline';
import type { Answer, Command, CommandBody } from './commands.js';
import { datagrams } from './datagrams.js';
import { type Held, holdDatagrams, holdLateStreams, holdLines, holdStreams } from './held.js';
import { SteadyOpenings } from './steady.js';
import { download, shortConnections, upload } from './transfers.js';

const held = new Map<string, Held>();
const steady = new Map<string, SteadyOpenings>();

async function hold(name: string, opening: Promise<Held>): Promise<unknown> {
  const group = await opening;
  held.set(name, group);
  return group.opened;
}

function perform(command: CommandBody): Promise<unknown> {
  switch (command.do) {
    case 'short':
      return shortConnections(command);
    case 'lines':
      return hold(command.name, holdLines(command));
    case 'streams':
      return hold(command.name, holdStreams(command));
    case 'late':
      return hold(command.name, holdLateStreams(command));
    case 'flows':
      return hold(command.name, holdDatagrams(command));
    case 'look':
      return Promise.resolve(held.get(command.name)?.report());
    case 'release': {
      const group = held.get(command.name);
      held.delete(command.name);
      return Promise.resolve(group?.release());
    }
    case 'steady':
      steady.set(command.name, new SteadyOpenings(command));
      return Promise.resolve();
    case 'settle': {
      const openings = steady.get(command.name);
      steady.delete(command.name);
      return Promise.resolve(openings?.settle());
    }
    case 'download':
      return download(command);
    case 'upload':
      return upload(command);
    case 'datagrams':
      return datagrams(command);
  }
}

async function take(line: string): Promise<void> {
  const command = JSON.parse(line) as Command;
  let answer: Answer;
  try {
    answer = { id: command.id, result: await perform(command) };
  } catch (error) {
    answer = { id: command.id, error: error instanceof Error ? error.message : String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => void take(line));
input.on('close', () => process.exit(0));
