/** `dfdb conflicts resolve`: one key by a person's word, or all of them by the policy of the database. */
import { concat, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KeyVersions } from "./conflict_versions.ts";
import { keyPath, namedVersion, shortId, textOfVersion, versionsOfKey } from "./conflict_versions.ts";
import { fieldsOf, numberIn, textIn } from "./fields.ts";
import type { HttpClient } from "./http_client.ts";
import { inputBytes } from "./input_bytes.ts";
import { number, plain } from "./table.ts";

/** As given on the command line. */
export interface ResolveFlags {
  readonly apiKey?: string;
  readonly take?: string;
  readonly file?: string;
  readonly delete?: true;
  readonly etag?: string;
  readonly all?: true;
  readonly policy?: string;
}

/**
 * Answers the exit code. Only the versions that were looked at are replaced. Rejects with `precondition_failed` where the key is not as it was shown, `not_found`
 * where it is not in conflict, and what the node refuses.
 */
export async function resolveKey(
  runtime: Runtime,
  client: HttpClient,
  key: string,
  flags: ResolveFlags,
): Promise<number> {
  const { take, file, delete: remove, all, policy } = flags;
  const ways = [take, file, remove].filter((way) => way !== undefined).length;
  if (ways !== 1 || all === true || policy !== undefined) {
    throw new DfdbError("bad_request", "give one of --take, --file and --delete; --all goes without a key");
  }
  const found = await conflictOf(client, key, flags.etag), { versions, etag } = found;
  const taken = take === undefined ? null : namedVersion(found, take);
  const text = taken !== null
    ? taken.deleted ? null : taken.text ?? await textOfVersion(client, key, taken.id)
    : file === undefined
    ? null
    : await fileText(runtime, file);
  const { error, body } = await client.answer(
    text === null ? "DELETE" : "PUT",
    keyPath(key),
    text ?? undefined,
    undefined,
    { "if-match": `"${etag}"` },
  );
  if (error !== null) throw error.code === "precondition_failed" ? changed(client, key) : error;
  const written = textIn(fieldsOf(body), "etag");
  const what = text === null ? "deleted" : written === null ? "settled" : `settled, ETag ${written}`;
  const which = taken === null ? "" : ` with ${shortId(taken.id, versions)}`;
  runtime.process.stdout(
    `${plain(key)}: ${what}${which}; it takes the place of ${versions.length} versions\n`,
  );
  return 0;
}

/** The conflict of a key; with `etag` that one alone. */
async function conflictOf(client: HttpClient, key: string, etag: string | undefined): Promise<KeyVersions> {
  let found: KeyVersions | null = null;
  try {
    found = await versionsOfKey(client, key);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError) || thrown.code !== "not_found") throw thrown;
  }
  if (etag !== undefined && found?.etag !== etag.replaceAll('"', "")) throw changed(client, key);
  if (found?.state === "conflict") return found;
  throw new DfdbError("not_found", `${key} is not in conflict: write it as any document`);
}

function changed({ url }: HttpClient, key: string): DfdbError {
  return new DfdbError(
    "precondition_failed",
    `${key} is not as it was shown: another version has come, or it is settled; nothing was written. Look again with dfdb conflicts show ${url} ${key}`,
  );
}

async function fileText(runtime: Runtime, given: string): Promise<string> {
  const input = await inputBytes(runtime, given), chunks: Uint8Array[] = [];
  try {
    for await (const chunk of input.chunks) chunks.push(chunk);
    return utf8Text(concat(chunks));
  } catch (cause) {
    if (cause instanceof DfdbError) throw cause;
    throw new DfdbError("bad_request", `${input.name ?? "standard input"} is not UTF-8`, { cause });
  } finally {
    await input.close();
  }
}

/** Answers the exit code. The node applies the policy that its database has; what that leaves to people stays open. */
export async function resolveAll(
  { process }: Runtime,
  client: HttpClient,
  { all, take, file, delete: remove, etag, policy }: ResolveFlags,
): Promise<number> {
  if (all !== true || [take, file, remove, etag].some((way) => way !== undefined)) {
    throw new DfdbError("bad_request", "name a key with --take, --file or --delete, or give --all alone");
  }
  const configured = textIn(fieldsOf(await client.json("GET", "/replication/info")), "policy");
  if (policy !== undefined && policy !== configured) throw otherPolicy(client, policy, configured);
  const answer = fieldsOf(await client.json("POST", "/replication/resolve"));
  const resolved = numberIn(answer, "resolved") ?? 0, open = numberIn(answer, "open") ?? 0;
  process.stdout(
    `${number(resolved)} settled by the policy ${plain(configured ?? "?")}, ${number(open)} left to people\n`,
  );
  return open === 0 ? 0 : 2;
}

function otherPolicy({ url }: HttpClient, wanted: string, configured: string | null): DfdbError {
  return new DfdbError(
    "conflict",
    `the policy of ${url} is ${
      configured ?? "not known"
    }, not ${wanted}: write it to Raven/Replication/Config on all masters first`,
  );
}
