/** What feeds of changes tell, read from either of their forms. What is not as it is documented is a violation of `feeds`. */
import { isObject, type Json, parsed } from "./answers.ts";
import { Violation } from "./types.ts";

export type FeedForm = "ndjson" | "events";

export interface ToldChange {
  /** Null: it stands inside its entry. */
  readonly position: string | null;
  readonly seq: number;
  /** All other members, as they came. */
  readonly rest: Json;
}

export type FeedLine =
  | { readonly kind: "position"; readonly position: string }
  | { readonly kind: "change"; readonly change: ToldChange }
  | { readonly kind: "end"; readonly position: string }
  | { readonly kind: "failure"; readonly code: string; readonly body: Json }
  /** The connection lives. */
  | { readonly kind: "word" };

/** Takes the pieces of one answer, however they are cut. */
export class FeedLines {
  readonly #form: FeedForm;
  #text = "";

  constructor(form: FeedForm) {
    this.#form = form;
  }

  add(piece: string): readonly FeedLine[] {
    const end = this.#form === "ndjson" ? "\n" : "\n\n", parts = (this.#text + piece).split(end);
    this.#text = parts.pop() as string;
    return parts.map((part) => this.#form === "ndjson" ? lineOf(part) : eventOf(part));
  }
}

function lineOf(text: string): FeedLine {
  if (text === "") return { kind: "word" };
  const line = objectOf(text), { position, end, code } = line;
  if (typeof code === "string") return { kind: "failure", code, body: line };
  if (typeof line["op"] === "string") return changeOf(line);
  is(typeof position === "string" && (end === undefined || end === true), "a line says nothing", text);
  is(Object.keys(line).length === (end === true ? 2 : 1), "a position has more members", text);
  return { kind: end === true ? "end" : "position", position: position as string };
}

function eventOf(text: string): FeedLine {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    is(!fields.has(name), "an event has a field twice", text);
    fields.set(name, value);
  }
  const id = fields.get("id") ?? null, data = fields.get("data"), event = fields.get("event");
  if (fields.has("")) {
    is(fields.size === 1, "a comment inside an event", text);
    return { kind: "word" };
  }
  if (data === undefined) {
    is(id !== null && fields.size === 1, "an event says nothing", text);
    return { kind: "position", position: id as string };
  }
  const line = lineOf(data), kind = event === "error" ? "failure" : event ?? "change";
  is(line.kind === kind, `what is said is no ${kind}`, text);
  const told = line.kind === "change" ? line.change.position : line.kind === "end" ? line.position : null;
  is(told === id, "the id of an event is not its position", text);
  return line;
}

function changeOf(line: Json): FeedLine {
  const { position, seq, ...rest } = line, inside = position === undefined;
  is(inside || typeof position === "string", "a position is no text", line);
  is(Number.isSafeInteger(seq), "a change has no seq", line);
  const change = { position: inside ? null : position as string, seq: seq as number, rest };
  return { kind: "change", change };
}

function objectOf(text: string): Json {
  const value = parsed(text);
  is(isObject(value), "a line is no JSON object", text);
  return value as Json;
}

function is(holds: boolean, what: string, text: string | Json): void {
  if (holds) return;
  const shown = typeof text === "string" ? text : JSON.stringify(text);
  throw new Violation("feeds", `${what}: ${shown.slice(0, 300)}`);
}
