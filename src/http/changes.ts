/**
 * `GET /changes`: what happened to documents since a position, and what happens from then on, as NDJSON or server-sent events. One
 * line or event for each change, in the order of the log. The last one of an entry has `position`: whoever has it may hang up there
 * and go on after it later, here or at another node. Lines that have nothing but `position` say that so much was looked through.
 */
import type { Context } from "hono";
import { utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { documentText, idText } from "../document/document_text.ts";
import { collectionName } from "../document/names.ts";
import type { Change } from "../engine/changes.ts";
import { trimmed } from "../engine/changes.ts";
import { reached } from "../engine/reached.ts";
import type { Position } from "../storage/log.ts";
import { parsePosition, positionText } from "../storage/position_text.ts";
import { access } from "./access.ts";
import type { DescribeFailure } from "./failures.ts";
import type { Feed, FeedForm } from "./feeds.ts";
import { changesQuery, readQuery } from "./query.ts";
import type { Route } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

/** The form, and how a failure is told after the first line. */
interface Form extends FeedForm {
  readonly contentType: string;
  failure(body: Readonly<Record<string, unknown>>): string;
}

const ndjson: Form = {
  contentType: "application/x-ndjson",
  position: (position) => `{"position":"${position}"}\n`,
  change: (change) => `${changeText(change)}\n`,
  word: "\n",
  end: (position) => `{"position":"${position}","end":true}\n`,
  failure: (body) => `${JSON.stringify(body)}\n`,
};

/** An event that has an id and no data is not shown to the page: it only moves the id that is sent when the connection is made again. */
const events: Form = {
  contentType: "text/event-stream",
  position: (position) => `id: ${position}\n\n`,
  change: (change) => `${change.last ? `id: ${positionOf(change)}\n` : ""}data: ${changeText(change)}\n\n`,
  word: ":\n\n",
  end: (position) => `id: ${position}\nevent: end\ndata: {"position":"${position}","end":true}\n\n`,
  failure: (body) => `event: error\ndata: ${JSON.stringify(body)}\n\n`,
};

export function changesRoute(dependencies: HttpDependencies, describe: DescribeFailure): Route {
  const checkAccess = access(dependencies);
  const get = async ({ req: { raw: request } }: Context): Promise<Response> => {
    const { since, collection, once, limit = Infinity } = readQuery(request, changesQuery);
    const form = /\btext\/event-stream\b/i.test(request.headers.get("accept") ?? "") ? events : ndjson;
    const only = collection === undefined ? null : collectionName(collection);
    // Sent by a browser that connects anew: it knows better than the address how far it came.
    const from = await startOf(dependencies, request.headers.get("last-event-id") || since);
    const headers = {
      "content-type": form.contentType,
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    };
    if (request.method === "HEAD") return new Response(null, { headers });
    // A key that is revoked ends its feeds; a request that was answered must not be asked again.
    const asked = new Request(request.url, {
      headers: { authorization: request.headers.get("authorization") ?? "" },
    });
    const check = (): void => void checkAccess(asked, { hostname: "" });
    const feed = dependencies.feeds.open({ from, collection: only, once, limit, check }, form);
    return new Response(stream(feed, form, describe), { headers });
  };
  return { path: "/changes", get };
}

/** Where a feed begins. Rejects with `position_lost` or `not_caught_up`. */
async function startOf(
  { storage: { log }, engine: { committed }, clock }: HttpDependencies,
  since: string | undefined,
): Promise<Position> {
  if (since === undefined) return log.last;
  if (since === "0" || since === "start") return known(log.at(seqOf(log.first - 1)));
  const token = parsePosition(since.trim());
  try {
    await reached({ log, committed, clock }, token, limits.minPositionMs);
    const here = log.at(token.seq);
    if (here === "compacted" || token.seq + 1 < log.first) throw trimmed(log);
    return known(here);
  } catch (error) {
    throw error instanceof DfdbError && error.code === "position_lost" ? new PositionGone(error) : error;
  }
}

function known(position: Position | "compacted" | "ahead"): Position {
  if (typeof position === "object") return position;
  throw new DfdbError("busy", "The content of this node is being replaced; try again in a moment");
}

/** A feed that cannot be resumed is gone for good, other than a read that waits for a position. */
class PositionGone extends DfdbError {
  constructor({ code, message, details }: DfdbError) {
    super(code, message, { details });
  }

  override get status(): number {
    return 410;
  }
}

function stream(feed: Feed, form: Form, describe: DescribeFailure): ReadableStream<Uint8Array> {
  let gone = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      feed.onStalled = () => {
        gone = true;
        controller.error(new DfdbError("timeout", "The client took nothing for too long"));
      };
    },
    async pull(controller) {
      let text: string | null;
      try {
        text = await feed.next();
      } catch (error) {
        text = form.failure(describe(error).body);
      }
      if (gone) return;
      if (text !== null) controller.enqueue(utf8(text));
      if (feed.over) controller.close();
    },
    cancel() {
      gone = true;
      feed.end();
    },
  }, { highWaterMark: 0 });
}

const positionOf = ({ term, seq }: Change): string => positionText(term, seq);

function changeText(change: Change): string {
  const { seq, op, collection, id, body, conflicts, wallMs } = change, position = positionOf(change);
  let text = change.last ? `{"position":"${position}",` : "{";
  text += `"seq":${seq},"op":"${op}","collection":${JSON.stringify(collection)}`;
  if (id !== null) text += `,"id":${idText(id)}`;
  if (op === "put") text += `,"etag":"${position}"`;
  if (conflicts !== null) text += `,"Conflicts":${JSON.stringify(conflicts)}`;
  text += `,"time":"${new Date(wallMs).toISOString()}"`;
  if (id !== null && body !== null) {
    text += `,"document":${documentText(id, position, utf8Text(body))}`;
  }
  return `${text}}`;
}
