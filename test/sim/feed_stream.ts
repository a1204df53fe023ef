/** HTTP of the simulated network for answers that do not end: they come piece by piece, until one side hangs up or something breaks. */
import type { HttpAsk, SimHttp } from "./sim_http.ts";
import { portOf, SimServer } from "./sim_http.ts";
import type { Lane } from "./links.ts";
import type { SimProcess } from "./sim_process.ts";
import type { Cancel } from "./world.ts";

/** `whole`: the server ended it. `refused`: nobody took the request. `lost`: it broke, or no answer came in time. */
export type StreamEnd = "whole" | "lost" | "refused";

/** Who reads such an answer; called in events of nobody. `at`: virtual ms when the server sent it. */
export interface StreamTaker {
  answered(status: number, at: number): void;
  /** Returns how long the client takes for it, ms. */
  piece(text: string, at: number): number;
  /** `at`: when the server ended it, or now. Not called after `hangUp`. */
  over(end: StreamEnd, at: number): void;
}

/** About the bytes of what surrounds a body, and of an acknowledgement. */
const headBytes = 300, ackBytes = 40;

/** Pieces under way that the client has not taken: then the server reads no more. */
const windowPieces = 4;

/** One request and its answer. */
export class Stream {
  /** The client's machine, the server's machine. */
  readonly from: string;
  readonly to: string;
  readonly #http: SimHttp;
  readonly #url: URL;
  readonly #ask: HttpAsk;
  readonly #taker: StreamTaker;
  readonly #there: Lane;
  readonly #back: Lane;
  readonly #patience: Cancel;
  #server: SimServer | null = null;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #underWay = 0;
  #acknowledged: () => void = () => {};
  /** The client has the end. */
  #over = false;
  /** Nothing is sent to the client any more. */
  #broken = false;

  constructor(http: SimHttp, from: string, url: string, ask: HttpAsk, taker: StreamTaker) {
    const { core } = http;
    this.#http = http;
    this.#url = new URL(url);
    this.#ask = ask;
    this.#taker = taker;
    this.from = from;
    this.to = core.machineOf(this.#url.hostname, from);
    this.#there = core.link(from, this.to).lane();
    this.#back = core.link(this.to, from).lane();
    this.#patience = core.world.at(null, http.timeoutMs, () => {
      this.#sendHangUp();
      this.#end("lost", core.world.now);
    }, "timer");
    core.figures.requests++;
    http.open.add(this);
    this.#there.send(core.world.now, headBytes, null, () => this.#arrive());
  }

  /** A process that lives is at the other end, and what it sends gets through sooner or later. */
  get connected(): boolean {
    return !this.#over && !this.#broken && this.#server?.process.alive === true;
  }

  /** The client wants no more; the server hears of it in its time. */
  hangUp(): void {
    if (this.#over) return;
    this.#close();
    this.#sendHangUp();
  }

  /** The serving side ends it midway. */
  cut(): void {
    this.#leave();
    this.#goBack("lost");
  }

  /** A fault breaks the connection, for both sides: what was under way is lost. */
  sever(): void {
    const { world } = this.#http.core, process = this.#server?.process;
    this.#broken = true;
    this.#there.clear();
    this.#back.clear();
    world.at(null, this.#back.delay(), () => this.#end("lost", world.now));
    if (process !== undefined) world.at(process, this.#there.delay(), () => this.#leave());
  }

  #arrive(): void {
    const { core } = this.#http;
    if (core.isDown(this.to)) return; // the client waits as long as it likes
    const bound = core.bound(this.to, portOf(this.#url), this.from);
    if (bound === null) {
      core.figures.refused++;
      return this.#goBack("refused");
    }
    const { taker: server, process } = bound;
    if (!(server instanceof SimServer)) return this.#goBack("lost");
    this.#server = server;
    server.take(this);
    core.world.at(process, 0, () => void this.#serve(server));
  }

  /** In an event of the serving process. */
  async #serve({ process, handler }: SimServer): Promise<void> {
    const { core } = this.#http, { from, to } = this, { method, headers } = this.#ask;
    try {
      const request = new Request(this.#url, { method, headers: { ...headers } });
      const { status, body } = await handler(request, { hostname: core.addressOf(from, to) });
      if (!process.alive) return;
      core.world.say(() => `${from}>${process.name} ${method} ${this.#url.pathname} ${status}, a stream`);
      this.#send(process, headBytes, (at) => {
        this.#patience.cancel();
        core.figures.answers++;
        this.#taker.answered(status, at);
      });
      const end = await this.#pump(process, body);
      if (end !== null && process.alive) this.#inTime(process, () => this.#finish(end));
    } catch (thrown) {
      // A handler does not throw; what a dead one does is nobody's business.
      if (process.alive) core.world.fail(thrown);
    }
  }

  /** Sends what the body has, as fast as the client takes it; null: nobody wants the rest. */
  async #pump(process: SimProcess, body: Response["body"]): Promise<StreamEnd | null> {
    if (body === null) return "whole";
    const reader = this.#reader = body.getReader(), decoder = new TextDecoder();
    if (this.#server === null) this.#cancel(reader); // it has left before
    for (;;) {
      while (this.#underWay >= windowPieces) {
        await new Promise<void>((resolve) => this.#acknowledged = resolve);
      }
      let step: Awaited<ReturnType<typeof reader.read>>;
      try {
        step = await reader.read();
      } catch {
        return "lost";
      }
      if (!process.alive || this.#server === null) return null;
      if (step.done) return "whole";
      const text = decoder.decode(step.value, { stream: true });
      this.#underWay++;
      this.#send(process, text.length, (at) => this.#piece(process, text, at));
    }
  }

  #piece(process: SimProcess, text: string, at: number): void {
    const { world } = this.#http.core, tookMs = this.#taker.piece(text, at);
    world.at(null, tookMs, () => {
      if (this.#over || this.#broken) return;
      this.#there.send(world.now, ackBytes, process, () => {
        this.#underWay--;
        this.#acknowledged();
      });
    });
  }

  /** Sends to the client when the thread of `process` is where it says it is. */
  #send(process: SimProcess, bytes: number, arrive: (at: number) => void): void {
    const { world } = this.#http.core;
    this.#inTime(process, () => {
      if (this.#broken) return;
      const at = world.now;
      this.#back.send(at, bytes, null, () => {
        if (!this.#over) arrive(at);
      });
    });
  }

  #inTime(process: SimProcess, send: () => void): void {
    const { world } = this.#http.core, delayMs = process.busyUntil - world.now;
    if (delayMs > 0) world.at(process, delayMs, send);
    else send();
  }

  #finish(end: StreamEnd): void {
    this.#leave();
    this.#goBack(end);
  }

  #goBack(end: StreamEnd): void {
    if (this.#broken) return;
    this.#broken = true;
    const at = this.#http.core.world.now;
    this.#back.send(at, ackBytes, null, () => this.#end(end, at));
  }

  #sendHangUp(): void {
    const { world } = this.#http.core;
    // Where it arrives before the request was taken there is nobody whom it would tell anything.
    this.#there.send(world.now, ackBytes, null, () => {
      const process = this.#server?.process;
      if (process !== undefined) world.at(process, 0, () => this.#leave());
    });
  }

  /** The server needs nothing more for it. */
  #leave(): void {
    const server = this.#server;
    server?.done(this);
    this.#server = null;
    // What a dead one has open is not closed by anybody.
    if (this.#reader !== null && server?.process.alive === true) this.#cancel(this.#reader);
    this.#acknowledged();
  }

  #cancel(reader: ReadableStreamDefaultReader<Uint8Array>): void {
    reader.cancel().catch(() => {}); // it has failed before
  }

  #close(): void {
    this.#over = true;
    this.#patience.cancel();
    this.#http.open.delete(this);
  }

  #end(end: StreamEnd, at: number): void {
    if (this.#over) return;
    this.#close();
    if (end === "lost") this.#http.core.figures.lost++;
    this.#taker.over(end, at);
  }
}
