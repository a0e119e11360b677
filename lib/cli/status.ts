import type { DispatchStatus } from '../dispatch/index.js';
import type { ClusterStatus, DrainStatus, PeerPaths, RuleView, Status } from '../node/types.js';
import { columns, durationText, print } from './output.js';
import { reconcileText } from './reconcile.js';

// What `flowsieve status` prints for people.

/** Seconds ago, as text; a moment in the future is now. */
function ago(moment: number | null, now: number): string {
  return moment === null ? 'never' : `${durationText(Math.max(0, now - moment))} ago`;
}

/** Prints a status; parts that a node without peers does not have are left out. */
export function printStatus(status: Status & Partial<ClusterStatus>, now: number): void {
  const { tables, memory, host } = status;
  print(
    `${status.node} of ${status.cluster}: ${status.state} for ${durationText(status.uptime)}, epoch ${status.epoch}, ` +
      `on ${status.interface} for ${status.addresses.join(', ')}`,
  );
  print('');
  printMembers(status, now);
  print('');
  if (status.dispatcher) printDispatcher(status.dispatcher, now);
  if (status.drain) printDrain(status.drain, now);
  print(
    `connections  ${tables.own} own, ${tables.others} of others, room for ${tables.capacity}; ` +
      `${tables.opening} opening, ${tables.established} established, ${tables.closing} closing`,
  );
  const classes = Object.entries(status.classes).map(([name, count]) => `${name}: ${count}`);
  print(`packets      ${classes.join('  ')}`);
  const drops = Object.entries(status.drops).map(([reason, count]) => `${reason} ${count}`);
  print(`dropped      ${drops.join(', ') || 'none'}`);
  printHandovers(status);
  if (status.os) print(`open         ${ago(status.os.at, now)}: ${reconcileText(status.os)}`);
  print(`memory       ${(memory.residentBytes / 1e6).toFixed(0)} MB resident`);
  printRules(status.rules);
  for (const change of host.changes) {
    print(`set on host  ${change.kind} ${change.target}`);
  }
  for (const { name, message } of status.alarms) print(`ALARM        ${name}: ${message}`);
}

/** Prints the port rules, if there are any, and who has those of a single node. */
export function printRules(rules: readonly RuleView[]): void {
  for (const { number, text, owner } of rules) {
    print(`rule ${number}       ${text}${owner === null ? '' : `; now at ${owner}`}`);
  }
}

function printMembers(status: Status & Partial<ClusterStatus>, now: number): void {
  const peers = new Map((status.peers ?? []).map((peer) => [peer.name, peer]));
  print(
    columns(
      ['member', 'state', 'weight', 'buckets', 'last seen', ''],
      status.members.map(({ name, state, weight, buckets, lastSeen }) => [
        name,
        state,
        weight,
        buckets,
        name === status.node ? 'this node' : ago(lastSeen, now),
        [name === status.coordinator ? 'coordinator' : [], unheard(peers.get(name), now)]
          .flat()
          .join(', '),
      ]),
    ),
  );
  if (status.coordinator === null) print('no coordinator: nothing changes until one is elected');
}

/** The nodes behind a dispatcher. */
function printDispatcher({ active, epoch, nodes }: DispatchStatus, now: number): void {
  print(active ? `forwards, epoch ${epoch}` : `stands by, epoch ${epoch}`);
  const headers = ['node', 'health', 'weight', 'buckets', 'connections', 'packets', 'way', 'check'];
  print(
    columns(
      headers,
      nodes.map(({ way, lastCheck, ...node }) => [
        node.name,
        node.draining ? `${node.health}, draining` : node.health,
        node.weight,
        node.buckets,
        node.connections,
        node.packets,
        way === null ? 'not looked for' : `${way.forward} ${way.state}`,
        lastCheck === null ? 'none' : `${lastCheck.found}, ${ago(lastCheck.at, now)}`,
      ]),
    ),
  );
  print('');
}

/** A path that is silent while the other one is not. */
function unheard(peer: PeerPaths | undefined, now: number): string[] {
  if (!peer) return [];
  const silent = (moment: number | null): boolean => moment === null || now - moment > 2;
  const { sync, wire } = peer.paths;
  if (silent(sync) === silent(wire)) return [];
  return [silent(sync) ? 'not heard on the sync network' : 'not heard on the capture interface'];
}

/** Prints how far a drain is. */
export function printDrain(drain: DrainStatus, now: number): void {
  const { connections, oldest, estimate, deadline, buckets } = drain;
  const parts = [`${connections} open connections in ${buckets.length} buckets`];
  if (oldest !== null) parts.push(`the oldest for ${durationText(oldest)}`);
  parts.push(estimate === null ? 'no estimate' : `about ${durationText(estimate)} to go`);
  const end = { leave: 'leaves', wait: 'waits', reset: 'resets them and leaves' }[drain.then];
  parts.push(
    deadline === null
      ? 'without a deadline'
      : `${end} in ${durationText(Math.max(0, deadline - now))}`,
  );
  print(`draining     since ${durationText(Math.max(0, now - drain.since))}: ${parts.join(', ')}`);
}

function printHandovers({ handover, audit }: Status & Partial<ClusterStatus>): void {
  const { completed, rolledBack, held, heldDropped } = handover;
  print(
    `handovers    ${completed} completed, ${rolledBack} rolled back; ${held} packets held, ${heldDropped} of them dropped`,
  );
  if (!audit) return;
  const judged = Object.entries(audit).filter(([, count]) => count > 0);
  const text = judged.map(([verdict, count]) => `${count} ${verdict}`).join(', ');
  print(`audit        epochs: ${text || 'none yet'}`);
}
