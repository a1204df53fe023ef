/** What a node refused, in words for people: the code, the sentence, and what to do next. */
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeStatus } from "./node_status.ts";
import { followersOf, knowsHandover } from "./cluster_status.ts";
import { plain } from "./table.ts";

export function printRefusal(
  { process }: Pick<Runtime, "process">,
  error: DfdbError,
  next: string | null,
): void {
  process.stderr(`ERROR: ${plain(error.message)} (${error.code})\n`);
  if (next !== null) process.stderr(`  ${plain(next)}\n`);
}

/** Runs `work`, which answers the exit code; what was refused is printed, with what may be done, and makes it 1. */
export async function orRefusal(
  runtime: Pick<Runtime, "process">,
  url: string,
  work: () => Promise<number>,
): Promise<number> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    const { leader } = thrown.details;
    const next = thrown.code === "not_leader" && isRefusal(thrown) && typeof leader === "string"
      ? `Ask its leader: ${leader}`
      : commonAdvice(thrown, url);
    printRefusal(runtime, thrown, next);
    return 1;
  }
}

/** True when the node itself said no; false when its answer was lost, so that it may have done what was asked. */
export function isRefusal({ code, details }: DfdbError): boolean {
  return typeof details["status"] === "number" && code !== "bad_frame";
}

/** What may be done after a refusal that says the same everywhere; null: the sentence says it all. */
export function commonAdvice({ code, details }: DfdbError, url: string): string | null {
  switch (code) {
    case "unauthorized":
    case "forbidden":
      return "Give the node's key with --api-key or DFDB_API_KEY.";
    case "no_lease":
      return "Another node holds the lease, the authority cannot be reached, or this node may lack answered writes or never met its leader. Force does not go round it.";
    case "stale_epoch":
      return "Another node has led since. Look at all nodes with dfdb status, and let this one follow the one that leads.";
    case "closing":
    case "going_away":
      return "The node is stopping. Try again when it is up.";
    case "unreachable":
    case "timeout":
      return typeof details["status"] === "number" ? null : `Is ${url} the HTTP address of a node?`;
    default:
      return null;
  }
}

export interface HandoverPlace {
  /** Of the leader. */
  readonly url: string;
  /** As given on the command line. */
  readonly to: string;
  /** Of the leader, after the refusal; null when it does not answer. */
  readonly status: NodeStatus | null;
}

/** What to do after a handover was refused or failed. */
export function handoverAdvice(error: DfdbError, { url, to, status }: HandoverPlace): string | null {
  const leader = error.details["leader"];
  switch (error.code) {
    case "not_leader":
      return typeof leader === "string"
        ? `Ask its leader: dfdb handover --from ${leader} --to ${to}`
        : `dfdb status ${url} shows whom it follows. Ask that node.`;
    case "bad_request":
    case "not_found":
    case "method_not_allowed":
      if (status !== null && !knowsHandover(status)) return "The node is older and knows no handover.";
      return error.details["field"] === "timeoutSeconds" ? null : targetsText(status);
    case "not_caught_up":
      return `Try again when its lag is small (dfdb status --watch ${url}), or with a larger --timeout.`;
    case "timeout":
      return isRefusal(error) ? "Try again, or with a larger --timeout." : commonAdvice(error, url);
    case "unreachable":
      return isRefusal(error)
        ? `Try again when dfdb status ${url} shows it streaming.`
        : commonAdvice(error, url);
    case "conflict":
    case "internal":
    case "read_only":
      return `dfdb status ${url} shows what the node is doing. Try again when that is settled.`;
    default:
      return commonAdvice(error, url);
  }
}

function targetsText(status: NodeStatus | null): string {
  const names = status === null ? [] : followersOf(status).map(({ nodeName }) => nodeName);
  const connected = names.length === 0 ? "none is" : names.join(", ");
  return "--to takes the id, the name (when no other node has it) or the HTTP URL of a connected follower. " +
    `Connected now: ${connected}.`;
}
