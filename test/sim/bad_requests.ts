/** Requests that must be refused, whatever the node is, and must leave nothing behind. */
import { brief, check } from "./answers.ts";
import type { Chance } from "./chance.ts";
import type { Content, Intent, Request, Target } from "./requests.ts";
import { all, pathOf } from "./requests.ts";
import type { Ask } from "./types.ts";

interface Bad {
  readonly code: string;
  readonly ask: Ask;
  /** True when the document would be written if the mistake went unseen. */
  readonly carries?: boolean;
}

const get = (path: string): Ask => ({ method: "GET", path });

/** All of them, for one target and one document. */
function candidates(target: Target, { text }: Content): readonly Bad[] {
  const { collection } = target, path = pathOf(target), whole = `/collections/${collection}`;
  const put = (body: string, more: Partial<Ask> = {}): Ask => ({ method: "PUT", path, body, ...more });
  const post = (at: string, body: string, more: Partial<Ask> = {}): Ask => ({
    method: "POST",
    path: at,
    body,
    ...more,
  });
  const code = "bad_request", carries = true, inner = text.slice(0, -1);
  return [
    { code, carries, ask: put(inner) },
    { code, carries, ask: put(`${inner},"a":1,"\\u0061":2}`) },
    { code, carries, ask: put(`${inner},"large":9007199254740993}`) },
    { code, carries, ask: put(`${inner},"deep":${"[".repeat(100)}${"]".repeat(100)}}`) },
    { code, carries, ask: put(`${inner},"_id":"not the one of the path"}`) },
    { code, carries, ask: put(`[${text}]`) },
    { code, ask: put("") },
    { code, carries, ask: put(text, { headers: { "if-match": '"a"', "if-none-match": "*" } }) },
    { code, carries, ask: put(text, { headers: { "if-none-match": '"a"' } }) },
    { code, carries, ask: put(text, { headers: { "if-match": '"a" "b"' } }) },
    { code, carries, ask: put(text, { headers: { "content-encoding": "gzip" } }) },
    { code: "reserved_id", ask: put(text, { path: `${whole}/bulk` }) },
    { code, ask: put(text, { path: `/collections/_reserved/${target.id.length}` }) },
    { code, ask: put(text, { path: `${whole}/%ff` }) },
    { code, ask: put(text, { path: `${whole}/a%00b` }) },
    { code, carries, ask: post(`${whole}/bulk`, `${text}\n${text}\n`) },
    { code, carries, ask: post(`${whole}/bulk`, `[${text},${inner}]`) },
    { code, carries, ask: post(`${whole}/bulk?atomic=true`, `[${text},7]`) },
    { code, carries, ask: post(whole, text, { headers: { "idempotency-key": "k k" } }) },
    {
      code,
      carries,
      ask: post("/tx/batch", `[{"op":"insert","collection":"${collection}","doc":${text}},7]`),
    },
    {
      code,
      ask: post(
        "/tx/batch",
        `[{"op":"deleteByField","collection":"${collection}","field":"tag","value":[1]}]`,
      ),
    },
    { code, ask: { method: "DELETE", path: whole } },
    { code: "method_not_allowed", carries, ask: post(path, text) },
    { code: "not_found", ask: get("/nothing/here") },
    { code, ask: get(`${whole}?limit=0`) },
    { code, ask: get(`${whole}/%zz`) },
  ];
}

/** How many kinds of them there are. */
export const badRequests: number = candidates({ collection: "c", id: "1" }, { tag: "", text: "{}" }).length;

/** `number`: which of them; default: any. */
export function bad(
  target: Target,
  content: Content,
  draw: Chance,
  number = draw.below(badRequests),
): Request {
  const { code, ask, carries = false } = candidates(target, content)[number] as Bad;
  const { collection } = target, id = ask.method === "PUT" ? target.id : null;
  const intents: readonly Intent[] = carries ? [{ documents: [{ collection, id, tag: content.tag }] }] : [];
  return {
    kind: "bad",
    ask,
    intents,
    whenLost: "refused",
    judge(answer) {
      const taken = answer.code === code || answer.code === "closing" ||
        (ask.method !== "GET" && ["not_leader", "not_ready", "outcome_unknown"].includes(answer.code ?? ""));
      check(taken, () => `${ask.method} ${ask.path} is to be refused with ${code}: ${brief(answer)}`);
      return { writes: all(intents, "refused"), reads: [] };
    },
  };
}
