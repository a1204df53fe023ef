/**
 * Writes that come to a follower: refused, or passed on to the leader (`--forward-writes`). One hop, the client's own
 * credentials, the body as a stream that nobody looks into. What a runtime's fetch does with a request whose connection
 * breaks is why bodies go as they go: see DESIGN.md.
 */
import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { reached } from "../engine/reached.ts";
import { parsePosition } from "../storage/position_text.ts";
import { LeaderUnreachable } from "./failures.ts";
import { forwardTarget, passedOn, returned } from "./forward_headers.ts";
import { outgoingBody } from "./outgoing_body.ts";
import type { Gates } from "./route.ts";
import type { HttpDependencies } from "./types.ts";
import { wasNeverSent } from "./unsent.ts";

export function writeGate(dependencies: HttpDependencies): Gates["onWrite"] {
  const { node, forwardWrites } = dependencies;
  return (write) => (c) => {
    if (node.role() !== "follower") return write(c);
    const request = c.req.raw, leader = forwardWrites ? node.leaderHttpUrl() : null;
    if (leader === null || request.headers.has("x-dfdb-forwarded")) {
      throw new DfdbError("not_leader", "This node follows a leader; send writes there");
    }
    return forward(dependencies, request, leader);
  };
}

async function forward(dependencies: HttpDependencies, request: Request, leader: string): Promise<Response> {
  const { node } = dependencies, target = forwardTarget(leader, request.url);
  const headers = passedOn(request, node.nodeId);
  const { answer, content } = await ask(dependencies, request, { leader, target, headers });
  const back = returned(answer.headers);
  const position = answer.headers.get("x-dfdb-position");
  if (position !== null) {
    back.set("x-dfdb-applied", String(answer.ok && await applied(dependencies, position)));
  }
  // Some statuses may have no body at all, not even an empty one.
  return new Response(content.byteLength === 0 ? null : content, { status: answer.status, headers: back });
}

interface Forwarded {
  readonly leader: string;
  readonly target: string;
  readonly headers: Headers;
}

/** The leader's whole answer. Rejects with `not_ready` when nothing was sent, `outcome_unknown` when the answer is lost. */
async function ask(
  dependencies: HttpDependencies,
  request: Request,
  { leader, target, headers }: Forwarded,
): Promise<{ readonly answer: Response; readonly content: ArrayBuffer }> {
  const { clock, limits: { syncTimeoutMs }, logger } = dependencies;
  const late = new AbortController();
  const giveUp = (): void => late.abort(new Error("The leader did not answer in time"));
  const answerMs = syncTimeoutMs + limits.forwardedWriteMs;
  let timer = clock.timer(answerMs, giveUp);
  const hasBody = request.method !== "DELETE";
  const body = outgoingBody(hasBody ? request.body : null, () => {
    timer.cancel();
    timer = clock.timer(answerMs, giveUp);
  });
  let answer: Response | null = null;
  try {
    answer = await dependencies.fetch(target, {
      method: request.method,
      headers,
      body: body.stream,
      redirect: "manual",
      signal: late.signal,
      ...halfDuplex,
    });
    return { answer, content: await answer.arrayBuffer() };
  } catch (error) {
    const { failure } = body;
    if (failure !== null) {
      throw new DfdbError("bad_request", "The request body broke off", { cause: failure });
    }
    const unsent = answer === null && ((hasBody && !body.begun) || wasNeverSent(error));
    logger.debug("a write could not be forwarded", { leader, unsent, error: reasonOf(error) });
    if (unsent) throw new LeaderUnreachable(leader, error);
    throw new DfdbError("outcome_unknown", "The leader's answer was lost; the write may have been made", {
      details: { leader },
      cause: error,
    });
  } finally {
    timer.cancel();
    body.end();
  }
}

/** Where a body is a stream the standard wants to be told that the answer comes after it. */
const halfDuplex = { duplex: "half" } as const;

/** fetch hides the reason in the cause. */
function reasonOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

/** Waits until the write can be read here. */
async function applied({ storage, engine, clock }: HttpDependencies, position: string): Promise<boolean> {
  const own = { log: storage.log, committed: engine.committed, clock };
  try {
    await reached(own, parsePosition(position), limits.minPositionMs);
    return true;
  } catch (error) {
    if (error instanceof DfdbError) return false;
    throw error;
  }
}
