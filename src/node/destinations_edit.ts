/** Changes of the document `Raven/Replication/Destinations` for whoever edits it; what it says of others stays as it is. */
import { DfdbError } from "../base/errors.ts";
import { databaseUrl, readDestinations } from "../multimaster/destinations.ts";

export interface NewDestination {
  /** Of the database, `/db/{name}` included. */
  readonly url: string;
  readonly apiKey: string | null;
  /** Null: all. */
  readonly collections: readonly string[] | null;
  readonly transitive: boolean;
}

/**
 * `text` is the document as it is, null: there is none. Throws `bad_request` for a destination that would be skipped, `conflict` where it is
 * in the list already or the list cannot be read.
 */
export function withDestination(text: string | null, added: NewDestination): string {
  const { document, entries } = parsed(text), url = databaseUrl(added.url);
  if (entries.some((entry) => urlOf(entry) === url)) {
    throw new DfdbError("conflict", `${url} is a destination already`);
  }
  const entry = {
    Url: url,
    ...(added.apiKey === null ? {} : { ApiKey: added.apiKey }),
    ...(added.collections === null ? {} : { SpecifiedCollections: added.collections }),
    ...(added.transitive ? { TransitiveReplicationBehavior: "Replicate" } : {}),
  };
  const made = JSON.stringify({ ...document, Destinations: [...entries, entry] });
  const problem = readDestinations(made).problems.find(({ index }) => index === entries.length);
  if (problem !== undefined) throw new DfdbError("bad_request", problem.message);
  return made;
}

/** Throws `not_found` where it is none of them. */
export function withoutDestination(text: string | null, url: string): string {
  const { document, entries } = parsed(text), wanted = databaseUrl(url);
  const left = entries.filter((entry) => urlOf(entry) !== wanted);
  if (left.length === entries.length) throw new DfdbError("not_found", `${wanted} is no destination`);
  return JSON.stringify({ ...document, Destinations: left });
}

function parsed(
  text: string | null,
): { readonly document: Readonly<Record<string, unknown>>; readonly entries: readonly unknown[] } {
  const { _id, _etag, "@metadata": _, ...document } = JSON.parse(text ?? "{}") as Record<string, unknown>;
  const entries = document["Destinations"] ?? [];
  if (Array.isArray(entries)) return { document, entries };
  throw new DfdbError(
    "conflict",
    "Raven/Replication/Destinations has no list of destinations: write it anew",
  );
}

/** Null: it is none that can be sent to. */
function urlOf(entry: unknown): string | null {
  const { Url, Database } = Object(entry) as { readonly Url?: unknown; readonly Database?: unknown };
  try {
    return databaseUrl(String(Url), typeof Database === "string" ? Database : undefined);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return null;
  }
}
