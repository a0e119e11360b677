import { NativePlane } from '../../lib/simulate/native.js';
import type { Plane, PlaneList, PlaneOptions } from '../../lib/simulate/plane.js';
import { TwinPlane } from '../../lib/simulate/twin.js';

interface PairedList {
  readonly fast: PlaneList | null;
  readonly plain: PlaneList | null;
}

/**
 * The live worker, beside which its plain twin does the same; every difference becomes a sentence.
 * What is delivered is compared as it happens, the tables whenever a list is given or merged and
 * when connections were adopted.
 */
export function pairedPlane(options: PlaneOptions, differences: string[]): Plane {
  const fast = new NativePlane(options);
  const plain = new TwinPlane(options);

  function same(what: string, left: readonly number[], right: readonly number[]): number[] {
    const sorted = (ids: readonly number[]): string => [...ids].sort((a, b) => a - b).join(' ');
    if (sorted(left) !== sorted(right)) {
      differences.push(`${what}: worker delivers [${left}], twin delivers [${right}]`);
    }
    return [...left];
  }

  function table(plane: Plane, now: number): string[] {
    return plane
      .entries(now)
      .map(({ key, owner, status, opened, seen }) => {
        return `${key} of ${owner} ${status}, opened ${opened}, seen ${seen}`;
      })
      .sort();
  }

  function compareTables(now: number): void {
    const ours = new Set(table(fast, now));
    const theirs = new Set(table(plain, now));
    for (const line of ours) if (!theirs.has(line)) differences.push(`only the worker has ${line}`);
    for (const line of theirs) if (!ours.has(line)) differences.push(`only the twin has ${line}`);
  }

  return {
    push: (packet, received) => {
      fast.push(packet, received);
      plain.push(packet, received);
    },
    turn: (now) => same('turn', fast.turn(now), plain.turn(now)),
    age: (now) => {
      fast.age(now);
      plain.age(now);
    },
    setOpenUntil: (until, now) =>
      same('setOpenUntil', fast.setOpenUntil(until, now), plain.setOpenUntil(until, now)),
    prepare: (to, now) => same('prepare', fast.prepare(to, now), plain.prepare(to, now)),
    hold: (now) => same('hold', fast.hold(now), plain.hold()),
    release: (now) => same('release', fast.release(now), plain.release(now)),
    acquire: (from, now) => same('acquire', fast.acquire(from, now), plain.acquire(from, now)),
    takeover: (to, now) => same('takeover', fast.takeover(to, now), plain.takeover(to, now)),
    install: (criteria, now) =>
      same('install', fast.install(criteria, now), plain.install(criteria, now)),
    adopt: (dead, now) => {
      const delivered = same('adopt', fast.adopt(dead, now), plain.adopt(dead, now));
      compareTables(now);
      return delivered;
    },
    clearContested: () => {
      fast.clearContested();
      plain.clearContested();
    },
    // Lists go in one piece, so that both walk over the same table.
    exportList: (kind, to, _from, now) => {
      compareTables(now);
      const lists: PairedList[] = [];
      let from: { fast: unknown; plain: unknown } = { fast: null, plain: null };
      // The one that is through first has nothing more to say.
      let ended = { fast: false, plain: false };
      while (!ended.fast || !ended.plain) {
        const part = {
          fast: ended.fast ? null : fast.exportList(kind, to, from.fast, now),
          plain: ended.plain ? null : plain.exportList(kind, to, from.plain, now),
        };
        lists.push(part);
        from = { fast: part.fast?.next ?? null, plain: part.plain?.next ?? null };
        ended = { fast: from.fast === null, plain: from.plain === null };
      }
      const count = lists.reduce((sum, part) => sum + (part.plain?.count ?? 0), 0);
      return { records: lists, count, now: 0, next: null };
    },
    importList: (list, kind, owners, now) => {
      for (const part of list.records as readonly PairedList[]) {
        if (part.fast) fast.importList(part.fast, kind, owners, now);
        if (part.plain) plain.importList(part.plain, kind, owners, now);
      }
      compareTables(now);
    },
    entries: (now) => fast.entries(now),
    held: () => fast.held(),
    contested: () => fast.contested(),
  };
}
