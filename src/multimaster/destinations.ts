/** The document `Raven/Replication/Destinations`: to whom this database sends what. */
import * as v from "valibot";
import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { collectionKey, collectionName } from "../document/names.ts";
import { strictJson } from "../document/strict_json.ts";

export interface Destination {
  /** Of the database there, `/db/{name}` included, without a slash at its end. */
  readonly url: string;
  readonly apiKey: string | null;
  readonly disabled: boolean;
  /** Documents last written elsewhere are sent on, too. */
  readonly transitive: boolean;
  /** Only these, lower case, in order; null: all. */
  readonly collections: readonly string[] | null;
  /** What of the documents is sent, as text: a cursor belongs to (destination, filter). Empty: the default. */
  readonly filter: string;
}

export interface DestinationProblem {
  /** Of the entry, from 0; null: of the document. The entry is skipped, or nothing is sent to anybody. */
  readonly index: number | null;
  readonly message: string;
}

export interface Destinations {
  readonly destinations: readonly Destination[];
  readonly problems: readonly DestinationProblem[];
}

/** Reads the document; null: there is none. Never throws. */
export function readDestinations(text: string | null): Destinations {
  if (text === null) return { destinations: [], problems: [] };
  let given: unknown;
  try {
    given = JSON.parse(strictJson(text));
  } catch (thrown) {
    return unreadable(`It is not JSON: ${messageOf(thrown)}`);
  }
  const list = v.safeParse(documentSchema, given);
  if (!list.success) return unreadable('It must be an object with a list "Destinations"');
  const destinations = new Map<string, Destination>(), problems: DestinationProblem[] = [];
  for (const [index, entry] of list.output.Destinations.entries()) {
    try {
      const destination = destinationOf(entry);
      if (destinations.has(destination.url)) refuse(`${destination.url} is in the list already`);
      if (destinations.size === limits.destinationsMax) refuse(`more than ${limits.destinationsMax} entries`);
      destinations.set(destination.url, destination);
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      problems.push({ index, message: `Destinations[${index}] is skipped: ${thrown.message}` });
    }
  }
  return { destinations: [...destinations.values()], problems };
}

/** The key of the failures noted for a destination; two may share one, so the URL stands in the body, too. */
export function failureKey(url: string): string {
  return `Raven/Replication/Destinations/${
    encodeURIComponent(url.replace(/^https?:/, "").replace(/[/:]/g, ""))
  }`;
}

/** A database's URL as it is written everywhere here; throws `bad_request` saying what is wrong with it. */
export function databaseUrl(text: string, database?: string): string {
  const trimmed = text.trim(), url = URL.canParse(trimmed) ? new URL(trimmed) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    refuse(`Url must be one of http or https, not ${shown(text)}`);
  }
  if (url.username !== "" || url.password !== "") refuse("Url has a user or a password: use ApiKey");
  if (url.search !== "" || url.hash !== "") {
    refuse(`Url ends at its path, so without ? and #: ${shown(text)}`);
  }
  const base = `${url.origin}${url.pathname}`.replace(/\/$/, "");
  return database === undefined ? base : `${base}/db/${encodeURIComponent(database)}`;
}

/**
 * Where a follower that answered at `url` sends its peers: the same database at `leader`, its leader's base URL. Null: nowhere
 * that may be followed.
 */
export function leaderUrl(url: string, leader: string): string | null {
  try {
    const base = databaseUrl(leader), path = /\/db\/[^/]+$/.exec(url)?.[0] ?? "";
    if (url.startsWith("https:") && !base.startsWith("https:")) return null;
    return base.endsWith(path) ? base : base + path;
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    return null;
  }
}

/** True when nothing of the two differs: what is under way for one may go on for the other. */
export function sameDestination(a: Destination, b: Destination): boolean {
  return a.url === b.url && a.filter === b.filter && a.apiKey === b.apiKey && a.disabled === b.disabled;
}

const word = v.pipe(v.string("must be a text"), v.minLength(1, "must not be empty"));
const flag = v.nullish(v.boolean("must be true or false"), false);

/** What other products put here and this one has no use for. */
const unused = Object.fromEntries(
  ["ClientVisibleUrl", "IgnoredClient", "SkipIndexReplication"].map((
    name,
  ) => [name, v.optional(v.unknown())]),
);

const documentSchema = v.object({ Destinations: v.array(v.unknown()) });

const entrySchema = v.strictObject({
  ...unused,
  Url: word,
  Database: v.nullish(word),
  ApiKey: v.nullish(word),
  Disabled: flag,
  TransitiveReplicationBehavior: v.nullish(
    v.picklist(["None", "Replicate"], "must be None or Replicate"),
    "None",
  ),
  SpecifiedCollections: v.nullish(
    v.pipe(
      v.array(v.string("must be names of collections"), "must be a list of collections"),
      v.minLength(1, "names no collection: leave it out to send all"),
    ),
  ),
});

function destinationOf(entry: unknown): Destination {
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) refuse("it must be an object");
  const result = v.safeParse(entrySchema, entry);
  if (!result.success) refuse(problemOf(result.issues));
  const { Url, Database, ApiKey, Disabled, TransitiveReplicationBehavior, SpecifiedCollections } =
    result.output;
  const transitive = TransitiveReplicationBehavior === "Replicate";
  const named = SpecifiedCollections?.map((name) => collectionKey(collectionName(name))).sort() ?? null;
  const collections = named === null ? null : [...new Set(named)];
  return {
    url: databaseUrl(Url, Database ?? undefined),
    apiKey: ApiKey ?? null,
    disabled: Disabled,
    transitive,
    collections,
    filter: [transitive ? "transitive" : "", collections === null ? "" : `only=${collections.join()}`]
      .filter((part) => part !== "").join(":"),
  };
}

/** A member that is not known is refused: a filter that is misspelt would send everything. */
function problemOf(issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]): string {
  const unknown = issues.find(({ expected }) => expected === "never"), issue = unknown ?? issues[0];
  const path = v.getDotPath(issue) ?? "";
  if (unknown !== undefined) {
    return `${path} is not known; there are ${Object.keys(entrySchema.entries).sort().join(", ")}`;
  }
  return issue.received === "undefined" ? `${path} is missing` : `${path} ${issue.message}`;
}

function unreadable(message: string): Destinations {
  return { destinations: [], problems: [{ index: null, message: `Nothing is sent to anybody: ${message}` }] };
}

function shown(value: string): string {
  return JSON.stringify(value.slice(0, 200));
}

function refuse(message: string): never {
  throw new DfdbError("bad_request", message);
}
