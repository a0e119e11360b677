// What the figures are to reach, each as a ratio within one run: absolute times mean little on a
// machine that others use too.
import { allLines, isFigure, median, type Results } from '../results.js';

/** A figure, by its name and whose it is. */
export type Reference = readonly [name: string, of: string];

export interface Target {
  /** What it asks for, without the number. */
  readonly text: string;
  readonly figure: Reference;
  /** What the figure is divided by; without it the figure itself is meant. */
  readonly by?: Reference;
  readonly limit: number;
  readonly is: 'at most' | 'at least';
}

const OURS = 'flowsieve';
const BYPASS = 'flowsieve, bypass';
const HASH = 'DPDK rte_hash bulk';
const MATCH = 'cluster match';

const atMost = (text: string, limit: number, figure: Reference, by?: Reference): Target => ({
  text,
  limit,
  figure,
  is: 'at most',
  ...(by ? { by } : {}),
});
const atLeast = (text: string, limit: number, figure: Reference, by?: Reference): Target => ({
  text,
  limit,
  figure,
  is: 'at least',
  ...(by ? { by } : {}),
});

function ofTables(connections: number): Target[] {
  const name = connections === 1e6 ? '1 M' : '10 M';
  const against = (what: string): [Reference, Reference] => [
    [`peers/${what}/${connections}`, OURS],
    [`peers/${what}/${connections}`, HASH],
  ];
  return [
    atMost(`table hit + update, ${name}, of rte_hash in bulk`, 0.35, ...against('hit')),
    atMost(
      `table hit + update, ${name}, of one cache line of DRAM`,
      4,
      [`peers/hit/${connections}`, OURS],
      [`dram/line/${connections}`, 'DRAM'],
    ),
    atMost(`table miss, ${name}, of rte_hash in bulk`, 0.5, ...against('miss')),
    atMost(`open + close, ${name}, of rte_hash`, 0.2, ...against('open_close')),
    atMost(`longest operation while the table fills to ${name}, µs`, 20, [
      `peers/longest/${connections}`,
      OURS,
    ]),
  ];
}

/** What real connections get from flowsieve as it is, or in another way of running it. */
function ofLive(who: string, how: string): Target[] {
  return [
    atLeast(
      `requests/s, 512 keep-alive, of the cluster match${how}`,
      1.2,
      ['live/requests/keepalive/512', who],
      ['live/requests/keepalive/512', MATCH],
    ),
    atLeast(
      `requests/s, a connection each, 512, of the cluster match${how}`,
      1.2,
      ['live/requests/connection/512', who],
      ['live/requests/connection/512', MATCH],
    ),
    atLeast(
      `requests/s, 512 keep-alive, of no clustering${how}`,
      0.9,
      ['live/requests/keepalive/512', who],
      ['live/requests/keepalive/512', 'none'],
    ),
    atMost(
      `latency of one request at a time, of the cluster match${how}`,
      1,
      ['live/latency', who],
      ['live/latency', MATCH],
    ),
    atLeast(
      `bulk download, offloads on, of no clustering${how}`,
      0.8,
      ['live/bulk/download', who],
      ['live/bulk/download', 'none'],
    ),
    atLeast(
      `bulk upload, offloads on, of no clustering${how}`,
      0.8,
      ['live/bulk/upload', who],
      ['live/bulk/upload', 'none'],
    ),
    atMost(
      `a foreign packet’s cost to the node, of the cluster match${how}`,
      0.5,
      ['live/foreign', who],
      ['live/foreign', MATCH],
    ),
  ];
}

export const TARGETS: readonly Target[] = [
  ...ofTables(1e6),
  ...ofTables(1e7),
  atMost(
    'frame to verdict, web mix, 1 M, of the bare table hit',
    1.6,
    ['turn/web_third_own/1000000', OURS],
    ['peers/hit/1000000', OURS],
  ),
  atMost(
    'frame to verdict, hits of another node’s connections, 1 M, of the bare table hit',
    1.6,
    ['turn/foreign_hits/1000000', OURS],
    ['peers/hit/1000000', OURS],
  ),
  atMost('frame to verdict, one core, another node’s connections, 1 M, ns', 100, [
    'turn/foreign_hits/1000000',
    OURS,
  ]),
  atMost('frame to verdict, one core, web mix, 1 M, ns', 100, ['turn/web_third_own/1000000', OURS]),
  atMost(
    'frame to verdict, own connections, 10 M, of 64 k',
    2,
    ['turn/own_hits/10000000', OURS],
    ['turn/own_hits/65536', OURS],
  ),
  atMost('bytes per connection at 1 M, resident', 100, [
    'worker/fill/rss_bytes_per_connection',
    OURS,
  ]),
  ...ofLive(OURS, ''),
  ...ofLive(BYPASS, ', with bypass'),
  atLeast('packets/s of two cores, of one', 1.8, ['turn/cores/1', OURS], ['turn/cores/2', OURS]),
];

/** How a target stands; undefined when one of its figures is missing. */
export interface Standing {
  readonly target: Target;
  readonly value: number | undefined;
  readonly reached: boolean | undefined;
}

export function standings(results: Results): Standing[] {
  const lines = allLines(results).filter(isFigure);
  const medianOf = ([name, of]: Reference): number | undefined => {
    const found = lines.find((line) => line.name === name && line.of === of);
    return found && median(found.values);
  };
  return TARGETS.map((target) => {
    const figure = medianOf(target.figure);
    const by = target.by === undefined ? 1 : medianOf(target.by);
    if (figure === undefined || by === undefined) {
      return { target, value: undefined, reached: undefined };
    }
    const value = figure / by;
    const reached = target.is === 'at most' ? value <= target.limit : value >= target.limit;
    return { target, value, reached };
  });
}
