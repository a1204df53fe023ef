/** A world for tests of clients: whoever makes it answers their requests. */
import { chance } from "./chance.ts";
import type { ClientWorld } from "./client_world.ts";
import type { Ask, ReadSeen, Reply, StateSeen, Violation, Write } from "./types.ts";

export interface FakeClientWorld extends ClientWorld {
  readonly asked: { readonly url: string; readonly ask: Ask }[];
  readonly writes: Write[];
  readonly reads: ReadSeen[];
  readonly states: StateSeen[];
  readonly violations: Violation[];
}

export interface FakeOptions {
  readonly seed?: number;
  readonly machines?: readonly string[];
  readonly required?: number;
}

/** Each request takes a ms; the first machine leads. */
export function fakeClientWorld(
  answer: (ask: Ask, url: string) => Reply | Promise<Reply>,
  { seed = 1, machines = ["n1"], required = 0 }: FakeOptions = {},
): FakeClientWorld {
  let now = 0;
  const asked: FakeClientWorld["asked"] = [], writes: Write[] = [], reads: ReadSeen[] = [];
  const states: StateSeen[] = [];
  const violations: Violation[] = [];
  return {
    asked,
    writes,
    reads,
    states,
    violations,
    get now() {
      return now;
    },
    chance: (name) => chance(seed, name),
    async request(_from, url, ask) {
      asked.push({ url, ask });
      now++;
      return await answer(ask, url);
    },
    after(ms) {
      now += ms;
      return Promise.resolve();
    },
    machines: () => machines,
    leader: () => machines[0] as string,
    url: (machine) => `http://${machine}:5000`,
    required: () => required,
    written: (write) => void writes.push(write),
    read: (read) => void reads.push(read),
    saw: (seen) => void states.push(seen),
    unexpected: (violation) => void violations.push(violation),
  };
}

/** An answer with a JSON body, or with a text as it is. */
export function answered(status: number, body: unknown, headers: Record<string, string> = {}): Reply {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return {
    kind: "answer",
    answer: { status, headers: new Headers({ "content-type": "application/json", ...headers }), text },
  };
}

/** An answer with an error. */
export function failed(status: number, code: string, more: Record<string, unknown> = {}): Reply {
  return answered(status, { error: "a sentence", code, ...more });
}
