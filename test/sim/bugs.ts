import {
  type Action,
  type Coordination,
  type ListKind,
  type Message,
  type NodeState,
  Protocol,
  type ProtocolEvent,
  type ProtocolOptions,
  type View,
} from '../../lib/protocol/index.js';
import type { SimulationOptions } from '../../lib/simulate/index.js';
import type { MakePlane, Plane, PlaneOptions } from '../../lib/simulate/plane.js';
import type { Scenario } from '../../lib/simulate/scenario.js';

// Plausible bugs, each put around the real thing: a filter between core and shell, another option,
// a data plane that leaves something out. Nothing of them is in the program itself.

type Make = Pick<SimulationOptions, 'core' | 'plane' | 'faults' | 'scenario'>;

/** A bug by its name. */
export interface Bug {
  readonly name: string;
  /** `base`: makes the data planes that it is put around. */
  readonly make: (base: MakePlane) => Make;
}

/** A core whose actions pass through `filter`; it may have events of its own come back. */
function filtered(
  filter: (action: Action, options: ProtocolOptions, back: ProtocolEvent[]) => Action[],
  change: (options: ProtocolOptions) => ProtocolOptions = (options) => options,
): Make {
  const core = (options: ProtocolOptions, now: number): Coordination => {
    const inner = new Protocol(change(options), now);
    const handle = (event: ProtocolEvent, at: number): Action[] => {
      const back: ProtocolEvent[] = [];
      const actions = inner.handle(event, at).flatMap((action) => filter(action, options, back));
      return [...actions, ...back.flatMap((one) => handle(one, at))];
    };
    return {
      handle,
      get wakeAt() {
        return inner.wakeAt;
      },
      serves: (kind, epoch, to) => inner.serves(kind, epoch, to),
      state: (at) => inner.state(at),
    };
  };
  return { core };
}

/** Messages that pass through `change`; null: it is not sent. */
function messages(change: (message: Message, to: string) => Message | null): Make {
  return filtered((action) => {
    if (action.type !== 'send') return [action];
    const message = change(action.message, action.to);
    return message ? [{ ...action, message }] : [];
  });
}

/** A worker of which some methods are others. */
function plane(base: MakePlane, change: (inner: Plane) => Partial<Plane>): Make {
  const make = (options: PlaneOptions): Plane => {
    const inner = base(options);
    return Object.assign(inner, change(inner));
  };
  return { plane: make };
}

/** Lists of this kind arrive, and nobody looks at them. */
function unread(base: MakePlane, unread: ListKind): Make {
  return plane(base, (inner) => {
    const importList = inner.importList.bind(inner);
    return {
      importList: (list, kind, owners, now) => {
        if (kind !== unread) importList(list, kind, owners, now);
      },
    };
  });
}

function releaseWithBacklog(base: MakePlane): Make {
  return plane(base, (inner) => {
    const [push, turn] = [inner.push.bind(inner), inner.turn.bind(inner)];
    const waiting: Parameters<Plane['push']>[] = [];
    return {
      push: (packet, received) => {
        if (packet.kind === 'syn') waiting.push([packet, received]);
        else push(packet, received);
      },
      turn: (now) => {
        for (const packet of waiting.splice(0)) push(...packet);
        return turn(now);
      },
    };
  });
}

/** More changes and more faults in the same time: for bugs that need both in the same moment. */
const TURBULENT = {
  faults: true,
  scenario: (scenario: Scenario): Scenario => ({
    ...scenario,
    changeGap: 250,
    faultGap: 300,
    busy: 6000,
  }),
} as const;

/** A new coordinator takes the silence of a member for an answer. */
function asksNobody(): Make {
  const made = filtered((action, _options, back) => {
    if (action.type !== 'send' || action.message.type !== 'ask') return [action];
    const { term } = action.message;
    const said = { consents: [], over: [] };
    const state = { incarnation: 0, view: null, transition: null, epochSeen: 0, ...said };
    back.push({ type: 'message', from: action.to, message: { type: 'state', term, state } });
    return [];
  });
  return { ...made, ...TURBULENT };
}

/** Grants and echoes go on whatever was consented to. */
function grantsEverything(): Make {
  return filtered((action) => {
    if (action.type !== 'heartbeat') return [action];
    const echoes = action.heartbeat.echoes.map((echo) => ({ ...echo, grant: echo.echo }));
    return [{ ...action, heartbeat: { ...action.heartbeat, echoes } }];
  });
}

/** A node remembers the epoch of its view alone, and none of the transitions that failed. */
function forgetsEpochs(): Make {
  const core = (options: ProtocolOptions, now: number): Coordination => {
    const inner = new Protocol(options, now);
    const { core: known } = inner as unknown as { core: { view: View | null } };
    Object.defineProperty(known, 'epochSeen', {
      get: () => known.view?.epoch ?? 0,
      set: () => undefined,
    });
    return inner;
  };
  return { core, ...TURBULENT };
}

/** A new coordinator is not told that somebody has released already. */
function concealsRelease(): Make {
  const concealed = (state: NodeState): NodeState =>
    state.transition ? { ...state, transition: { ...state.transition, phase: 'held' } } : state;
  const made = messages((message) =>
    message.type === 'voted' || message.type === 'state'
      ? { ...message, state: concealed(message.state) }
      : message,
  );
  return { ...made, ...TURBULENT };
}

function impatient(): Make {
  return filtered(
    (action) => [action],
    (options) => {
      const { timing } = options;
      if (options.name !== 'node-1' && options.name !== 'node-2') return options;
      return { ...options, timing: { ...timing, failAfter: timing.failAfter * 0.4 } };
    },
  );
}

/** Nothing else is wrong, and the nodes are as far apart as the guard allows. */
function unguarded(): Make {
  const made = filtered(
    (action) => [action],
    (options) => ({ ...options, timing: { ...options.timing, guard: 0 } }),
  );
  const scenario = (chosen: Scenario): Scenario => ({
    ...chosen,
    spread: chosen.timing.guard,
    rushGap: 0.3,
  });
  return { ...made, faults: false, scenario };
}

/** The bugs. */
export const BUGS: readonly Bug[] = [
  {
    name: 'HELD is said before anything is held',
    make: (base) => plane(base, () => ({ hold: () => [] })),
  },
  {
    name: 'the data plane does not heed the lease',
    make: (base) =>
      plane(base, (inner) => {
        const setOpenUntil = inner.setOpenUntil.bind(inner);
        return { setOpenUntil: (until, now) => setOpenUntil(until === 0 ? 0 : 1e12, now) };
      }),
  },
  {
    name: 'what the losers opened is not merged before the held packets are resolved',
    make: (base) => unread(base, 'released'),
  },
  {
    name: 'a commit is lost and not repeated',
    make: () => {
      const lost = new Set<string>();
      return messages((message, to) => {
        if (message.type !== 'commit') return message;
        const which = `${message.view.epoch} ${to}`;
        const isSecond = lost.has(which);
        lost.add(which);
        return isSecond || message.view.epoch % 3 === 0 ? null : message;
      });
    },
  },
  { name: 'a loser releases before it has decided what it had received', make: releaseWithBacklog },
  {
    name: 'there is no guard between HELD and RELEASE',
    make: unguarded,
  },
  {
    name: 'the dead are adopted without what the living claim',
    make: (base) => ({ ...unread(base, 'claims'), ...TURBULENT }),
  },
  { name: 'a node consents to a death too early', make: impatient },
  { name: 'grants go on after a consent', make: grantsEverything },
  {
    name: 'owners that others noted are never corrected',
    make: (base) => unread(base, 'contested'),
  },
  { name: 'a new coordinator does not ask everybody', make: asksNobody },
  { name: 'a transition is rolled back after a loser has released', make: concealsRelease },
  { name: 'an epoch is used again after a transition that failed', make: forgetsEpochs },
  {
    name: 'held packets are thrown away instead of resolved',
    make: (base) =>
      plane(base, (inner) => {
        const acquire = inner.acquire.bind(inner);
        return {
          acquire: (from, now) => {
            acquire(from, now);
            return [];
          },
        };
      }),
  },
  {
    name: 'a newcomer does not merge the tables that it asked for',
    make: (base) => unread(base, 'tables'),
  },
  {
    name: 'a connection is forgotten to be contested',
    make: (base) =>
      plane(base, (inner) => {
        const prepare = inner.prepare.bind(inner);
        const release = inner.release.bind(inner);
        return {
          prepare: (to, now) => {
            inner.clearContested();
            return prepare(to, now);
          },
          release: (now) => {
            const delivered = release(now);
            inner.clearContested();
            return delivered;
          },
        };
      }),
  },
];
