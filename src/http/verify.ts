/**
 * Checksums of the content at one position, as NDJSON: `{position}` as soon as the state is pinned, one line for each
 * collection (its documents before it, if asked), one for each index that was compared with its documents, `{done: true, ...}` last. Blank lines mean that it goes on. A failure
 * after the first line is a last line with `error` and `code`.
 */
import type { Context } from "hono";
import * as v from "valibot";
import { utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { Position } from "../storage/log.ts";
import { parsePosition, positionText } from "../storage/position_text.ts";
import { json } from "./answers.ts";
import { readBody } from "./body.ts";
import type { DescribeFailure } from "./failures.ts";
import { readQuery, verifyQuery } from "./query.ts";
import type { Route } from "./route.ts";
import type { HttpDependencies } from "./types.ts";
import type { Verification, VerifyProgress } from "./verify_types.ts";

const holdSecondsMax = 30, bodyBytesMax = 1024;

const holdBody = v.object({
  seconds: v.pipe(
    v.number(),
    v.minValue(0, "must be at least 0"),
    v.maxValue(holdSecondsMax, "is too large"),
  ),
});

export function verifyRoutes({ verify }: HttpDependencies, describe: DescribeFailure): readonly Route[] {
  const at = (position: Position): Response => json({ position: positionText(position, position.seq) });
  return [
    { path: "/verify", get: (c) => start(verify, c, describe) },
    { path: "/verify/log", get: async () => json(await verify.log()) },
    { path: "/verify/hold", post: async (c) => at(verify.hold((await holdSeconds(c.req.raw)) * 1000)) },
    {
      path: "/verify/release",
      post: () => {
        verify.release();
        return json({ released: true });
      },
    },
  ];
}

async function start(
  verify: HttpDependencies["verify"],
  c: Context,
  describe: DescribeFailure,
): Promise<Response> {
  const request = c.req.raw,
    { at, collection, documents, indexes, masters } = readQuery(request, verifyQuery);
  if (documents && collection === undefined) {
    throw new DfdbError("bad_request", "documents=true needs one collection=name");
  }
  const wanted = {
    at: at === undefined ? null : parsePosition(at),
    collection: collection ?? null,
    documents,
    indexes,
    masters,
  };
  const headers = { "content-type": "application/x-ndjson" };
  if (request.method === "HEAD") return new Response(null, { headers });
  const abort = new AbortController();
  const hungUp = (): void => abort.abort(new DfdbError("closing", "The client hung up"));
  // Not `request.signal`: on Deno it also aborts when the answer is there. Waiting for the position ends by itself.
  const verification = await verify.begin(wanted, abort.signal);
  return new Response(answer(verification, describe, hungUp), { headers });
}

/** Pulled by the client: batches of documents count as taken when they went on their way. */
function answer(
  verification: Verification,
  describe: DescribeFailure,
  hungUp: () => void,
): ReadableStream<Uint8Array> {
  const { position } = verification;
  const queue: { readonly text: string; readonly batch: boolean }[] = [];
  let ended = false, wake = (): void => {};
  const add = (text: string, batch = false): void => {
    queue.push({ text, batch });
    wake();
  };
  const end = (last: unknown): void => {
    ended = true;
    add(line(last));
  };
  add(line({ position: positionText(position, position.seq) }));
  verification.onProgress((progress) => add(textOf(progress), progress.type === "documents"));
  verification.done.then((sum) => end({ done: true, ...sum }), (error) => end(describe(error).body));
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (queue.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const next = queue.shift() as (typeof queue)[number];
      controller.enqueue(utf8(next.text));
      if (next.batch) verification.taken();
      if (ended && queue.length === 0) controller.close();
    },
    cancel: hungUp,
  }, { highWaterMark: 0 });
}

function textOf(progress: VerifyProgress): string {
  if (progress.type === "alive") return "\n";
  if (progress.type === "documents") return progress.lines;
  if (progress.type === "index") {
    const { name, collection, entries, keptEntries, missing, tooMany } = progress;
    return line({ index: name, collection, entries, keptEntries, missing, tooMany });
  }
  const { name, count, keptCount, checksum, indexes } = progress;
  return line({ collection: name, count, keptCount, checksum, indexes });
}

const line = (value: unknown): string => `${JSON.stringify(value)}\n`;

async function holdSeconds(request: Request): Promise<number> {
  const bytes = await readBody(request, bodyBytesMax);
  let body: unknown;
  try {
    body = JSON.parse(utf8Text(bytes));
  } catch (cause) {
    throw new DfdbError("bad_request", "The body is not JSON", { cause });
  }
  const result = v.safeParse(holdBody, body);
  if (result.success) return result.output.seconds;
  throw new DfdbError("bad_request", `The body must be {"seconds": 0 to ${holdSecondsMax}}`);
}
