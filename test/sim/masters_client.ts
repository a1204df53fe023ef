/** A client of several masters: writes few keys at all of them, resolves conflicts, and tells what it was answered. */
import type { Chance } from "./chance.ts";
import { collections, type MastersSwarm } from "./masters_swarm.ts";
import type { Answer, Ask } from "./types.ts";
import { Violation } from "./types.ts";

/** A write that was answered; its entry made a version of each of these keys. */
export interface Acknowledged {
  readonly machine: string;
  /** `<epoch>.<run, 8 hex>-<seq>` */
  readonly position: string;
  readonly keys: readonly {
    readonly key: string;
    /** Null: it was deleted. */
    readonly tag: string | null;
  }[];
}

export interface MastersClientWorld {
  chance(name: string): Chance;
  after(ms: number): Promise<void>;
  /** Null: no answer came, or nobody took it. */
  request(from: string, machine: string, ask: Ask): Promise<Answer | null>;
  /** Names of the sites' machines, whoever leads first. */
  sites(): readonly (readonly string[])[];
  acknowledged(write: Acknowledged): void;
  wallMs(): number;
}

/** What a client may be answered that is no success. */
const refusals: ReadonlySet<string> = new Set([
  "not_leader",
  "read_only",
  "busy",
  "closing",
  "not_ready",
  "disk_full",
  "conflict",
  "precondition_failed",
  "not_found",
  "collection_not_found",
  "duplicate_key",
  "outcome_unknown",
]);

interface Key {
  readonly collection: string;
  readonly id: string;
}

export class MastersClient {
  readonly counts: Record<string, number> = {};
  running = false;
  readonly #name: string;
  readonly #world: MastersClientWorld;
  readonly #swarm: MastersSwarm;
  readonly #draw: Chance;
  #tags = 0;
  #stopped = false;

  constructor(world: MastersClientWorld, name: string, swarm: MastersSwarm) {
    this.#name = name;
    this.#world = world;
    this.#swarm = swarm;
    this.#draw = world.chance(`masters client ${name}`);
  }

  async run(): Promise<void> {
    this.running = true;
    while (!this.#stopped) {
      // Some in quick succession, for batches and commits of several.
      const quick = this.#draw.flip(0.4), mean = quick ? 5 : this.#swarm.thinkMs / 0.6;
      await this.#world.after(this.#draw.between(0, 2 * mean));
      if (!this.#stopped) await this.#one();
    }
    this.running = false;
  }

  stop(): void {
    this.#stopped = true;
  }

  #one(): Promise<unknown> {
    const draw = this.#draw, [leader, other] = draw.pick(this.#world.sites()) as [string, string?];
    const machine = other !== undefined && draw.flip(0.1) ? other : leader, key = this.#key();
    const roll = draw.float();
    if (roll < 0.5) return this.#put(machine, key);
    if (roll < 0.65) return this.#delete(machine, key);
    if (roll < 0.75) return this.#after(machine, key);
    if (roll < 0.85) return this.#resolve(machine);
    if (roll < 0.9) return this.#transaction(machine);
    if (roll < 0.93) return this.#patch(machine, key);
    if (roll < 0.96) return this.#bulk(machine);
    if (roll < 0.97 && this.#swarm.drops) return this.#drop(machine);
    return this.#read(machine, key);
  }

  #key(): Key {
    const draw = this.#draw;
    return { collection: draw.pick(collections), id: `k${draw.below(this.#swarm.keys)}` };
  }

  /** Through one of the two doors. */
  #path({ collection, id }: Key): string {
    if (collection === "_docs") return `/docs/${id}`;
    return this.#draw.flip(0.3) ? `/docs/${collection}/${id}` : `/collections/${collection}/${id}`;
  }

  #body(): { readonly tag: string; readonly text: string } {
    const draw = this.#draw, tag = `${this.#name}-${this.#tags++}`;
    // The same content written twice is no conflict.
    const same = draw.flip(0.1), pad = "x".repeat(draw.pick([0, 0, 10, 300, 3_000]));
    const ends = this.#swarm.ttl && draw.flip(0.3)
      ? { ends: new Date(this.#world.wallMs() + draw.between(-1_000, 8_000)).toISOString() }
      : {};
    return same
      ? { tag: "same", text: '{"tag":"same"}' }
      : { tag, text: JSON.stringify({ tag, ...(pad === "" ? {} : { pad }), ...ends }) };
  }

  async #put(machine: string, key: Key, headers: Ask["headers"] = {}): Promise<void> {
    const { tag, text } = this.#body();
    await this.#write(machine, "put", { method: "PUT", path: this.#path(key), body: text, headers }, [{
      key: nameOf(key),
      tag,
    }]);
  }

  async #delete(machine: string, key: Key, headers: Ask["headers"] = {}): Promise<void> {
    await this.#write(machine, "delete", { method: "DELETE", path: this.#path(key), headers }, [{
      key: nameOf(key),
      tag: null,
    }]);
  }

  /** A write on what was read. */
  async #after(machine: string, key: Key): Promise<void> {
    const answer = await this.#ask(machine, "get", { method: "GET", path: this.#path(key) });
    const etag = answer?.headers.get("etag") ?? null;
    if (etag === null) return;
    const headers = { "if-match": etag };
    if (this.#draw.flip(0.7)) await this.#put(machine, key, headers);
    else await this.#delete(machine, key, headers);
  }

  /** What a person does about a conflict. */
  async #resolve(machine: string): Promise<void> {
    const answer = await this.#ask(machine, "conflicts", { method: "GET", path: "/conflicts?limit=5" });
    if (answer?.status !== 200) return;
    const { conflicts } = JSON.parse(answer.text) as { conflicts: readonly Key[] };
    if (conflicts.length === 0) return;
    const key = this.#draw.pick(conflicts);
    this.#count("resolved");
    if (this.#draw.flip(0.7)) await this.#put(machine, key);
    else await this.#delete(machine, key);
  }

  async #transaction(machine: string): Promise<void> {
    const keys = new Map<string, { readonly key: Key; readonly tag: string; readonly text: string }>();
    for (let i = this.#draw.below(3); i >= 0; i--) {
      const key = this.#key(), { tag, text } = this.#body();
      if (key.collection !== "_docs") keys.set(nameOf(key), { key, tag, text });
    }
    const operations = [...keys.values()].map(({ key: { collection, id }, text }) => {
      const doc = `{"_id":"${id}",${text.slice(1)}`;
      const op = this.#draw.flip(0.5) ? '"op":"insert"' : `"op":"replace","id":"${id}"`;
      return `{${op},"collection":"${collection}","doc":${doc}}`;
    });
    if (operations.length === 0) return;
    const written = [...keys].map(([key, { tag }]) => ({ key, tag }));
    const body = `[${operations.join()}]`;
    await this.#write(machine, "transaction", { method: "POST", path: "/tx/batch", body }, written);
  }

  async #patch(machine: string, key: Key): Promise<void> {
    if (key.collection === "_docs") return;
    const { tag, text } = this.#body(), path = `/collections/${key.collection}/${key.id}`;
    await this.#write(machine, "patch", { method: "PATCH", path, body: text }, [{ key: nameOf(key), tag }]);
  }

  async #bulk(machine: string): Promise<void> {
    const { collection } = this.#key();
    if (collection === "_docs") return;
    const elements = Array.from({ length: 1 + this.#draw.below(6) }, () => {
      const { id } = this.#key(), { text } = this.#body();
      return `{"_id":"${id}",${text.slice(1)}`;
    });
    const path = `/collections/${collection}/bulk`;
    await this.#ask(machine, "bulk", { method: "POST", path, body: `[${elements.join()}]` });
  }

  async #drop(machine: string): Promise<void> {
    const { collection } = this.#key();
    if (collection === "_docs") return;
    await this.#ask(machine, "drop", {
      method: "DELETE",
      path: `/collections/${collection}`,
      headers: { "x-confirm": "true" },
    });
  }

  async #read(machine: string, key: Key): Promise<void> {
    await this.#ask(machine, "get", { method: "GET", path: this.#path(key) });
  }

  async #write(machine: string, kind: string, ask: Ask, keys: Acknowledged["keys"]): Promise<void> {
    const answer = await this.#ask(machine, kind, ask);
    if (answer === null || answer.status >= 300) return;
    const position = answer.headers.get("x-dfdb-position");
    if (position === null) throw new Violation("client", `${ask.method} ${ask.path} has no position`);
    this.#world.acknowledged({ machine, position, keys });
  }

  async #ask(machine: string, kind: string, ask: Ask): Promise<Answer | null> {
    const answer = await this.#world.request(this.#name, machine, ask);
    if (answer === null) {
      this.#count(`${kind} lost`);
      return null;
    }
    const { status, text } = answer;
    if (status < 300) {
      this.#count(kind);
      return answer;
    }
    const code = codeOf(text);
    this.#count(`${kind} ${code ?? "refused"}`);
    // A conflict is told without a code, with its versions.
    if (status === 409 && text.includes('"Conflicts"')) return answer;
    if (code !== null && refusals.has(code)) return answer;
    throw new Violation("client", `${ask.method} ${ask.path} at ${machine}: ${status} ${text.slice(0, 300)}`);
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }
}

function nameOf({ collection, id }: Key): string {
  return `${collection.toLowerCase()}/${id}`;
}

function codeOf(text: string): string | null {
  try {
    const { code } = JSON.parse(text) as { code?: unknown };
    return typeof code === "string" ? code : null;
  } catch {
    return null;
  }
}
