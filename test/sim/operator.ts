/** What an operator of the cluster asks: the role of a node, its state, its checksums. */
import type { Json, Told } from "./answers.ts";
import { brief, check, isObject, isServerId, parsed, placeOf, told } from "./answers.ts";
import type { ClientWorld } from "./client_world.ts";
import type { Answer, Ask } from "./types.ts";
import { Violation } from "./types.ts";

/** `refused`: the node said no, or was not there: nothing changed. `unknown`: no answer came. */
export type Change = "done" | "refused" | "unknown";

export interface HandoverFigures {
  readonly epoch: number;
  readonly finalSeq: number;
}

export type HandedOver = { readonly kind: "done" } & HandoverFigures | {
  readonly kind: "refused" | "unknown";
};

/** Sum and counts that a node made of its content. */
export interface Checksums {
  readonly position: string;
  /** Lines `{collection, count, keptCount, checksum}`. */
  readonly collections: readonly Json[];
  readonly documents: number;
  readonly checksum: string;
}

export interface LogChecked {
  readonly first: number;
  readonly last: number;
  readonly entries: number;
  /** First damaged entry; null: all is well. */
  readonly bad: number | null;
}

/** A node's own word on whether it may serve reads. */
export type Readiness = { readonly ready: true } | { readonly ready: false; readonly reason: string };

export class Operator {
  readonly #world: Pick<ClientWorld, "request" | "url" | "unexpected">;
  readonly #name: string;
  /** Why the last change was refused: the code; null: it was not, or nobody answered. */
  refusal: string | null = null;

  constructor(world: Pick<ClientWorld, "request" | "url" | "unexpected">, name = "operator") {
    this.#world = world;
    this.#name = name;
  }

  readOnly(machine: string): Promise<Change> {
    return this.#change(machine, "read-only", undefined, { success: true, readOnly: true });
  }

  readWrite(machine: string, force = false): Promise<Change> {
    return this.#change(machine, "read-write", force ? { force } : undefined, {
      success: true,
      readOnly: false,
    });
  }

  startLeader(machine: string, port: number, sharedSecret?: string): Promise<Change> {
    const body = { port, ...(sharedSecret === undefined ? {} : { sharedSecret }) };
    return this.#change(machine, "start-leader", body, { success: true, role: "leader", port });
  }

  startFollower(machine: string, host: string, port: number, sharedSecret?: string): Promise<Change> {
    const body = { host, port, ...(sharedSecret === undefined ? {} : { sharedSecret }) };
    const done = { success: true, role: "follower", leader: `${host}:${port}` };
    return this.#change(machine, "start-follower", body, done);
  }

  promote(machine: string, force: boolean): Promise<Change> {
    const done = { success: true, newRole: "leader", port: Number.isSafeInteger, term: isTerm };
    return this.#change(machine, "promote", force ? { force } : undefined, done);
  }

  /** From the leader `machine` to the follower `to`. */
  async handover(machine: string, to: string, timeoutSeconds: number): Promise<HandedOver> {
    let told: HandoverFigures | null = null;
    const isLeader = (value: unknown): boolean => isObject(value) && value["nodeName"] === to;
    const change = await this.#change(machine, "handover", { to, timeoutSeconds }, {
      success: true,
      finalSeq: Number.isSafeInteger,
      epoch: Number.isSafeInteger,
      newLeader: isLeader,
      pausedMs: (value) => typeof value === "number" && value >= 0,
    }, ({ body }) => told = { epoch: Number(body["epoch"]), finalSeq: Number(body["finalSeq"]) });
    return change === "done" && told !== null ? { kind: "done", ...(told as HandoverFigures) } : {
      kind: change === "refused" ? "refused" : "unknown",
    };
  }

  /** Stops the handover that `machine` gives. */
  async abortHandover(machine: string): Promise<Change> {
    const ask: Ask = { method: "DELETE", path: "/replication/handover" };
    return await this.#look(machine, ask, (answer) => told(answer).code === null ? "done" : "refused") ??
      "unknown";
  }

  enableAutoFailover(machine: string, silenceMs: number): Promise<Change> {
    const body = { silenceSeconds: silenceMs / 1_000 };
    const done = { success: true, ...body, newLeaderPort: () => true };
    return this.#change(machine, "auto-failover/enable", body, done);
  }

  disableAutoFailover(machine: string): Promise<Change> {
    return this.#change(machine, "auto-failover/disable", undefined, { success: true });
  }

  acceptLoss(machine: string): Promise<Change> {
    return this.#change(machine, "accept-loss", undefined, { success: true, readOnly: false, term: isTerm });
  }

  resync(machine: string): Promise<Change> {
    return this.#change(machine, "resync", undefined, { success: true });
  }

  /** `GET /replication/status`; null: no answer. */
  async status(machine: string): Promise<Json | null> {
    return await this.#query(machine, "/replication/status", (answer) => {
      const { body, code } = answer, { role, position, readOnly, nodeId } = body;
      check(
        code === null && ["leader", "follower", "none"].includes(role as string) &&
          typeof readOnly === "boolean" &&
          isServerId(nodeId) && isObject(body["leader"]) && isObject(body["follower"]) &&
          isObject(body["term"]),
        () => `not a status: ${brief(answer)}`,
      );
      placeOf(position);
      return body;
    });
  }

  /** `GET /ready`; null: no answer. */
  async ready(machine: string, maxLagSeq?: number): Promise<Readiness | null> {
    const path = maxLagSeq === undefined ? "/ready" : `/ready?maxLagSeq=${maxLagSeq}`;
    return await this.#query(machine, path, (answer): Readiness => {
      const { code, body } = answer;
      if (code === "closing") return { ready: false, reason: code };
      check((code ?? "not_ready") === "not_ready", () => `not a readiness: ${brief(answer)}`);
      check(body["ready"] === (code === null), () => `not a readiness: ${brief(answer)}`);
      return code === null ? { ready: true } : { ready: false, reason: body["error"] as string };
    });
  }

  /** Stops a follower from applying, for `seconds` at most; answers where it is. Null: it was refused, or no answer came. */
  async hold(machine: string, seconds: number): Promise<string | null> {
    const ask: Ask = { method: "POST", path: "/verify/hold", body: JSON.stringify({ seconds }) };
    return await this.#look(machine, ask, (answer) => {
      if (told(answer).code !== null) return null;
      const { position } = told(answer).body;
      placeOf(position);
      return position as string;
    });
  }

  async release(machine: string): Promise<Change> {
    const ask: Ask = { method: "POST", path: "/verify/release" };
    return await this.#look(machine, ask, (answer) => told(answer).code === null ? "done" : "refused") ??
      "unknown";
  }

  /** Checksums at `at` (default: now); null: refused, cut off, or no answer. Wrong counts and indexes are violations. */
  async checksums(machine: string, at?: string): Promise<Checksums | null> {
    const path = at === undefined ? "/verify" : `/verify?at=${at}`;
    return await this.#look(machine, { method: "GET", path }, (answer) => {
      if (answer.status === 200) return checksumsOf(answer);
      told(answer);
      return null;
    });
  }

  /** `GET /verify/log`; null: refused, or no answer. */
  async log(machine: string): Promise<LogChecked | null> {
    return await this.#query(machine, "/verify/log", (answer) => {
      if (answer.code !== null) return null;
      const { first, last, entries, bad } = answer.body, whole = [first, last, entries, bad ?? 0];
      check(whole.every((value) => Number.isSafeInteger(value)), () => `not a log's check: ${brief(answer)}`);
      return { first, last, entries, bad: bad ?? null } as LogChecked;
    });
  }

  async #change(
    machine: string,
    name: string,
    body: Json | undefined,
    done: Expected,
    read: (answer: Told) => void = () => {},
  ): Promise<Change> {
    const path = `/replication/${name}`;
    this.refusal = null;
    const ask: Ask = { method: "POST", path, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const { url, request } = this.#reach(machine), reply = await request(ask);
    if (reply.kind !== "answer") return reply.kind === "refused" ? "refused" : "unknown";
    return this.#judged(`${path} of ${url}`, () => {
      const answer = told(reply.answer);
      if (answer.code === null) {
        check(fits(answer, done), () => `not what ${name} answers: ${brief(answer)}`);
        read(answer);
        return "done";
      }
      this.refusal = answer.code;
      return "refused";
    }) ?? "unknown";
  }

  #query<Value>(machine: string, path: string, read: (answer: Told) => Value): Promise<Value | null> {
    return this.#look(machine, { method: "GET", path }, (answer) => read(told(answer)));
  }

  async #look<Value>(machine: string, ask: Ask, read: (answer: Answer) => Value): Promise<Value | null> {
    const { url, request } = this.#reach(machine), reply = await request(ask);
    return reply.kind === "answer" ? this.#judged(`${ask.path} of ${url}`, () => read(reply.answer)) : null;
  }

  #reach(machine: string): { url: string; request: (ask: Ask) => ReturnType<ClientWorld["request"]> } {
    const url = this.#world.url(machine);
    return { url, request: (ask) => this.#world.request(this.#name, url, ask) };
  }

  #judged<Value>(what: string, read: () => Value): Value | null {
    try {
      return read();
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      const message = thrown.message.replace(/^client: /, "");
      this.#world.unexpected(new Violation("operator", `${message} (${this.#name} asked ${what})`));
      return null;
    }
  }
}

/** Members of an answer: a value, or what it must pass. */
type Expected = Readonly<Record<string, string | number | boolean | ((value: unknown) => boolean)>>;

function fits({ status, body }: Told, expected: Expected): boolean {
  const names = Object.keys(expected);
  return status === 200 && Object.keys(body).length === names.length && names.every((name) => {
    const wanted = expected[name];
    return typeof wanted === "function" ? wanted(body[name]) : body[name] === wanted;
  });
}

function isTerm(value: unknown): boolean {
  return isObject(value) && Number.isSafeInteger(value["epoch"]) && isServerId(value["run"]);
}

/** The lines of `GET /verify`; null: they end with an error, or too early. */
function checksumsOf(answer: Answer): Checksums | null {
  const lines = answer.text.split("\n").filter((line) => line !== "").map(parsed);
  const wrong = (): string => `not a verification: ${brief(answer)}`;
  const first = lines[0], last = lines.at(-1);
  check(lines.every(isObject) && isObject(first) && isObject(last), wrong);
  placeOf(first["position"]);
  if (last["done"] !== true) return null;
  const found = lines.slice(1, -1) as readonly Json[];
  const collections = found.filter((line) => "collection" in line && !("index" in line));
  const { documents, checksum, wrongCounts, wrongIndexes } = last;
  check(last["collections"] === collections.length && typeof checksum === "string", wrong);
  check(
    wrongCounts === 0 && collections.every(({ count, keptCount }) => count === keptCount) &&
      documents === collections.reduce((sum, { count }) => sum + Number(count), 0),
    () => `a count that was kept is not the real one: ${answer.text.slice(0, 1_000)}`,
  );
  check(wrongIndexes === 0, () => `an index is not what its documents say: ${answer.text.slice(0, 1_000)}`);
  return { position: first["position"] as string, collections, documents: documents as number, checksum };
}
