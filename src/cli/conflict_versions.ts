/** What a node tells of a key: its versions, and whether somebody has to say what they make. */
import { DfdbError } from "../base/errors.ts";
import { elementTexts, memberTexts, storedText } from "../node/json_texts.ts";
import { fieldsOf, numberIn, textIn } from "./fields.ts";
import type { HttpClient } from "./http_client.ts";

export interface ShownVersion {
  /** `<run>-<seq>` of the entry that made it. */
  readonly id: string;
  /** JSON text of the document, to the letter; null: it is a deletion, or the node did not tell it. */
  readonly text: string | null;
  readonly deleted: boolean;
  /** JSON text of `@metadata`. */
  readonly metadata: string;
  /** Id of the database that wrote it. */
  readonly writer: string | null;
  /** ISO 8601. */
  readonly modified: string | null;
}

export interface KeyVersions {
  readonly key: string;
  /** `conflict`; `chosen`, `deleted`: a policy has chosen from them; `single`: there is one. */
  readonly state: "conflict" | "chosen" | "deleted" | "single";
  /** Of the conflict, or of the document. */
  readonly etag: string | null;
  /** Id of the version that is shown; null: none of them. */
  readonly shown: string | null;
  /** In the order of the set, so alike on all nodes. */
  readonly versions: readonly ShownVersion[];
}

/** Path of a key, and of one of its versions. */
export function keyPath(key: string, version?: string): string {
  return `/docs/${encodeURIComponent(version === undefined ? key : `${key}/conflicts/${version}`)}`;
}

/** Rejects with `not_found` where there is neither a document nor a version to choose from. */
export async function versionsOfKey(client: HttpClient, key: string): Promise<KeyVersions> {
  const { text, body, etag, error } = await client.answer("GET", `${keyPath(key)}?metadata=true`);
  if (error === null) return await chosen(client, key, { text, etag });
  const isOpen = error.code === "conflict";
  if (!isOpen && error.code !== "not_found" || !Array.isArray(fieldsOf(body)["Versions"])) throw error;
  const versions = elementTexts(memberTexts(text).get("Versions") ?? "[]").map(versionOf);
  return { key, state: isOpen ? "conflict" : "deleted", etag, shown: null, versions };
}

/** The text of a version that the node left out because all of them together are large. Rejects with `not_found`. */
export async function textOfVersion(client: HttpClient, key: string, id: string): Promise<string> {
  return storedText(await client.text(keyPath(key, id)));
}

/** A document, and the versions from which it was chosen. */
async function chosen(
  client: HttpClient,
  key: string,
  { text, etag }: { readonly text: string; readonly etag: string | null },
): Promise<KeyVersions> {
  const metadata = memberTexts(text).get("@metadata");
  if (metadata === undefined) {
    throw new DfdbError("bundle_not_active", `${client.url} keeps no versions: it is no master`);
  }
  const facts = fieldsOf(JSON.parse(metadata)), ids = facts["Raven-Replication-Versions"];
  const run = textIn(facts, "Raven-Replication-Run"), seq = numberIn(facts, "Raven-Replication-Version");
  const shown = run === null || seq === null ? null : `${run}-${seq}`;
  if (!Array.isArray(ids)) {
    const only = version(shown ?? "", storedText(text), metadata);
    return { key, state: "single", etag, shown, versions: [only] };
  }
  const versions = await Promise.all(ids.map(async (id) => {
    const found = await client.text(keyPath(key, String(id)));
    return version(String(id), storedText(found), memberTexts(found).get("@metadata") ?? "{}");
  }));
  return { key, state: "chosen", etag, shown, versions };
}

/** An element of `Versions`. */
function versionOf(text: string): ShownVersion {
  const members = memberTexts(text);
  const id = JSON.parse(members.get("id") ?? '""') as string;
  return version(id, members.get("document") ?? null, members.get("@metadata") ?? "{}");
}

function version(id: string, text: string | null, metadata: string): ShownVersion {
  const facts = fieldsOf(JSON.parse(metadata)), deleted = facts["Raven-Delete-Marker"] === true;
  return {
    id,
    text: deleted ? null : text,
    deleted,
    metadata,
    writer: textIn(facts, "Raven-Replication-Source"),
    modified: textIn(facts, "Last-Modified"),
  };
}

/** As people type it: 8 digits of the run where no other version has the same, else all. */
export function shortId(id: string, versions: readonly ShownVersion[]): string {
  const short = shortOf(id);
  return versions.filter((other) => shortOf(other.id) === short).length > 1 ? id : short;
}

function shortOf(id: string): string {
  const [run = "", seq = ""] = id.split("-");
  return `${run.slice(0, 8)}-${seq}`;
}

/** The version that `text` names: its id, or the beginning of one, or its short form. Throws `not_found`, `bad_request` when several do. */
export function namedVersion({ key, versions }: KeyVersions, text: string): ShownVersion {
  const exact = versions.filter(({ id }) => id === text || shortOf(id) === text);
  const found = exact.length > 0 ? exact : versions.filter(({ id }) => id.startsWith(text));
  if (found.length === 1) return found[0] as ShownVersion;
  const ids = versions.map(({ id }) => shortId(id, versions)).join(", ");
  if (found.length === 0) {
    throw new DfdbError("not_found", `${key} has no version ${text}; there are ${ids}`);
  }
  throw new DfdbError("bad_request", `${text} is the beginning of several versions of ${key}: ${ids}`);
}
