import {
  addon,
  addressBytes,
  addressText,
  awaitNative,
  type NativeHop,
  type NativeWay,
  type NodeIndexes,
} from '../native/index.js';

// The ways to the nodes: what the host's routes and neighbours say, as the engine takes it.

/** How the packets of a node travel. */
export type ForwardMode = 'mac' | 'ipip' | 'gue';

/** A node, and how it is to be reached. */
export interface Destination {
  readonly name: string;
  readonly address: string;
  readonly forward: ForwardMode;
}

/** What all ways have in common. */
export interface WaySettings {
  /** The largest packet on the way, outer headers included; without it, what the host says. */
  readonly mtu?: number | undefined;
  readonly port: number;
}

/**
 * `unroutable`: there is no route. `distant`: a router is between, and `mac` does not go over one.
 * `unresolved`: its link address is not known (yet). `silent`: nobody answers for it.
 */
export type WayState = 'open' | 'unroutable' | 'distant' | 'unresolved' | 'silent';

/** The way to a node, for those who look on. */
export interface WayStatus {
  readonly state: WayState;
  readonly forward: ForwardMode;
  /** The router, or the node itself; null without a route. */
  readonly nextHop: string | null;
  readonly linkAddress: string | null;
  /** The largest packet that the node can be sent, outer headers included. */
  readonly mtu: number;
}

function stateOf(way: NativeWay, forward: ForwardMode): WayState {
  if (!way.routed) return 'unroutable';
  if (forward === 'mac' && !way.onLink) return 'distant';
  if (way.state === 'failed') return 'silent';
  return way.state === 'reachable' ? 'open' : 'unresolved';
}

function textOf(address: Uint8Array): string {
  const mapped = address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff;
  return addressText(address, mapped);
}

function mtuOf(way: NativeWay, { mtu }: WaySettings): number {
  const known = [way.linkMtu, ...(way.mtu > 0 ? [way.mtu] : [])];
  return Math.min(mtu ?? Number.POSITIVE_INFINITY, ...known);
}

/** All ways: as the engine takes them, and as they are shown. */
export interface Ways {
  readonly hops: NativeHop[];
  readonly statuses: ReadonlyMap<string, WayStatus>;
}

/** What the host's answers mean; `ways` in the order of `destinations`. Pure. */
export function readWays(
  destinations: readonly Destination[],
  ways: readonly NativeWay[],
  settings: WaySettings,
  indexes: NodeIndexes,
): Ways {
  const hops: NativeHop[] = [];
  const statuses = new Map<string, WayStatus>();
  for (const [i, { name, address, forward }] of destinations.entries()) {
    const way = ways[i];
    if (way === undefined) continue;
    const state = stateOf(way, forward);
    const mtu = mtuOf(way, settings);
    const open = state === 'open';
    hops.push({
      node: indexes.of(name),
      mode: forward,
      interface: way.interface,
      source: way.linkAddress,
      destination: open ? way.nextLinkAddress : null,
      mtu,
      local: way.source,
      remote: Buffer.from(addressBytes(address)),
      port: settings.port,
    });
    statuses.set(name, {
      state,
      forward,
      nextHop: way.routed ? textOf(way.nextHop) : null,
      linkAddress: open ? way.nextLinkAddress : null,
      mtu,
    });
  }
  return { hops, statuses };
}

/** Asks the host. It keeps the neighbours fresh by being asked. */
export async function findWays(
  destinations: readonly Destination[],
  settings: WaySettings,
  indexes: NodeIndexes,
): Promise<Ways> {
  const addresses = Buffer.concat(destinations.map(({ address }) => addressBytes(address)));
  const ways = await awaitNative(addon.findWays(addresses));
  return readWays(destinations, ways, settings, indexes);
}
