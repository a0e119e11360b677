// What this host will have to be given back.
//
// Before anything is changed, the change and the value that it replaces are written to
// RUN/CLUSTER.journal.json: into a temporary file, flushed, renamed over the old one. So whatever
// the moment of a crash, the journal knows at least every change that was made; that it may also
// know one that was not made does no harm, because undoing looks first.
//
//   record(changes) -> the changes are made -> ... -> they are undone -> remove()
//
// The journal is also the claim on the cluster's name on this host: it says who holds it (pid and
// start time). A new claim is made by link(2), which only one of two can do; a dead holder's claim
// is taken over by rename, and every later write first looks whether it is still ours, so that the
// loser of a race after a crash finds out at its next step.
//
// It does not survive a reboot in force: the boot id is part of it, and what an earlier boot had
// set is gone with it.
import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { FlowsieveError } from '../errors/index.js';
import type { CheckedOptions } from './options.js';
import { isAlive, isRunning, ownIdentity, type ProcessIdentity, sameProcess } from './process.js';

/**
 * What a change is made to: a file below /proc/sys, an nftables table, an address of a device, a
 * device's up or down, a rule of the routing policy.
 */
export type ChangeKind = 'sysctl' | 'nftTable' | 'address' | 'link' | 'rule';

/** One thing that is set on the host. */
export interface HostChange {
  readonly kind: ChangeKind;
  /**
   * sysctl: path below /proc/sys · nftTable: `FAMILY NAME` · address: `DEVICE ADDRESS/LENGTH`
   * · link: `DEVICE` · rule: `-4 fwmark MARK lookup TABLE priority PRIORITY`
   */
  readonly target: string;
  /** What was there before; null when nothing was. */
  readonly previous: string | null;
  readonly set: string;
}

// The targets are checked as well as the shape: what stands here is written to files below
// /proc/sys and handed to programs.
const changeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('sysctl'),
    target: z.string().regex(/^net\/ipv[46]\/conf\/(?!\.{1,2}\/)[^\s/]{1,15}\/[a-z_0-9]+$/),
    previous: z.string().regex(/^-?\d{1,10}$/),
    set: z.string().regex(/^-?\d{1,10}$/),
  }),
  z.strictObject({
    kind: z.literal('nftTable'),
    target: z.string().regex(/^(?:netdev|inet) flowsieve_[A-Za-z0-9_]{1,100}$/),
    previous: z.null(),
    set: z.string().max(1000),
  }),
  z.strictObject({
    kind: z.literal('address'),
    target: z.string().regex(/^[^\s/:-][^\s/:]{0,14} [0-9a-fA-F.:]+\/\d{1,3}$/),
    previous: z.null(),
    set: z.string().max(1000),
  }),
  z.strictObject({
    kind: z.literal('link'),
    target: z.string().regex(/^[^\s/:-][^\s/:]{0,14}$/),
    previous: z.literal('down'),
    set: z.literal('up'),
  }),
  z.strictObject({
    kind: z.literal('rule'),
    target: z.string().regex(/^-[46] fwmark \d{1,10} lookup \d{1,10} priority \d{1,5}$/),
    previous: z.null(),
    set: z.string().max(1000),
  }),
]);

const journalSchema = z.strictObject({
  format: z.literal(1),
  cluster: z.string(),
  holder: z.strictObject({
    pid: z.int().positive(),
    startTime: z.string(),
    boot: z.string(),
    namespace: z.string(),
  }),
  changes: z.array(changeSchema).max(10_000),
});

type Written = z.infer<typeof journalSchema>;

/** What {@link Journal.open} found of an earlier process. */
export interface Leftover {
  /** To be undone, the latest last. */
  readonly changes: readonly HostChange[];
  /** The dead process; unknown when its journal is damaged and was moved away. */
  readonly holder?: ProcessIdentity;
  /** What about it cannot be undone, in one sentence. */
  readonly notice?: string;
}

/** The journal of one cluster on this host; see above. */
export class Journal {
  private changes: readonly HostChange[] = [];
  private held = false;

  private constructor(
    readonly path: string,
    private readonly cluster: string,
    private readonly holder: ProcessIdentity,
    /** What an earlier process left behind; undefined after an orderly exit. */
    readonly leftover: Leftover | undefined,
  ) {}

  /**
   * Claims the cluster's name on this host.
   *
   * @throws FlowsieveError FLOWSIEVE_STATE (exit status 1) when a live process holds it: nothing is
   * missing on the host then, there is merely one flowsieve too many.
   */
  static async open(options: Pick<CheckedOptions, 'cluster' | 'runDirectory'>): Promise<Journal> {
    const path = join(options.runDirectory, `${options.cluster}.journal.json`);
    const self = await ownIdentity();
    await mkdir(options.runDirectory, { recursive: true, mode: 0o755 }).catch((error: unknown) => {
      throw unwritable(path, error);
    });
    const leftover = await findLeftover(path, options.cluster, self);
    const journal = new Journal(path, options.cluster, self, leftover);
    // A dead process's changes stay in the journal until they are undone: we may die as well.
    journal.changes = leftover?.changes ?? [];
    await journal.write(leftover?.holder === undefined ? 'claim' : 'replace');
    await sweep(path);
    return journal;
  }

  /** Everything recorded and not yet forgotten, in the order in which it was recorded. */
  list(): readonly HostChange[] {
    return this.changes;
  }

  /** Writes down changes that are about to be made. Resolves when they would survive a crash. */
  async record(changes: readonly HostChange[]): Promise<void> {
    if (changes.length === 0) return;
    await this.replaceChanges([...this.changes, ...changes]);
  }

  /** Replaces the list, after some changes were undone. */
  async replaceChanges(changes: readonly HostChange[]): Promise<void> {
    await this.checkHolder();
    this.changes = changes;
    await this.write('replace');
  }

  /** Gives the claim up. Leaves another process's journal alone. */
  async remove(): Promise<void> {
    await this.checkHolder();
    await rm(this.path, { force: true });
    this.changes = [];
  }

  /** @throws FlowsieveError FLOWSIEVE_STATE when the journal is another process's by now. */
  async checkHolder(): Promise<void> {
    const found = await readJournal(this.path);
    if (found.state === 'written' && !sameProcess(found.written.holder, this.holder)) {
      throw alreadyRunning(this.cluster, found.written.holder, this.path);
    }
  }

  // The time between this look and the rename that follows is all that is left to two that start at
  // once after a crash.
  private async checkStillDead(dead: ProcessIdentity): Promise<void> {
    const found = await readJournal(this.path);
    if (found.state === 'written' && !sameProcess(found.written.holder, dead)) {
      throw alreadyRunning(this.cluster, found.written.holder, this.path);
    }
  }

  private async write(how: 'claim' | 'replace'): Promise<void> {
    try {
      await this.writeOrThrow(how);
    } catch (error) {
      throw error instanceof FlowsieveError ? error : unwritable(this.path, error);
    }
  }

  private async writeOrThrow(how: 'claim' | 'replace'): Promise<void> {
    const { cluster, holder, changes } = this;
    const written = { format: 1, cluster, holder, changes };
    const temporary = `${this.path}.${holder.pid}`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(written, null, 1)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    try {
      if (how === 'claim') await this.claim(temporary);
      else await this.replace(temporary);
    } finally {
      await rm(temporary, { force: true });
    }
    await syncDirectory(this.path);
  }

  private async replace(temporary: string): Promise<void> {
    const dead = this.leftover?.holder;
    if (dead !== undefined && !this.held) await this.checkStillDead(dead);
    await rename(temporary, this.path);
    this.held = true;
  }

  private async claim(temporary: string): Promise<void> {
    try {
      await link(temporary, this.path);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      const found = await readJournal(this.path);
      if (found.state === 'written') {
        throw alreadyRunning(this.cluster, found.written.holder, this.path);
      }
      throw error;
    }
    this.held = true;
  }
}

async function findLeftover(
  path: string,
  cluster: string,
  self: ProcessIdentity,
): Promise<Leftover | undefined> {
  const found = await readJournal(path);
  if (found.state === 'none') return undefined;
  if (found.state === 'damaged') {
    const kept = `${path}.damaged`;
    await rename(path, kept);
    return {
      changes: [],
      notice:
        `Expected a readable journal at ${path} but received ${found.why}; it is kept as ${kept}. ` +
        'What can be recognised by name is cleaned up; sysctls of the capture interface stay as they are.',
    };
  }
  const { holder, changes } = found.written;
  if (await isAlive(holder)) throw alreadyRunning(cluster, holder, path);
  if (holder.boot !== self.boot) return { changes: [], holder };
  if (holder.namespace !== self.namespace) {
    return {
      changes: [],
      holder,
      notice:
        `Expected the journal at ${path} to be of this network namespace but received that of a dead process ` +
        `in ${holder.namespace}; nothing of it is undone here.`,
    };
  }
  return { changes, holder };
}

type Found =
  | { readonly state: 'none' }
  | { readonly state: 'damaged'; readonly why: string }
  | { readonly state: 'written'; readonly written: Written };

async function readJournal(path: string): Promise<Found> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { state: 'none' };
    throw unwritable(path, error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { state: 'damaged', why: 'something that is not JSON' };
  }
  const parsed = journalSchema.safeParse(value);
  if (parsed.success) return { state: 'written', written: parsed.data };
  const at = parsed.error.issues[0]?.path.join('.') || 'its top level';
  return { state: 'damaged', why: `something unknown at ${at}` };
}

/** Removes the temporary files of processes that died while they wrote. */
async function sweep(path: string): Promise<void> {
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  for (const name of await readdir(folder)) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (/^\d+$/.test(pid) && !(await isRunning(Number(pid)))) {
      await rm(join(folder, name), { force: true });
    }
  }
}

function alreadyRunning(cluster: string, holder: ProcessIdentity, path: string): FlowsieveError {
  return new FlowsieveError(
    'FLOWSIEVE_STATE',
    `Expected no running flowsieve for cluster ${cluster} but found process ${holder.pid} (it holds ${path}).`,
  );
}

function unwritable(path: string, error: unknown): FlowsieveError {
  const code = codeOf(error);
  return new FlowsieveError(
    code === 'EACCES' || code === 'EPERM' ? 'FLOWSIEVE_PRIVILEGE' : 'FLOWSIEVE_SYSTEM',
    `Expected a journal that can be written at ${path} but received ${code}.`,
    { cause: error },
  );
}

// The rename itself must reach the disk too; on a file system in memory this does nothing.
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
