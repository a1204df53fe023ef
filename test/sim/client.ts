/** A client: asks one thing at a time and tells the world what it was promised and what it saw. */
import { type Outcome, told } from "./answers.ts";
import type { Chance } from "./chance.ts";
import { ClientMemory, OwnDocument } from "./client_memory.ts";
import type { ClientWorld } from "./client_world.ts";
import { RequestMaker } from "./request_maker.ts";
import { all, getAfter, type Judged, type Request } from "./requests.ts";
import { wallStart } from "./sim_process.ts";
import { type Reply, Violation } from "./types.ts";
import { isExtra, type RequestKind, requestKinds, thinkMs, type WorkloadOptions } from "./workload.ts";

/** What a client did so far. */
export interface ClientCounts {
  readonly asked: Record<RequestKind, number>;
  /** Writes; an element of a bulk is one. */
  readonly outcomes: Record<Outcome, number>;
  /** Requests of features, by kind and what was answered: a code, or `done`. */
  readonly answers: Record<string, number>;
}

export class Client {
  readonly name: string;
  readonly counts: ClientCounts = {
    asked: Object.fromEntries(requestKinds.map((kind) => [kind, 0])) as Record<RequestKind, number>,
    outcomes: { promised: 0, kept: 0, refused: 0, unknown: 0 },
    answers: {},
  };
  readonly #world: ClientWorld;
  readonly #options: WorkloadOptions;
  readonly #draw: Chance;
  readonly #memory = new ClientMemory();
  readonly #own: OwnDocument;
  readonly #maker: RequestMaker;
  /** Whom to ask next, apart from the leader that all believe in. */
  #next: string | null = null;
  #stopped = false;
  /** Between the beginning and the end of `run`. */
  running = false;

  constructor(world: ClientWorld, name: string, options: WorkloadOptions) {
    this.name = name;
    this.#world = world;
    this.#options = options;
    this.#draw = world.chance(`client ${name}`);
    this.#own = new OwnDocument(name);
    this.#maker = new RequestMaker({
      name,
      options,
      draw: this.#draw,
      memory: this.#memory,
      own: this.#own,
      wallMs: () => wallStart + world.now,
    });
  }

  /** Resolves after `stop`, when the request under way is over. Rejects with what the world throws when it is told something. */
  async run(): Promise<void> {
    this.running = true;
    while (!this.#stopped) {
      await this.#world.after(thinkMs(this.#options, this.#draw));
      if (!this.#stopped) await this.ask(this.#maker.kind());
    }
    this.running = false;
  }

  /** No request begins any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** One request of this kind; resolves when its fate is known and told. */
  async ask(kind: RequestKind): Promise<void> {
    const request = this.#maker.make(kind), machine = this.#machineFor(request);
    this.counts.asked[kind]++;
    await this.#carryOut(request, machine);
  }

  async #carryOut(request: Request, machine: string): Promise<void> {
    const world = this.#world, sentAt = world.now, required = world.required(machine);
    for (const { index } of request.intents) {
      if (index !== undefined) world.asksIndex?.(machine, sentAt, index);
    }
    const reply = await world.request(this.name, world.url(machine), request.ask);
    const judged = this.#judge(request, machine, reply), knownAt = world.now, client = this.name;
    const applied = reply.kind === "answer" && reply.answer.headers.get("x-dfdb-applied") === "true";
    const passedOn = world.forwards === true ? { forwarded: true, applied } : {};
    for (const write of judged.writes) {
      this.counts.outcomes[write.outcome]++;
      world.written({ machine, sentAt, knownAt, required, ...passedOn, ...write });
    }
    // What a write that was passed on found, it found elsewhere.
    const reads = world.forwards === true && request.intents.length > 0 ? [] : judged.reads;
    for (const read of reads) world.read({ client, machine, sentAt, knownAt, ...read });
    const wrote = request.intents.length > 0 || request.writes === true;
    for (const claim of world.forwards === true && wrote ? [] : judged.claims ?? []) {
      world.saw?.({ client, machine, sentAt, knownAt, within: wrote, ...claim });
    }
    if (judged.behind !== undefined) world.behind?.({ client, machine, sentAt, knownAt, ...judged.behind });
    const own = applied ? ownWrite(judged) : null;
    if (own !== null && this.#draw.flip(0.5)) await this.#carryOut(own, machine);
  }

  /** What a reply says; of one that can never be: nothing is known then. */
  #judge(request: Request, machine: string, reply: Reply): Judged {
    let judged = withoutAnswer(request, reply.kind === "refused" ? "refused" : request.whenLost);
    try {
      if (reply.kind === "answer") {
        const answer = told(reply.answer);
        if (isExtra(request.kind)) this.#count(`${request.kind} ${answer.code ?? "done"}`);
        this.#turn(answer.headers.get("x-dfdb-leader"));
        judged = request.judge(answer);
      }
      judged = this.#maker.repeats.learn(request, judged);
      this.#memory.learn(judged);
      if (request.kind === "own") this.#own.learn(judged);
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      const { method, path } = request.ask;
      const where = `${this.name} asked ${machine} at ${this.#world.now.toFixed(2)}: ${method} ${path}`;
      this.#world.unexpected(
        new Violation("client", `${thrown.message.replace(/^client: /, "")} (${where})`),
      );
    }
    return judged;
  }

  #count(name: string): void {
    this.counts.answers[name] = (this.counts.answers[name] ?? 0) + 1;
  }

  /** Goes to the leader that a node named, by chance. */
  #turn(leader: string | null): void {
    if (leader === null || !this.#draw.flip(this.#options.followHint)) return;
    this.#next = this.#world.machines().find((machine) => this.#world.url(machine) === leader) ?? null;
  }

  #machineFor({ kind, intents, writes }: Request): string {
    const world = this.#world, draw = this.#draw, machines = world.machines(), leader = world.leader();
    const others = machines.filter((machine) => machine !== leader);
    if (kind === "misdirected" && others.length > 0) return draw.pick(others);
    if (
      draw.flip(intents.length === 0 && writes !== true ? this.#options.followerReads : this.#options.wander)
    ) {
      return draw.pick(machines);
    }
    const next = this.#next ?? leader;
    this.#next = null;
    return next;
  }
}

/** Reads what was written, where it can be read now; null: it was not one document. */
function ownWrite({ writes: [write, more] }: Judged): Request | null {
  const document = write?.documents[0];
  if (write === undefined || more !== undefined || document === undefined) return null;
  if (document.collection.startsWith("_")) return null; // nobody reads there
  const { position } = write, { collection, id } = document;
  return position === null || id === null ? null : getAfter({ collection, id }, position);
}

/** What is known of a request without an answer, or with one that means nothing. */
function withoutAnswer({ intents }: Request, outcome: "unknown" | "refused"): Judged {
  return { writes: all(intents, outcome), reads: [] };
}
