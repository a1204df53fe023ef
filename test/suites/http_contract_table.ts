/** What a row of the table of endpoints is, and how one request of it is judged. */
import assert from "node:assert/strict";
import * as v from "valibot";
import type { Body, RequestOptions } from "./http_fixture.ts";
import { errorShape, line } from "./http_contract_shapes.ts";

export type Shape = v.GenericSchema;

/** What a request is made of; where it is a function, it is told what the requests before it answered. */
export interface Asked {
  /** Makes what it is about; all must succeed. */
  readonly before?: readonly (readonly [method: string, path: string, body?: unknown])[];
  /** Below the route's own path where it has parameters. */
  readonly path?: string | ((before: readonly Body[]) => string);
  /** Of another method than the route's, to be refused. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text goes as it is, anything else as JSON. */
  readonly body?: unknown;
}

export interface Good extends Asked {
  readonly status?: number;
  readonly answer: Shape;
  /** Lines or events of JSON: `answer` is what an array of them is. */
  readonly form?: "ndjson" | "events";
  /** Headers that it must have. */
  readonly has?: Readonly<Record<string, RegExp>>;
  /** It is written to the log: the answer tells the position, and a node that takes no writes refuses it. */
  readonly writes?: boolean;
}

export interface Bad extends Asked {
  readonly status: number;
  readonly code: string;
  /** Fields beside `error` and `code`. */
  readonly more?: Readonly<Record<string, Shape>>;
}

export interface Row {
  /** As the router has it. */
  readonly route: string;
  readonly good: readonly Good[];
  readonly bad: readonly Bad[];
}

export type Request = (method: string, path: string, options?: RequestOptions) => Promise<Response>;

/** Why an answer is not what its row says; null: it is. */
export type Fault = string | null;

export const methodOf = ({ route }: Pick<Row, "route">): string => route.slice(0, route.indexOf(" "));
export const pathOfRoute = ({ route }: Pick<Row, "route">): string => route.slice(route.indexOf(" ") + 1);

/** The request of `asked`, sent. What it is about is made first, unless `prepared`. */
export async function send(request: Request, row: Row, asked: Asked, prepared = false): Promise<Response> {
  const before = prepared ? [] : await prepare(request, asked);
  const path = typeof asked.path === "function" ? asked.path(before) : asked.path ?? pathOfRoute(row);
  assert.doesNotMatch(path, /\/:/, `${row.route}: the path has parameters`);
  return await request(asked.method ?? methodOf(row), path, {
    ...(asked.headers === undefined ? {} : { headers: asked.headers }),
    ...(asked.body === undefined ? {} : { body: textOf(asked.body) }),
  });
}

/** Makes what a request is about; the answers' bodies. */
export async function prepare(request: Request, asked: Asked): Promise<readonly Body[]> {
  const bodies: Body[] = [];
  for (const [method, path, body] of asked.before ?? []) {
    const answer = await request(method, path, body === undefined ? {} : { body: textOf(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    bodies.push(JSON.parse(text) as Body);
  }
  return bodies;
}

const textOf = (body: unknown): string => typeof body === "string" ? body : JSON.stringify(body);

export async function goodFault(answer: Response, good: Good): Promise<Fault> {
  const { status, headers } = answer, text = await answer.text();
  const { status: wanted = 200, form, writes = false } = good;
  if (status !== wanted) return `${status}, not ${wanted}: ${text.slice(0, 300)}`;
  const type = headers.get("content-type") ?? "";
  const types = { json: "application/json", ndjson: "application/x-ndjson", events: "text/event-stream" };
  if (type !== types[form ?? "json"]) return `content-type ${type}`;
  for (const [name, pattern] of Object.entries(good.has ?? {})) {
    if (!pattern.test(headers.get(name) ?? "")) return `${name}: ${headers.get(name)}`;
  }
  const position = headers.get("x-dfdb-position");
  if (writes ? !/^[0-9]+\.[0-9a-f]{8}-[0-9]+$/.test(position ?? "") : position !== null) {
    return `x-dfdb-position: ${position}`;
  }
  return shapeFault(good.answer, form === undefined ? JSON.parse(text) : messagesOf(text, form));
}

export async function badFault(answer: Response, { status, code, more = {} }: Bad): Promise<Fault> {
  const text = await answer.text();
  if (answer.status !== status) return `${answer.status}, not ${status}: ${text.slice(0, 300)}`;
  const type = answer.headers.get("content-type");
  if (type !== "application/json") return `content-type ${type}`;
  if (answer.headers.get("x-dfdb-position") !== null && !("rolledBack" in more)) return "it has a position";
  const body = JSON.parse(text) as Body;
  if (/node_modules|\.ts\b|^\s+at /m.test(String(body["error"]))) return `it tells the inside: ${text}`;
  return shapeFault(errorShape(code, more), body);
}

/** The lines of NDJSON, or the data of server-sent events, but for those that only say that it goes on. */
function messagesOf(text: string, form: "ndjson" | "events"): unknown[] {
  const lines = text.split("\n");
  const data = form === "ndjson"
    ? lines.filter((each) => each !== "")
    : lines.filter((each) => each.startsWith("data: ")).map((each) => each.slice(6));
  return data.map((each) => JSON.parse(each));
}

function shapeFault(shape: Shape, value: unknown): Fault {
  const { issues } = v.safeParse(shape, value);
  if (issues === undefined) return null;
  return `${issues.map((issue) => `${v.getDotPath(issue)}: ${issue.message}`).join("; ")} in ${
    line(value).slice(0, 600)
  }`;
}
