import { loadConfiguration } from '../config/index.js';
import { expectedSentence, FlowsieveError } from '../errors/index.js';
import { missingOf, receiverFacts } from '../host/index.js';
import { print, printJson } from './output.js';

/**
 * `flowsieve receiver FILE NODE`: on a node behind a dispatcher, what it lacks to receive. The exit
 * status is 1 when something is missing.
 */
export async function receiverCommand(
  file: string,
  name: string,
  options: { json?: boolean },
): Promise<number> {
  const config = loadConfiguration(file);
  const node = config.nodes.find((each) => each.name === name);
  if (config.topology !== 'dispatcher' || node?.address === undefined) {
    const names = config.nodes.map((each) => each.name).join(', ');
    const expected =
      config.topology === 'dispatcher' ? `one of the nodes ${names}` : 'topology dispatcher';
    const received = config.topology === 'dispatcher' ? name : config.topology;
    throw new FlowsieveError(
      'FLOWSIEVE_ARGUMENT',
      expectedSentence(expected, 'receiver', received),
    );
  }
  const missing = missingOf(await receiverFacts(), {
    clusterAddresses: config.addresses,
    address: node.address,
    forward: node.forward ?? config.dispatcher.forward,
    guePort: config.dispatcher.guePort,
  });
  if (options.json) printJson({ node: name, ready: missing.length === 0, missing });
  else if (missing.length === 0) print(`${name} is ready to receive.`);
  else for (const sentence of missing) print(sentence);
  return missing.length === 0 ? 0 : 1;
}
