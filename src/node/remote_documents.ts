/** Documents of another node, read and written over its HTTP API with preconditions. */
import * as v from "valibot";
import { DfdbError, isErrorCode, messageOf } from "../base/errors.ts";
import { systemCollection } from "../document/names.ts";
import type { Runtime } from "../runtime/runtime.ts";

export interface Current {
  readonly etag: string;
  /** JSON of the document without what the server adds; null: the key is in conflict, and the etag that of the conflict. */
  readonly content: string | null;
}

/** `refused`: this document is not taken, whatever is there; null: the precondition did not hold. */
export type WriteAnswer =
  | { readonly done: true; readonly etag: string | null }
  | { readonly done: false; readonly refused: string | null };

/** All reject with the server's error when it concerns more than one document, `unreachable` when there is no answer. */
export interface RemoteDocuments {
  collections(): Promise<readonly string[]>;
  read(collection: string, id: string): Promise<Current | null>;
  /** Writes `doc` (JSON text; null deletes) if the document's etag is `before` (null: if there is none). */
  write(collection: string, id: string, doc: string | null, before: string | null): Promise<WriteAnswer>;
}

const failure = v.object({ code: v.string(), error: v.string() });
const written = v.object({ etag: v.string() });
const names = v.object({ collections: v.array(v.string()) });

/** Codes that say: not as it was expected to be. */
const mismatches: readonly string[] = [
  "precondition_failed",
  "position_lost",
  "not_found",
  "collection_not_found",
  "conflict",
  "condition_failed",
  "duplicate_key",
];
const refusals: readonly string[] = ["bad_request", "reserved_id", "payload_too_large"];

interface Answer {
  readonly text: string;
  /** Without its quotes; null: it has none. */
  readonly etag: string | null;
  /** Null when it succeeded. */
  readonly error: DfdbError | null;
}

export function remoteDocuments(
  { runtime, url, apiKey }: {
    readonly runtime: Pick<Runtime, "fetch">;
    readonly url: string;
    readonly apiKey: string | null;
  },
): RemoteDocuments {
  const base = url.replace(/\/+$/, "");
  const request = async (
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: string,
  ): Promise<Answer> => {
    const key: Record<string, string> = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
    let response: Response, text: string, etag: string | null;
    try {
      response = await runtime.fetch(`${base}${path}`, {
        method,
        headers: { ...headers, ...key },
        ...(body === undefined ? {} : { body }),
      });
      etag = response.headers.get("etag")?.replaceAll('"', "") ?? null;
      text = await response.text();
    } catch (cause) {
      throw new DfdbError("unreachable", `No answer from ${base}: ${messageOf(cause)}`, { cause });
    }
    return {
      text,
      etag,
      error: response.ok ? null : errorOf(base, response.status, text),
    };
  };
  const documentPath = (collection: string, id: string): string =>
    collection === systemCollection
      ? `/docs/${encodeURIComponent(`${collection}/${id}`)}`
      : `/collections/${encodeURIComponent(collection)}/${encodeURIComponent(id)}`;
  return {
    async collections() {
      const { text, error } = await request("GET", "/collections");
      if (error !== null) throw error;
      return v.parse(names, JSON.parse(text)).collections;
    },
    async read(collection, id) {
      const { text, etag, error } = await request("GET", documentPath(collection, id));
      if (error !== null) {
        if (error.code === "conflict" && etag !== null) return { etag, content: null };
        if (error.code === "not_found" || error.code === "collection_not_found") return null;
        throw error;
      }
      const { _id, _etag, "@metadata": _metadata, ...content } = JSON.parse(text) as Record<string, unknown>;
      return { etag: String(_etag), content: JSON.stringify(content) };
    },
    async write(collection, id, doc, before) {
      const condition: Record<string, string> = before === null
        ? { "if-none-match": "*" }
        : { "if-match": `"${before}"` };
      const path = documentPath(collection, id);
      const { text, error } = doc === null
        ? await request("DELETE", path, condition)
        : await request("PUT", path, { ...condition, "content-type": "application/json" }, doc);
      if (error === null) {
        const found = doc === null ? null : v.safeParse(written, JSON.parse(text));
        return { done: true, etag: found?.success === true ? found.output.etag : null };
      }
      if (mismatches.includes(error.code)) return { done: false, refused: null };
      if (refusals.includes(error.code)) return { done: false, refused: `${error.code}: ${error.message}` };
      throw error;
    },
  };
}

function errorOf(base: string, status: number, text: string): DfdbError {
  let value: unknown = null;
  try {
    value = JSON.parse(text);
  } catch {
    // Not one of ours.
  }
  const found = v.safeParse(failure, value);
  if (found.success && isErrorCode(found.output.code)) {
    const { leader } = value as { readonly leader?: unknown };
    const hint = typeof leader === "string" ? `; the leader is ${leader}` : "";
    return new DfdbError(found.output.code, `${base}: ${found.output.error}${hint}`);
  }
  return new DfdbError("internal", `${base} answered ${status}, and not as a node of dfdb does`);
}
