/**
 * What a statement comes to, as JSON or as lines. A short result is one text; a long one is a stream that asks for more rows when the
 * client has taken the last, so that neither memory nor the reading runs ahead of it.
 */
import { utf8 } from "../base/bytes.ts";
import type { QueryAnswer } from "../engine/query_types.ts";
import type { KeptAnswer } from "../engine/remembered.ts";
import type { AnswerHeaders } from "./answers.ts";
import { jsonText, positionHeader } from "./answers.ts";
import type { DescribeFailure } from "./failures.ts";
import { conflictsMember } from "./query_conflicts.ts";

export interface AnswerOptions {
  readonly ndjson: boolean;
  readonly describe: DescribeFailure;
  /** Since the request came, ms. */
  readonly tookMs: () => number;
  /** Keys in conflict in the collections of the statement: their documents are in no row. */
  readonly conflicts: () => number;
  /** The client takes no more. */
  readonly leave: () => void;
}

type Rows = AsyncIterator<readonly string[]>;

/** What is read before the answer begins: until then a failure has a status of its own. In UTF-16 units. */
const heldChars = 1024 * 1024;

export async function queryAnswer(answer: QueryAnswer, options: AnswerOptions): Promise<Response> {
  if (answer.whole !== null) return wholeAnswer(answer, answer.whole, options);
  const rows = answer.rows[Symbol.asyncIterator](), held: string[] = [];
  let chars = 0;
  do {
    const { done, value } = await rows.next();
    if (done === true) return wholeAnswer(answer, held, options);
    for (const row of value) {
      chars += row.length;
      held.push(row);
    }
  } while (chars < heldChars && !(options.ndjson && held.length > 0));
  return options.ndjson
    ? lines(metaLine(answer, options), held, headersOf(answer), rows, options)
    : objectAnswer(answer, held, rows, options);
}

function wholeAnswer(answer: QueryAnswer, rows: readonly string[], options: AnswerOptions): Response {
  const { status, headers, body } = wholeText(answer, rows, options);
  return jsonText(body, status, headers);
}

/** An answer of which all rows are there. */
export function wholeText(
  answer: QueryAnswer,
  rows: readonly string[],
  { ndjson, tookMs, conflicts }: Pick<AnswerOptions, "ndjson" | "tookMs" | "conflicts">,
): KeptAnswer {
  const { plan, affected, message } = answer, executionTimeMs = tookMs(), count = rows.length;
  const leftOut = conflictsMember(conflicts());
  if (!ndjson) {
    const rest = JSON.stringify({
      ...{ success: true, count, affected, plan, executionTimeMs, message },
      ...leftOut,
    });
    const body = `${rest.slice(0, -1)},"documents":[${rows.join(",")}]}`;
    return { status: 200, headers: headersOf(answer), body };
  }
  const known = { "x-dfdb-count": String(count), "x-dfdb-executionms": executionTimeMs.toFixed(2) };
  const meta = JSON.stringify({
    ...{ kind: "meta", count, affected, plan, executionTimeMs, message },
    ...leftOut,
  });
  const body = [meta, ...rows, endLine(count, executionTimeMs)].join("\n") + "\n";
  return {
    status: 200,
    headers: { "content-type": "application/x-ndjson", ...headersOf(answer), ...known },
    body,
  };
}

function headersOf({ plan, position }: QueryAnswer): AnswerHeaders {
  return { "x-dfdb-plan": plan, ...(position === null ? {} : positionHeader(position)) };
}

function metaLine({ plan, affected, message }: QueryAnswer, { conflicts }: AnswerOptions): string {
  return JSON.stringify({ kind: "meta", affected, plan, message, ...conflictsMember(conflicts()) });
}

function endLine(count: number, executionTimeMs: number): string {
  return JSON.stringify({ kind: "end", count, executionTimeMs });
}

function lines(
  meta: string,
  held: readonly string[],
  headers: AnswerHeaders,
  rows: Rows,
  { describe, tookMs, leave }: AnswerOptions,
): Response {
  let count = held.length;
  const body = stream([meta, ...held].join("\n") + "\n", rows, {
    more(chunk) {
      count += chunk.length;
      return chunk.length === 0 ? "" : chunk.join("\n") + "\n";
    },
    end: () => endLine(count, tookMs()) + "\n",
    failed: (error) => JSON.stringify({ kind: "error", ...describe(error).body }) + "\n",
    leave,
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson", ...headers } });
}

/** The count is known at the end. A failure in between cuts the text off: it is no JSON then. */
function objectAnswer(
  answer: QueryAnswer,
  held: readonly string[],
  rows: Rows,
  { describe, tookMs, conflicts, leave }: AnswerOptions,
): Response {
  const { plan, affected, message } = answer;
  let count = held.length;
  const head = JSON.stringify({ success: true, affected, plan, message, ...conflictsMember(conflicts()) });
  const body = stream(`${head.slice(0, -1)},"documents":[${held.join(",")}`, rows, {
    more(chunk) {
      count += chunk.length;
      return chunk.length === 0 ? "" : `,${chunk.join(",")}`;
    },
    end: () => `],"count":${count},"executionTimeMs":${tookMs()}}`,
    failed(error) {
      describe(error); // what nobody foresaw is logged
      return null;
    },
    leave,
  });
  return new Response(body, { headers: { "content-type": "application/json", ...headersOf(answer) } });
}

interface Text {
  readonly more: (chunk: readonly string[]) => string;
  readonly end: () => string;
  /** The last words; null: there are none, and the body breaks off. */
  readonly failed: (error: unknown) => string | null;
  readonly leave: () => void;
}

function stream(first: string, rows: Rows, text: Text): ReadableStream<Uint8Array> {
  let begun = false;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (!begun) {
        begun = true;
        return controller.enqueue(utf8(first));
      }
      try {
        for (;;) {
          const { done, value } = await rows.next();
          const more = done === true ? text.end() : text.more(value);
          if (more !== "") controller.enqueue(utf8(more));
          if (done === true) controller.close();
          if (more !== "") return;
        }
      } catch (error) {
        const last = text.failed(error);
        if (last === null) return controller.error(error);
        controller.enqueue(utf8(last));
        controller.close();
      }
    },
    async cancel() {
      text.leave();
      await rows.return?.();
    },
  }, { highWaterMark: 0 });
}
