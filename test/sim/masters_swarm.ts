/** What a seed makes of a world of masters. Its draws are streams of their own: the other worlds stay what they are. */
import { limits } from "../../src/base/limits.ts";
import type { Chance } from "./chance.ts";
import { chance } from "./chance.ts";
import { faultKinds, silenceSwarmOf, type Swarm } from "./swarm.ts";

export const collections = ["orders", "items", "notes", "_docs"] as const;

/** From one site to another, by their names. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly transitive: boolean;
  /** Null: all. */
  readonly collections: readonly string[] | null;
}

/** In the order of the report. `away`: a leader is gone for longer than a silence. */
export const masterFaults = [
  "kill",
  "power",
  "stop",
  "crashPoint",
  "stall",
  "cutLink",
  "cutSites",
  "slowLink",
  "resetConnections",
  "staleConnections",
  "clockJump",
  "diskFull",
  "slowDisk",
  "away",
  "failover",
  "restore",
  "dropCursor",
  "edges",
  "policy",
  "purge",
  "fortnight",
] as const;

export type MasterFault = (typeof masterFaults)[number];

/** `mixed`: edges by chance, of which each sends on what others wrote, or not. */
export type Shape = "ring" | "star" | "mesh" | "mixed";

export interface Site {
  /** `a`, `b`, ... */
  readonly name: string;
  /** `a1`, `a2`: the first one leads at first. */
  readonly machines: readonly string[];
  /** The machine that others know as its address. */
  readonly address: string;
  /** Of its follower, ms; null: it takes over when it is told. */
  readonly silenceMs: number | null;
}

export interface MastersSwarm {
  readonly seed: number;
  /** 2 to 5. */
  readonly sites: readonly Site[];
  readonly shape: Shape;
  readonly edges: readonly Edge[];
  readonly policy: "manual" | "latest" | "prefer";
  /** Tombstones grow old and are purged. Nothing is lost then: who confirmed a deletion still has it. */
  readonly purges: boolean;
  readonly drops: boolean;
  readonly ttl: boolean;
  readonly requestMs: number;
  readonly faultMs: number;
  /** Mean time between two faults, ms. */
  readonly everyMs: number;
  readonly faults: Readonly<Record<MasterFault, number>>;
  readonly clients: number;
  /** Keys of a collection: few, so that several write the same. */
  readonly keys: number;
  /** Mean time between two requests of a client, ms. */
  readonly thinkMs: number;
  readonly link: Swarm["link"];
  /** What the machines are like. */
  readonly machine: Swarm;
}

interface Size {
  /** How many. */
  readonly sites: readonly number[];
  /** Share of the sites that have a follower. */
  readonly followers: readonly number[];
  readonly faultMs: readonly number[];
  /** Faults in that time. */
  readonly faults: readonly number[];
  readonly clients: readonly number[];
  /** About how many at most. */
  readonly requests: number;
  /** After so long without a commit a sender tries everybody; the time until nobody has anything to say follows from it. */
  readonly quietMs: readonly number[];
}

const small: Size = {
  sites: [2, 2, 2, 3, 3],
  followers: [0, 0.3, 0.6],
  faultMs: [1_000, 2_000, 4_000],
  faults: [4, 6, 10],
  clients: [1, 1, 2],
  requests: 32,
  quietMs: [10_000],
};

const large: Size = {
  sites: [2, 3, 3, 4, 5],
  followers: [0, 0.3, 0.7],
  faultMs: [4_000, 8_000, 15_000],
  faults: [2, 5, 10, 20],
  clients: [1, 2, 2, 3],
  requests: 200,
  quietMs: [10_000, 10_000, limits.masterQuietMs],
};

const none = Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as Swarm["faults"];

/** Nothing of a promise is taken away by these. */
const losing: ReadonlySet<MasterFault> = new Set(["away", "failover", "restore"]);

export function mastersSwarmOf(seed: number): MastersSwarm {
  const draw = chance(seed, "masters"), basis = silenceSwarmOf(seed, true);
  // Many small worlds find more than a few large ones in the same time.
  const size = draw.flip(1 / 15) ? large : small;
  const purges = draw.flip(0.25), heartbeatMs = 2_000;
  const sites = sitesOf(draw, draw.pick(size.sites), purges ? 0 : draw.pick(size.followers), heartbeatMs);
  const several = sites.some(({ machines }) => machines.length > 1);
  const shape = draw.pick(["ring", "star", "mesh", "mesh", "mixed"] as const);
  const faultMs = draw.pick(size.faultMs), clients = draw.pick(size.clients);
  const names = sites.map(({ name }) => name);
  return {
    seed,
    sites,
    shape,
    edges: edgesOf(draw, shape, names),
    policy: draw.pick(["manual", "manual", "latest", "prefer"] as const),
    purges,
    drops: draw.flip(0.3),
    ttl: draw.flip(0.15),
    requestMs: draw.pick([500, 500, 2_000]),
    faultMs,
    everyMs: faultMs / draw.pick(size.faults),
    faults: faultsOf(draw, purges, several),
    clients,
    keys: draw.pick([1, 2, 4, 8, 30]),
    thinkMs: Math.max(draw.pick([20, 60, 200]), clients * faultMs / size.requests),
    link: basis.link,
    machine: {
      ...basis,
      machines: 1,
      required: 0,
      heartbeatMs,
      authority: "silence",
      silenceMs: null,
      candidates: [],
      forwardWrites: false,
      secret: true,
      faults: none,
      clients: 0,
      feeds: 0,
      flipRate: 0,
      // Who has no follower asks nobody when it stood still.
      limits: {
        ...limitsOf(draw, basis.limits),
        ...(several ? {} : { stallLookMs: 10_000 }),
        masterQuietMs: draw.pick(size.quietMs),
      },
    },
  };
}

function sitesOf(
  draw: Chance,
  count: number,
  followers: number,
  heartbeatMs: number,
): readonly Site[] {
  return Array.from({ length: count }, (_, i): Site => {
    const name = "abcde"[i] as string, two = draw.flip(followers);
    const machines = two ? [`${name}1`, `${name}2`] : [`${name}1`];
    const silenceMs = two && draw.flip(0.4) ? heartbeatMs * draw.pick([2, 3]) : null;
    return { name, machines, address: draw.pick(machines), silenceMs };
  });
}

/** A ring goes one way or both, a star is sent on by its middle; a mesh needs no sending on. */
function edgesOf(draw: Chance, shape: Shape, names: readonly string[]): readonly Edge[] {
  const filtered = draw.flip(0.3), alone = draw.flip(0.15), bothWays = draw.flip(0.5), all: Edge[] = [];
  const [middle] = names as [string];
  for (const [i, from] of names.entries()) {
    for (const [j, to] of names.entries()) {
      if (i === j) continue;
      const next = (i + 1) % names.length === j, before = (j + 1) % names.length === i;
      const there = shape === "mesh" || (shape === "ring" && (next || (bothWays && before))) ||
        (shape === "star" && (from === middle || to === middle)) || (shape === "mixed" && draw.flip(0.6));
      const transitive = shape === "mesh" ? alone : shape === "mixed" ? draw.flip(0.5) : !alone;
      if (there) all.push({ from, to, transitive, collections: filtered ? someOf(draw) : null });
    }
  }
  return all;
}

/** What an edge lets through; null: all. */
export function someOf(draw: Chance): readonly string[] | null {
  const some = collections.filter(() => draw.flip(0.6));
  return some.length === 0 || draw.flip(0.4) ? null : some;
}

function faultsOf(draw: Chance, purges: boolean, several: boolean): MastersSwarm["faults"] {
  const weight = (kind: MasterFault): number => {
    const value = draw.pick(losing.has(kind) ? [3] : [1, 1, 3]),
      on = draw.flip(kind === "policy" ? 0.2 : losing.has(kind) ? 0.5 : 0.4);
    if (kind === "purge" || kind === "fortnight") return purges ? 1 : 0;
    if (losing.has(kind) && purges) return 0;
    if ((kind === "away" || kind === "failover") && !several) return 0;
    return on ? value : 0;
  };
  return Object.fromEntries(masterFaults.map((kind) => [kind, weight(kind)])) as MastersSwarm["faults"];
}

/** Small ones reach the paths of many versions. */
function limitsOf(draw: Chance, basis: Swarm["limits"]): Swarm["limits"] {
  const smaller: Partial<Record<keyof typeof limits, number>> = { ...basis };
  const maybe = (name: keyof typeof limits, values: readonly number[]): void => {
    if (draw.flip(0.5)) smaller[name] = draw.pick(values);
  };
  maybe("masterBatchItems", [1, 3, 20]);
  maybe("masterBatchBytes", [500, 5_000]);
  maybe("masterCursorVersions", [2, 10]);
  maybe("masterSliceKeys", [1, 5]);
  maybe("masterSliceBytes", [500, 5_000]);
  maybe("masterSlicesMax", [1, 3]);
  maybe("masterSliceDots", [1, 10]);
  maybe("masterHistoryRuns", [1, 3]);
  maybe("purgeKeys", [1, 5]);
  return smaller;
}
