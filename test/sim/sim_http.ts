/** HTTP of the simulated network: whole requests and whole answers, which take their time and may get lost. */
import { utf8 } from "../../src/base/bytes.ts";
import type { HttpHandler, HttpServer, ServeOptions } from "../../src/runtime/http_host.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Lane } from "./links.ts";
import type { Mortal, NetCore } from "./net_core.ts";
import type { Taker } from "./sim_connect.ts";
import type { Death, SimProcess } from "./sim_process.ts";
import type { Answer, Reply } from "./types.ts";
import type { Cancel, Owner } from "./world.ts";

/** A request without its address. */
export interface HttpAsk {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** About the bytes of what surrounds a body. */
const headBytes = 300;

/** What a server has under way. */
export interface Served {
  /** The serving side ends it without an answer. */
  cut(): void;
}

/** What a client waits for. */
export interface Pending {
  readonly from: string;
  readonly to: string;
  /** A fault breaks the connection. */
  sever(): void;
}

/** A server on one port of one process. */
export class SimServer implements Mortal {
  readonly process: SimProcess;
  readonly handler: HttpHandler;
  readonly #running = new Set<Served>();
  #idle: (() => void) | null = null;

  constructor(process: SimProcess, handler: HttpHandler) {
    this.process = process;
    this.handler = handler;
  }

  /** `exchange` reached the machine. */
  take(exchange: Served): void {
    this.#running.add(exchange);
  }

  /** `exchange` needs nothing more of the process. */
  done(exchange: Served): void {
    this.#running.delete(exchange);
    if (this.#running.size === 0) this.#idle?.();
  }

  die(how: Death): void {
    if (how === "kill") this.cut();
  }

  /** Waits for what runs, at most `graceMs` of virtual time, then cuts it. */
  finish(graceMs: number): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.process.later(graceMs, () => this.cut(), "timer");
      this.#idle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  cut(): void {
    for (const exchange of [...this.#running]) {
      exchange.cut();
      this.done(exchange);
    }
  }
}

/** One request on its way there and back. */
export class Exchange {
  /** The client's machine, the server's machine. */
  readonly from: string;
  readonly to: string;
  readonly #http: SimHttp;
  readonly #url: URL;
  readonly #ask: HttpAsk;
  readonly #owner: Owner | null;
  readonly #there: Lane;
  readonly #back: Lane;
  readonly #timer: Cancel;
  #settle: ((reply: Reply) => void) | null;
  /** No answer goes back any more. */
  #broken = false;

  constructor(http: SimHttp, from: string, owner: Owner | null, url: string, ask: HttpAsk) {
    const { core } = http;
    this.#http = http;
    this.#url = new URL(url);
    this.#ask = ask;
    this.#owner = owner;
    this.from = from;
    this.to = core.machineOf(this.#url.hostname, from);
    this.#there = core.link(from, this.to).lane();
    this.#back = core.link(this.to, from).lane();
    this.#settle = null;
    this.#timer = core.world.at(
      owner,
      http.timeoutMs,
      () => this.#end({ kind: "lost" }),
      "timer",
    );
  }

  /** Sends the request; what becomes of it, in an event of the owner. */
  start(): Promise<Reply> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#http.open.add(this);
      this.#inTime(this.#owner, () => this.#send());
    });
  }

  /** Calls `send` when the thread of `owner` is where it says it is; never if it dies before. */
  #inTime(owner: Owner | null, send: () => void): void {
    const { world } = this.#http.core, delayMs = (owner?.busyUntil ?? 0) - world.now;
    if (delayMs > 0) world.at(owner, delayMs, send);
    else send();
  }

  #send(): void {
    const { world } = this.#http.core, size = headBytes + (this.#ask.body?.length ?? 0);
    this.#there.send(world.now, size, null, () => this.#arrive());
  }

  /** The request reached the machine. */
  #arrive(): void {
    const { core } = this.#http;
    if (core.isDown(this.to)) {
      return core.whenUp(this.to, () => {
        if (this.#settle !== null) this.#send();
      });
    }
    const bound = core.bound(this.to, portOf(this.#url), this.from);
    if (bound === null) {
      core.figures.refused++;
      return this.#goBack({ kind: "refused" });
    }
    const { taker, process } = bound;
    if (!(taker instanceof SimServer)) return this.#goBack({ kind: "lost" }); // it is not HTTP that is spoken there
    taker.take(this);
    core.world.at(process, 0, () => void this.#handle(taker));
  }

  /** In an event of the serving process. */
  async #handle(server: SimServer): Promise<void> {
    const { process } = server, { core } = this.#http, { from, to } = this, { method } = this.#ask;
    try {
      const response = await server.handler(this.#request(), { hostname: core.addressOf(from, to) });
      const reply = await whole(response);
      if (!process.alive) return;
      core.world.say(() => `${from}>${process.name} ${method} ${this.#url.pathname} ${response.status}`);
      this.#inTime(process, () => {
        this.#goBack(reply);
        server.done(this);
      });
    } catch (thrown) {
      // A handler does not throw; what a dead one does is nobody's business.
      if (process.alive) core.world.fail(thrown);
    }
  }

  #request(): Request {
    const { method, headers, body } = this.#ask;
    if (body === undefined) return new Request(this.#url, { method, headers: { ...headers } });
    const length = String(utf8(body).length);
    return new Request(this.#url, { method, body, headers: { "content-length": length, ...headers } });
  }

  #goBack(reply: Reply): void {
    if (this.#broken) return;
    this.#broken = true;
    const { now } = this.#http.core.world, answered = reply.kind === "answer";
    const size = headBytes + (answered ? reply.answer.text.length : 0);
    const timed = answered ? { ...reply, answeredAt: now } : reply;
    this.#back.send(now, size, this.#owner, () => this.#end(timed));
  }

  /** The serving side ends it without an answer. */
  cut(): void {
    this.#goBack({ kind: "lost" });
  }

  /** A fault breaks the connection: what was under way is lost. */
  sever(): void {
    this.#broken = true;
    this.#there.clear();
    this.#back.clear();
    this.#http.core.world.at(this.#owner, this.#back.delay(), () => this.#end({ kind: "lost" }));
  }

  #end(reply: Reply): void {
    const settle = this.#settle, { figures } = this.#http.core;
    if (settle === null) return;
    this.#settle = null;
    this.#timer.cancel();
    this.#http.open.delete(this);
    if (reply.kind === "answer") figures.answers++;
    else if (reply.kind === "lost") figures.lost++;
    settle(reply);
  }
}

export function portOf({ port, protocol }: URL): number {
  return Number(port || (protocol === "https:" ? 443 : 80));
}

export class SimHttp {
  readonly core: NetCore<Taker>;
  /** Requests whose client still waits. */
  readonly open = new Set<Pending>();
  /** How long a client waits for an answer, ms. */
  timeoutMs = 30_000;

  constructor(core: NetCore<Taker>) {
    this.core = core;
  }

  /** Throws as {@linkcode HttpHost.serve} does. */
  serve(process: SimProcess, { hostname, port, handler }: ServeOptions): HttpServer {
    const { core } = this, server = new SimServer(process, handler);
    const bound = core.bind(process, hostname, port, server);
    core.adopt(process, server);
    return {
      hostname,
      port: bound,
      async close(graceMs) {
        core.unbind(process, bound);
        await server.finish(graceMs);
        core.drop(process, server);
      },
    };
  }

  request(from: string, owner: Owner | null, url: string, ask: HttpAsk): Promise<Reply> {
    this.core.figures.requests++;
    if (owner?.alive === false) return new Promise(() => {});
    return new Exchange(this, from, owner, url, ask).start();
  }

  /** The runtime's fetch: the text of a body is read whole before anything is sent. */
  fetch(process: SimProcess): Runtime["fetch"] {
    return async (input, init = {}) => {
      const { signal, method = "GET" } = init;
      if (signal?.aborted === true) throw signal.reason;
      const body = await textOf(init.body);
      const headers = Object.fromEntries(new Headers(init.headers));
      const ask = { method, headers, ...(body === null ? {} : { body }) };
      const reply = await abortable(this.request(process.machine, process, input, ask), signal);
      if (reply.kind === "answer") return responseOf(reply.answer);
      throw new TypeError(
        `fetch failed: ${reply.kind}`,
        reply.kind === "refused" ? { cause: nobodyThere() } : {},
      );
    };
  }
}

/** Null: there is none. */
async function textOf(body: RequestInit["body"]): Promise<string | null> {
  if (body === null || body === undefined || typeof body === "string") return body ?? null;
  return await new Response(body).text();
}

/** Rejects with the signal's reason if that comes first. */
function abortable<Value>(promise: Promise<Value>, signal: RequestInit["signal"]): Promise<Value> {
  if (signal === null || signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}

/** As the system says it: nothing was sent. */
function nobodyThere(): Error {
  return Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" });
}

/** The answer that a server's system sends; a body that fails midway is a connection that breaks. */
async function whole(response: Response): Promise<Reply> {
  const { status, headers } = response;
  try {
    return { kind: "answer", answer: { status, headers: new Headers(headers), text: await response.text() } };
  } catch {
    return { kind: "lost" };
  }
}

function responseOf({ status, headers, text }: Answer): Response {
  const bodyless = status === 204 || status === 205 || status === 304;
  return new Response(bodyless ? null : text, { status, headers });
}
