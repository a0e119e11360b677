import assert from 'node:assert/strict';
import { type Action, Protocol, type ProtocolEvent } from '../../lib/protocol/index.js';
import type { Host } from '../../lib/simulate/hosts.js';
import { Simulation, type SimulationOptions } from '../../lib/simulate/simulation.js';

// Situations that seeds meet rarely: each is put together by hand, and told by its end.

/** Three nodes that have formed a cluster; nothing else happens. */
function cluster(options: Partial<SimulationOptions> & { readonly seed: number }): Simulation {
  const simulation = new Simulation({
    plane: 'twin',
    nodes: 3,
    faults: false,
    scenario: (scenario) => ({ ...scenario, starters: 3 }),
    ...options,
  });
  simulation.form();
  return simulation;
}

/** Such a cluster, in which somebody hears who consents to whose death. */
function overheard(seed: number, heed: (from: string, dead: readonly string[]) => void) {
  return cluster({
    seed,
    sent: (from, _, action) => {
      if (action.type !== 'send' || action.message.type !== 'consent') return;
      heed(
        from,
        action.message.dead.map(({ name }) => name),
      );
    },
  });
}

function goesOn(simulation: Simulation, milliseconds: number, until = () => false): boolean {
  return simulation.run(simulation.queue.now + milliseconds, until);
}

const hasLease = ({ process }: Host): boolean =>
  process !== null && process.openUntil > process.now;

/** Such a cluster, in which somebody heeds what happens to each core, and what it asks for then. */
function watched(
  options: Partial<SimulationOptions> & { readonly seed: number },
  heed: (name: string, event: ProtocolEvent, actions: readonly Action[], now: number) => void,
): Simulation {
  return cluster({
    ...options,
    core: (made, now) => {
      const core = new Protocol(made, now);
      const handle = core.handle.bind(core);
      core.handle = (event, at) => {
        const actions = handle(event, at);
        heed(made.name, event, actions, at);
        return actions;
      };
      return core;
    },
  });
}

/** Such a cluster, who has inherited from whom, and who has pulled tables from whom. */
function recorded(seed: number) {
  const inherited: string[] = [];
  const tables: string[] = [];
  const simulation = watched({ seed }, (self, _, actions) => {
    for (const action of actions) {
      if (action.type === 'pull' && action.kind === 'tables') {
        tables.push(`${self} from ${action.from}`);
      }
      if (action.type !== 'plane' || action.work.work !== 'install') continue;
      for (const name of action.work.dead) inherited.push(`${self} from ${name}`);
    }
  });
  return { simulation, inherited, tables };
}

/** As what one node counts another. */
function counted(by: Host | undefined, host: Host): string | undefined {
  const members = by?.process?.state().view?.members ?? [];
  return members.find(({ name }) => name === host.name)?.state;
}

describe('a simulated coordinator', () => {
  it('goes by a death that the one before had decided and acted on', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 10; seed += 1) {
      let acted = false;
      let lost: Host | undefined;
      const simulation = cluster({
        seed,
        nodes: 4,
        scenario: (scenario) => ({ ...scenario, starters: 4 }),
        sent: (_from, _to, action) => {
          if (action.type !== 'send') return;
          const { message } = action;
          // The loser is to pause when it has prepared, and is missed when it should release.
          if (message.type === 'hold') lost?.process?.control.pause();
          if (message.type === 'acquire' && message.dead.length > 0) acted = true;
        },
      });
      const { hosts } = simulation;
      const led = hosts.find(({ process }) => process?.state().coordinating) as Host;
      const [heir, other, loser] = hosts.filter((host) => host !== led) as [Host, Host, Host];
      lost = loser;
      const incarnation = loser.process?.life.incarnation;

      led.process?.wish(1, { wish: 'weight', node: heir.name, weight: 2 });
      assert.ok(
        goesOn(simulation, 5000, () => acted),
        `seed ${seed}: it did not act on the death`,
      );
      goesOn(simulation, 10);
      led.stop('it crashed');
      lost = undefined;
      loser.process?.control.resume();
      const isBack = (): boolean => [heir, other, loser].every(hasLease);
      assert.ok(goesOn(simulation, 10_000, isBack), `seed ${seed}: it is not let in again`);
      const members = heir.process?.state().view?.members ?? [];
      const now = members.find(({ name }) => name === loser.name)?.incarnation;
      assert.notEqual(now, incarnation, `seed ${seed}: its life goes on`);
    }
  });
});

describe('a simulated newcomer', () => {
  it('lets a new coordinator lead to whose death it had consented for the old one', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 10; seed += 1) {
      const consents: string[] = [];
      const simulation = overheard(seed, (from, dead) => {
        if (from !== newcomer.name || !dead.includes(stalled.name)) return;
        consents.push(from);
        simulation.queue.after(0, () => leader.stop('it crashed'));
      });
      const { hosts } = simulation;
      const led = hosts.find(({ process }) => process?.state().coordinating);
      const [newcomer, stalled] = hosts.filter((host) => host !== led) as [Host, Host];
      const leader = led as Host;

      newcomer.stop('it crashed');
      assert.ok(goesOn(simulation, 5000, () => leader.process?.state().view?.members.length === 3));
      goesOn(simulation, 3000);
      stalled.process?.control.pause();
      // The leader's lease ends, or it would let the newcomer in before anybody may consent.
      goesOn(simulation, 1000);
      newcomer.start();
      assert.ok(
        goesOn(simulation, 5000, () => leader.process === null),
        `seed ${seed}`,
      );
      assert.ok(consents.length > 0);
      stalled.process?.control.resume();
      const both = (): boolean => [stalled, newcomer].every((host) => hasLease(host));
      assert.ok(goesOn(simulation, 5000, both), `seed ${seed}: nobody leads`);
    }
  });

  it('learns with its first view who has left since its life before', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 10; seed += 1) {
      const { simulation, inherited } = recorded(seed);
      const { hosts } = simulation;
      const led = hosts.find(({ process }) => process?.state().coordinating);
      const [paused, leaving] = hosts.filter((host) => host !== led) as [Host, Host];

      paused.process?.control.pause();
      assert.ok(
        goesOn(simulation, 5000, () => counted(led, paused) === 'dead'),
        `seed ${seed}`,
      );
      const incarnation = leaving.process?.life.incarnation ?? 0;
      leaving.process?.wish(1, { wish: 'leave', node: leaving.name, incarnation });
      assert.ok(
        goesOn(simulation, 5000, () => counted(led, leaving) === 'left'),
        `seed ${seed}`,
      );
      leaving.stop('it has left');
      inherited.length = 0;
      paused.process?.control.resume();
      const isBack = (): boolean => paused.process?.state().state === 'member';
      assert.ok(goesOn(simulation, 5000, isBack), `seed ${seed}: it is not let in`);
      assert.ok(inherited.includes(`${paused.name} from ${leaving.name}`), `seed ${seed}`);
      assert.ok(!inherited.includes(`${paused.name} from ${paused.name}`), `seed ${seed}`);
    }
  });

  it('has a lease again only when it has pulled the tables', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 10; seed += 1) {
      let paused: Host | undefined;
      const told: string[] = [];
      const pulls = new Map<number, string>();
      const simulation = watched({ seed }, (name, event, actions, now) => {
        if (name !== paused?.name) return;
        if (event.type === 'done' && event.ok && pulls.has(event.token)) told.push('the tables');
        for (const action of actions) {
          if (action.type === 'pull' && action.kind === 'tables') pulls.set(action.token, name);
          if (action.type === 'lease' && action.until > now) told.push('a lease');
        }
      });
      const led = simulation.hosts.find(({ process }) => process?.state().coordinating);
      paused = simulation.hosts.find((host) => host !== led);
      paused?.process?.control.pause();
      const isDead = (): boolean => counted(led, paused as Host) === 'dead';
      assert.ok(goesOn(simulation, 5000, isDead), `seed ${seed}`);
      told.length = 0;
      pulls.clear();
      paused?.process?.control.resume();
      const isBack = (): boolean => paused?.process?.state().state === 'member';
      assert.ok(goesOn(simulation, 5000, isBack), `seed ${seed}: it is not let in`);
      assert.deepEqual(told.slice(0, 2), ['the tables', 'a lease'], `seed ${seed}`);
    }
  });

  it('answers for the only member, which dies before it has given its tables', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 10; seed += 1) {
      let newcomer: Host | undefined;
      const leases: boolean[] = [];
      const simulation = watched(
        { seed, nodes: 2, scenario: (scenario) => ({ ...scenario, starters: 1, quorum: 'paths' }) },
        (name, _, actions) => {
          for (const action of actions) {
            const isGiven = action.type === 'send' && action.message.type === 'welcome';
            if (isGiven) simulation.queue.after(0, () => first?.stop('it crashed'));
            if (name !== newcomer?.name || action.type !== 'plane') continue;
            if (action.work.work === 'acquire') leases.push(hasLease(newcomer));
          }
        },
      );
      const { hosts } = simulation;
      const first = hosts.find(({ process }) => process !== null);
      newcomer = hosts.find((host) => host !== first);
      newcomer?.start();
      const answers = (): boolean => leases.length > 0;
      assert.ok(goesOn(simulation, 5000, answers), `seed ${seed}: nobody inherits`);
      assert.deepEqual(leases, [true], `seed ${seed}`);
    }
  });

  it('gets the tables of the one that came before it, when no member is left', function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 10; seed += 1) {
      const { simulation, tables } = recorded(seed);
      const { hosts } = simulation;
      const led = hosts.find(({ process }) => process?.state().coordinating) as Host;
      const [first, second] = hosts.filter((host) => host !== led) as [Host, Host];

      first.stop('it crashed');
      assert.ok(
        goesOn(simulation, 5000, () => counted(led, first) === 'dead'),
        `seed ${seed}`,
      );
      second.stop('it crashed');
      first.start();
      const late = simulation.queue.now + 5000;
      const isIn = (): boolean => counted(first, first) === 'joining';
      while (!isIn()) assert.ok(simulation.queue.step(late), `seed ${seed}: it is not let in`);
      led.stop('it crashed');
      second.start();
      const areMembers = (): boolean =>
        [first, second].every(({ process }) => process?.state().state === 'member');
      assert.ok(goesOn(simulation, 8000, areMembers), `seed ${seed}`);
      assert.ok(tables.includes(`${second.name} from ${first.name}`), `seed ${seed}`);
    }
  });
});
