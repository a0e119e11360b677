import type { Action, ListKind } from '../protocol/index.js';
import type { PlaneList } from './plane.js';
import type { Process } from './process.js';

type Pull = Extract<Action, { type: 'pull' }>;

const PATIENCE_MS = 400;
// A list tells how things were when it was made. One that is merged much later tells of connections
// that are over as if they were not, and its times are wrong by as much.
const AGE_MS_MAX = 250;

/** The lists that a process pulls from others: block after block, until the last or until one is
 * missing. */
export class Pulls {
  /** What losers opened has been merged: epoch and loser. */
  private readonly released = new Set<string>();

  constructor(private readonly process: Process) {}

  /** This loser's list of a handover has come. */
  hasReleased(epoch: number, from: string): boolean {
    return this.released.has(`${epoch}/${from}`);
  }

  start(pull: Pull): void {
    this.ask(pull, null, { block: 0, over: false });
  }

  /** Asks for one block; `progress` is shared by all that may answer. */
  private ask(pull: Pull, from: unknown, progress: { block: number; over: boolean }): void {
    const { process } = this;
    const { kind, epoch } = pull;
    const asked = progress.block;
    const since = process.now;
    const isCurrent = (): boolean => !progress.over && progress.block === asked;
    process.toPeer(pull.from, (peer) => {
      const list = exported(peer, kind, epoch, process.name, from);
      peer.toPeer(process.name, (again) => {
        if (again !== process || !isCurrent()) return;
        if (!list) return this.finish(pull, progress, false);
        progress.block += 1;
        this.merge(pull, list, peer.options.names, progress, since);
      });
    });
    process.control.after(PATIENCE_MS, () => {
      if (isCurrent()) this.finish(pull, progress, false);
    });
  }

  private merge(
    pull: Pull,
    list: PlaneList,
    names: readonly string[],
    progress: { block: number; over: boolean },
    since: number,
  ): void {
    const { process } = this;
    const owners = names.map((name) => process.options.names.indexOf(name));
    process.data.after(process.world.random.between(0.01, 0.2), () => {
      if (process.now - since > AGE_MS_MAX) {
        process.control.after(0.01, () => this.finish(pull, progress, false));
        return;
      }
      process.plane.importList(list, pull.kind, owners, process.now);
      process.control.after(process.world.random.between(0.01, 0.2), () => {
        if (list.next === null) this.finish(pull, progress, true);
        else this.ask(pull, list.next, progress);
      });
    });
  }

  private finish(pull: Pull, progress: { over: boolean }, ok: boolean): void {
    progress.over = true;
    if (ok && pull.kind === 'released') this.released.add(`${pull.epoch}/${pull.from}`);
    this.process.done(pull.token, ok);
  }
}

/** One block, or null when the core does not let the peer have it. */
function exported(
  process: Process,
  kind: ListKind,
  epoch: number,
  to: string,
  from: unknown,
): PlaneList | null {
  if (!process.serves(kind, epoch, to)) return null;
  // A list speaks of packets that whoever reads it has seen; so they must be decided here, too.
  process.drain();
  const index = process.options.names.indexOf(to);
  const list = process.plane.exportList(kind, index, from, process.now);
  process.world.trace.line(process.name, () => `   gives ${to} ${list.count} of ${kind}`);
  return list;
}
