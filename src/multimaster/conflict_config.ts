/** The document `Raven/Replication/Config`: how this database settles conflicts. It should be the same on all masters. */
import * as v from "valibot";
import { messageOf } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import { databaseIdOf, isHexId } from "../base/ids.ts";
import type { ConflictPolicy } from "../document/judge.ts";
import { strictJson } from "../document/strict_json.ts";

export interface ConflictConfig {
  readonly policy: ConflictPolicy;
  /** Why it is not what the document wants; null: it is. */
  readonly problem: string | null;
}

const manual: ConflictPolicy = { kind: "manual" };

const schema = v.strictObject({
  policy: v.picklist(["manual", "latest", "prefer"], 'policy must be "manual", "latest" or "prefer"'),
  databases: v.nullish(
    v.array(v.custom<DatabaseId>(isHexId, "databases must be ids of databases, 32 hex digits each")),
  ),
});

/** Reads the document; null: there is none, and conflicts are left to people. Never throws. */
export function readConflictConfig(text: string | null): ConflictConfig {
  if (text === null) return { policy: manual, problem: null };
  let given: unknown;
  try {
    given = JSON.parse(strictJson(text));
  } catch (thrown) {
    return unusable(`it is not JSON: ${messageOf(thrown)}`);
  }
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return unusable("it is not a JSON object");
  }
  const result = v.safeParse(schema, given);
  if (!result.success) return unusable(sentenceOf(result.issues[0]));
  const { policy, databases } = result.output, ids = (databases ?? []).map((id) => databaseIdOf(id));
  if (policy !== "prefer") return { policy: { kind: policy }, problem: null };
  if (ids.length === 0) return unusable('"prefer" wants a list "databases"');
  return { policy: { kind: "prefer", databases: ids }, problem: null };
}

function sentenceOf(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue) ?? "";
  return issue.expected === "never" ? `${path} is not known; there are policy and databases` : issue.message;
}

function unusable(problem: string): ConflictConfig {
  return { policy: manual, problem: `Conflicts are left to people: ${problem}` };
}
