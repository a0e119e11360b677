import { loadConfiguration } from '../config/index.js';
import { type ReplayConnection, type ReplaySummary, replay } from '../replay/index.js';
import { endpointText, print, printJson } from './output.js';

/** Options of `flowsieve replay`. */
export interface ReplayCommandOptions {
  config?: string;
  nodes?: number;
  json?: boolean;
}

/** `flowsieve replay PCAP`: the connections of a capture, and whose they are. */
export async function replayCommand(path: string, options: ReplayCommandOptions): Promise<void> {
  const config = options.config === undefined ? undefined : loadConfiguration(options.config);
  for await (const line of replay(path, { config, nodes: options.nodes })) {
    if (options.json) printJson(line);
    else if (line.type === 'connection') printConnection(line);
    else printSummary(line);
  }
}

function printConnection(line: ReplayConnection): void {
  const packets = `${line.packetsFromClient}/${line.packetsFromServer} packets`;
  const bytes = `${line.bytesFromClient}/${line.bytesFromServer} bytes`;
  const seconds = (line.lastSeen - line.firstSeen).toFixed(3);
  const end = line.closedBy === null ? line.status : `${line.status} by ${line.closedBy}`;
  print(
    `${line.protocol} ${endpointText(line.client)} -> ${endpointText(line.server)}  ${packets}  ${bytes}  ` +
      `${seconds} s  ${line.opened}, ${end}  bucket ${line.bucket} of ${line.owner}`,
  );
}

function printSummary(line: ReplaySummary): void {
  const shares = (of: Readonly<Record<string, number>>): string =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || 'none';
  print('');
  print(
    `${line.packets} packets: ${line.ip} IP, ${line.nonIp} not IP, ${line.malformed} malformed, ` +
      `${line.fragments} fragments, ${line.control} link-local control, ${line.passed} not the cluster's`,
  );
  print(`${line.connections} ${line.connections === 1 ? 'connection' : 'connections'}`);
  print(`packets by class: ${shares(line.classes)}`);
  print(`packets by node: ${shares(line.nodes)}`);
  if (Object.keys(line.drops).length > 0) print(`dropped: ${shares(line.drops)}`);
  if (line.damage !== null) print(`the capture is damaged: ${line.damage}`);
}
