import type {
  Action,
  Message,
  NodeState,
  PlaneWork,
  ProtocolEvent,
  View,
} from '../protocol/index.js';

// What happens, in words for those who read a trace.

function viewText({ epoch, members, criteria }: View): string {
  const list = members.map(({ name, state, weight }) => `${name} ${state} ${weight}`);
  return `epoch ${epoch} ${criteria.digest} [${list.join(', ')}]`;
}

function stateText({ view, transition, epochSeen }: NodeState): string {
  const under = transition
    ? `${transition.phase} ${transition.transition.kind} to ${transition.transition.next.epoch}`
    : 'no transition';
  return `epoch ${view?.epoch ?? 'none'}, ${under}, seen ${epochSeen}`;
}

function messageText(message: Message): string {
  switch (message.type) {
    case 'prepare':
    case 'takeover': {
      const { next, dead } = message.transition;
      return `${message.type} (term ${message.term}) ${viewText(next)} dead [${dead.join(', ')}]`;
    }
    case 'commit':
      return `commit (term ${message.term}) ${viewText(message.view)}`;
    case 'voted':
      return `voted (term ${message.term}) ${message.granted}; ${stateText(message.state)}`;
    case 'state':
      return `state (term ${message.term}) ${stateText(message.state)}`;
    default: {
      const { type, ...rest } = message;
      return `${type} ${JSON.stringify(rest)}`;
    }
  }
}

function workText(work: PlaneWork): string {
  switch (work.work) {
    case 'install':
      return `install ${viewText(work.view)} dead [${work.dead.join(', ')}]`;
    case 'prepare':
    case 'takeover':
      return `${work.work} epoch ${work.transition.next.epoch}`;
    default:
      return JSON.stringify(work);
  }
}

/** Something that happens to a core. */
export function describeEvent(event: ProtocolEvent): string {
  if (event.type === 'message') return `${event.from}: ${messageText(event.message)}`;
  return JSON.stringify(event);
}

/** Something that a core asks for. */
export function describeAction(action: Action): string {
  switch (action.type) {
    case 'send':
      return `-> ${action.to}: ${messageText(action.message)}`;
    case 'plane':
      return `plane ${action.token}: ${workText(action.work)}`;
    case 'notice':
      return action.notice.notice === 'view'
        ? `notice view ${viewText(action.notice.view)}`
        : `notice ${JSON.stringify(action.notice)}`;
    default:
      return JSON.stringify(action);
  }
}
