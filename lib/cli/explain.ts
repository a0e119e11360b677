import { existsSync } from 'node:fs';
import { loadConfiguration } from '../config/index.js';
import { FlowsieveError, show } from '../errors/index.js';
import { type ExplainedPacket, explain, type ReplayInput } from '../replay/index.js';
import { endpointText, print, printJson } from './output.js';
import type { ReplayCommandOptions } from './replay.js';

/** `flowsieve explain PCAP|HEX`: packet by packet, what it is, whose it is and why. */
export async function explainCommand(what: string, options: ReplayCommandOptions): Promise<void> {
  const config = options.config === undefined ? undefined : loadConfiguration(options.config);
  for await (const packet of explain(inputOf(what), { config, nodes: options.nodes })) {
    if (options.json) printJson(packet);
    else printExplained(packet);
  }
}

/**
 * A file, or the bytes of one frame in hexadecimal: from the Ethernet header on, or from
 * the IP header on.
 */
function inputOf(what: string): ReplayInput {
  const digits = what.replace(/[\s:]/g, '');
  if (existsSync(what) || !/^[0-9a-f]+$/i.test(digits)) return { path: what };
  if (digits.length % 2 !== 0) {
    throw new FlowsieveError(
      'FLOWSIEVE_USAGE',
      `Expected an even number of hexadecimal digits for the packet but received ${show(what)}.`,
    );
  }
  const frame = Buffer.from(digits, 'hex');
  return { frame, link: beginsWithIp(frame) ? 'raw' : 'ethernet' };
}

// An IP header says its version and its own length; an Ethernet header that looks the same would be
// a MAC address beginning with 45 and a total length that fits the frame by chance.
function beginsWithIp(frame: Buffer): boolean {
  if (frame.length < 20) return false;
  const version = (frame[0] as number) >> 4;
  if (version === 4) return frame.readUInt16BE(2) === frame.length;
  return version === 6 && frame.length >= 40 && frame.readUInt16BE(4) + 40 === frame.length;
}

function printExplained(packet: ExplainedPacket): void {
  const between = packet.from === null ? '' : `  ${packet.from} -> ${packet.to}`;
  print(
    `${packet.number}  ${packet.time.toFixed(6)}  ${packet.bytes} bytes${between}  ${packet.what}`,
  );
  if (packet.flow) {
    const { source, destination } = packet.flow;
    print(`    connection  ${endpointText(source)} -> ${endpointText(destination)}`);
  }
  if (packet.hashed !== null) {
    print(`    hashed      ${packet.hashed} = ${packet.hash}, bucket ${packet.bucket}`);
  }
  const of = packet.class === null ? '' : ` (class ${packet.class})`;
  print(`    verdict     ${packet.verdict}${of}: ${packet.why}`);
}
