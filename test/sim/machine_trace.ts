/** Every step of the pure machines, as text: equal between two runs of a seed and between the runtimes. */
import { followerSession } from "../../src/replication/follower_session.ts";
import { leaderSession } from "../../src/replication/leader_session.ts";
import type { Machine } from "../../src/base/machine.ts";
import { monotonicMsOf } from "../../src/base/ids.ts";

type AnyMachine = Machine<unknown, unknown>;

interface Stepping {
  step: AnyMachine["step"];
}

/** Takes a line for each step. */
export type TakeStep = (line: () => string) => void;

let take: TakeStep | null = null;
let wrapped = false;

/** From now on `to` is told each step of every session; null: nobody is. */
export function traceMachines(to: TakeStep | null): void {
  take = to;
  if (wrapped || to === null) return;
  wrapped = true;
  // Sessions are made deep inside a node; what they share is their prototype.
  for (const [name, prototype] of Object.entries(sessionPrototypes())) wrap(name, prototype);
}

/** The prototypes behind the two factories. */
export function sessionPrototypes(): { readonly leader: Stepping; readonly follower: Stepping } {
  const options = { tuning: {}, log: {} } as never;
  return {
    leader: Object.getPrototypeOf(leaderSession(options, monotonicMsOf(0))) as Stepping,
    follower: Object.getPrototypeOf(followerSession(options)) as Stepping,
  };
}

function wrap(name: string, prototype: Stepping): void {
  const { step } = prototype;
  prototype.step = function (this: AnyMachine, input, now) {
    const effects = step.call(this, input, now);
    take?.(() => `${name} ${now.toFixed(3)} ${brief(input)} -> ${effects.map(brief).join(", ")}`);
    return effects;
  };
}

function brief(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    // A snapshot is a file that SQLite wrote: the version of SQLite is in it.
    if (key === "checksum" && typeof inner === "number") return "-";
    if (key === "bytes" && inner instanceof Uint8Array) return inner.length;
    if (inner instanceof Uint8Array) return `${inner.length}:${crcText(inner)}`;
    if (inner instanceof Error) return inner.message;
    return inner;
  }).replace(/dfdb-sim-\w{6}/g, "dfdb-sim");
}

/** Enough to tell two contents apart. */
function crcText(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16);
}
