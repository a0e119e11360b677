// Everything that the live path sets on this host, in the one order in which the kernel never
// answers for a cluster address by itself:
//
//   guard -> settings of the capture interface -> (the engine makes the TUN device)
//         -> its settings -> cluster addresses -> up
//
// and undone in the reverse. What is set is in the journal before it is set (journal.ts), so that
// `status` can list it, and so that the next start can undo what a crash left; the guard of a
// crashed process stays in force until the new one replaces it.
import type { ResolvedRule } from '../config/index.js';
import {
  applyAddresses,
  checkCapture,
  checkClash,
  interfaces,
  planAddresses,
  undoAddress,
} from './addresses.js';
import { applyDetour, type DetourPlan, planDetour, undoRule } from './detour.js';
import { type GuardStatus, guardStatus, installGuard, planGuard, undoGuard } from './guard.js';
import { type HostChange, Journal } from './journal.js';
import { type CheckedOptions, checkOptions, type HostOptions } from './options.js';
import { passLines } from './passes.js';
import { run } from './programs.js';
import { applySysctls, planCapture, planTun, undoSysctl } from './sysctls.js';

export { type DetourMarks, type DetourPlan, detourMarks } from './detour.js';
export { GUARD_RULES, type GuardCounter, type GuardRule, type GuardStatus } from './guard.js';
export type { ChangeKind, HostChange } from './journal.js';
export type { HostOptions } from './options.js';
export {
  type Device,
  missingOf,
  type ReceiverFacts,
  type Receiving,
  readDevices,
  readGue,
  receiverFacts,
} from './receiver.js';

/** What one flowsieve process has set on this host. */
export class Host {
  private asking: Promise<GuardStatus> | undefined;
  /** What the guard lets through; nothing when it was put up. */
  private passes: readonly string[] = [];

  private constructor(
    private readonly options: CheckedOptions,
    private readonly journal: Journal,
  ) {}

  /**
   * Checks the host, cleans up what a crashed process left, puts the guard up and sets the
   * capture interface.
   *
   * @throws FlowsieveError with nothing left changed. FLOWSIEVE_MISSING and FLOWSIEVE_PRIVILEGE
   * name what is missing; FLOWSIEVE_STATE means that another process runs this cluster here.
   */
  static async prepare(hostOptions: HostOptions): Promise<Host> {
    const options = checkOptions(hostOptions);
    await run('nft', ['--version']);
    checkCapture(options, await interfaces());
    const journal = await Journal.open(options);
    const host = new Host(options, journal);
    try {
      await host.cleanUp();
      checkClash(options, await interfaces());
      await host.guard();
      const settings = await planCapture(options);
      await journal.record(settings);
      await applySysctls(settings);
      return host;
    } catch (error) {
      await host.undo();
      throw error;
    }
  }

  /**
   * Gives the TUN device its settings and the cluster addresses, and brings it up. To be called
   * when the engine has made the device and is ready to read from the ring: from then on this
   * host can answer.
   *
   * @throws FlowsieveError when something is refused; {@link undo} then takes back what was done.
   */
  async addTun(): Promise<void> {
    const settings = await planTun(this.options);
    await this.journal.record(settings);
    await applySysctls(settings);
    const addresses = await planAddresses(this.options);
    await this.journal.record(addresses);
    await applyAddresses(addresses);
  }

  /** What these rules pass is not what the guard lets through now. */
  passesOther(rules: readonly ResolvedRule[]): boolean {
    return passLines(rules).join('\n') !== this.passes.join('\n');
  }

  /**
   * Has the guard let through what these rules pass, and nothing else.
   *
   * @throws FlowsieveError when nft refuses; the guard is as it was then
   */
  async letPass(rules: readonly ResolvedRule[]): Promise<void> {
    await installGuard(this.options, rules);
    this.passes = passLines(rules);
  }

  /** Sends the replies of control connections through the FTP helper, whose device is there. */
  async addDetour(plan: DetourPlan): Promise<void> {
    await this.journal.record(planDetour(this.options, plan));
    await applyDetour(this.options, plan);
  }

  /** Everything that is set, in the order in which it was. */
  list(): readonly HostChange[] {
    return this.journal.list();
  }

  /**
   * The guard as the kernel has it now, with what it dropped. Whoever asks while it is being asked
   * gets the same answer.
   */
  guardStatus(): Promise<GuardStatus> {
    this.asking ??= guardStatus(this.options.cluster).finally(() => {
      this.asking = undefined;
    });
    return this.asking;
  }

  /**
   * Puts everything back, the latest first, and gives the journal up. Never throws: whatever cannot
   * be put back does not keep the rest from it, stays in the journal for the next start, and is
   * told in the returned sentences. When another process has taken the cluster over, what is set is
   * that one's, and nothing is touched.
   */
  async undo(): Promise<readonly string[]> {
    try {
      await this.journal.checkHolder();
    } catch (error) {
      return [sentenceOf(error)];
    }
    const { left, sentences } = await undoAll(this.journal.list(), this.options.onNotice);
    try {
      if (left.length === 0) await this.journal.remove();
      else await this.journal.replaceChanges(left);
    } catch (error) {
      sentences.push(sentenceOf(error));
    }
    return sentences;
  }

  /**
   * Undoes what a dead process left, but for its guard: {@link guard} replaces that without a gap.
   */
  private async cleanUp(): Promise<void> {
    const { leftover } = this.journal;
    if (leftover === undefined) return;
    const { onNotice } = this.options;
    if (leftover.notice !== undefined) onNotice(leftover.notice);
    const ours = planGuard(this.options).target;
    const guards = leftover.changes.filter((change) => change.target === ours);
    const others = leftover.changes.filter((change) => change.target !== ours);
    const { left } = await undoAll(others, onNotice);
    await this.journal.replaceChanges([...guards.slice(0, 1), ...left]);
    if (leftover.changes.length > 0) {
      const undone = leftover.changes.length - left.length;
      onNotice(
        `Cleaned up after a process that ended without doing so: ${undone} of ${leftover.changes.length} settings.`,
      );
    }
  }

  private async guard(): Promise<void> {
    const change = planGuard(this.options);
    const others = this.journal.list().filter((each) => each.target !== change.target);
    const before = this.journal.list();
    await this.journal.replaceChanges([change, ...others]);
    try {
      await installGuard(this.options);
    } catch (error) {
      // The transaction changed nothing, so there is nothing of it to undo; without the privilege
      // that could not even be tried.
      await this.journal.replaceChanges(before);
      throw error;
    }
  }
}

/** Undoes changes, the latest first; `left` are those that could not be, in their old order. */
async function undoAll(
  changes: readonly HostChange[],
  onNotice: (sentence: string) => void,
): Promise<{ left: HostChange[]; sentences: string[] }> {
  const left: HostChange[] = [];
  const sentences: string[] = [];
  for (const change of changes.toReversed()) {
    try {
      const notice = await undoChange(change);
      if (notice !== undefined) onNotice(notice);
    } catch (error) {
      left.unshift(change);
      sentences.push(sentenceOf(error));
      onNotice(sentenceOf(error));
    }
  }
  return { left, sentences };
}

async function undoChange(change: HostChange): Promise<string | undefined> {
  switch (change.kind) {
    case 'sysctl':
      return undoSysctl(change);
    case 'nftTable':
      await undoGuard(change);
      return undefined;
    case 'rule':
      await undoRule(change);
      return undefined;
    case 'address':
    case 'link':
      await undoAddress(change);
      return undefined;
  }
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
