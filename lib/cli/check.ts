import { bucketCounts, plan } from '../allocation/index.js';
import { loadConfiguration, resolveDistribution, ruleText } from '../config/index.js';
import { print, printJson } from './output.js';

/** `flowsieve check FILE`: says what is wrong with a configuration, or what it means. */
export function checkCommand(file: string, options: { json?: boolean }): void {
  const config = loadConfiguration(file);
  const { rules } = resolveDistribution(config);
  const counts = bucketCounts(
    plan({ members: config.nodes, buckets: config.distribution.buckets }),
  );
  if (options.json) {
    printJson({ valid: true, configuration: config, buckets: Object.fromEntries(counts) });
    return;
  }
  print(`${file} is a valid configuration of node ${config.node} in cluster ${config.cluster}.`);
  for (const node of config.nodes) {
    print(`  ${node.name}: weight ${node.weight}, ${counts.get(node.name) ?? 0} buckets`);
  }
  for (const [index, rule] of rules.entries()) print(`  rule ${index + 1}: ${ruleText(rule)}`);
  for (const warning of config.warnings) print(`  Note: ${warning}`);
}
