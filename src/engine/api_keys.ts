/**
 * Scoped API keys: documents of the reserved collection `_keys`, so that a key that was made at the leader counts at every node. Only the hash of the
 * secret is kept; the secret has 256 bits of chance, so there is nothing to guess and no need to make guessing slow.
 */
import { hex, utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Operation } from "../document/operation.ts";
import type { Crypto, Random } from "../runtime/runtime.ts";
import type { ReadView } from "../storage/storage.ts";
import { checkCollections } from "./commands.ts";
import type { Grants } from "./key_scopes.ts";
import { allows, grantsOf } from "./key_scopes.ts";
import type { Plan } from "./plan.ts";

export const keysCollection = "_keys";

export interface ApiKey {
  readonly id: DocumentId;
  readonly scopes: readonly string[];
  readonly description: string | null;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}

/** A key as it counts. */
export interface KnownKey extends ApiKey {
  /** SHA-256 of the secret, hex. */
  readonly hash: string;
  readonly grants: Grants;
}

/** What is asked for a new key. */
export interface KeyRequest {
  readonly id: DocumentId;
  readonly hash: string;
  readonly scopes: readonly string[];
  readonly description: string | null;
}

/** Every secret begins so: what does not is not looked up. */
const secretPrefix = "dfdb_";
const overhead = 1_024;

/** A secret that nobody can guess; it is told once and kept nowhere. */
export function newSecret(random: Random): string {
  const text = btoa(String.fromCharCode(...random.bytes(32)));
  return secretPrefix + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** As it is kept; null: no key has such a secret. */
export function secretHash(crypto: Crypto, secret: string): string | null {
  return secret.startsWith(secretPrefix) ? hex(crypto.sha256(utf8(secret))) : null;
}

/** All keys, in the order in which they were made. */
export function keysOf(view: ReadView): readonly KnownKey[] {
  const info = view.collection(keysCollection), keys: KnownKey[] = [];
  if (info === null) return keys;
  const page = { documentsMax: limits.apiKeysMax, bytesMax: limits.listBytesMax };
  for (let after: number | null = 0; after !== null;) {
    const { documents, next }: ReturnType<ReadView["page"]> = view.page(info.number, after, page);
    for (const { id, body } of documents) {
      const kept = JSON.parse(body) as Omit<KnownKey, "id" | "grants">;
      keys.push({ id, ...kept, grants: grantsOf(kept.scopes) });
    }
    after = next;
  }
  return keys;
}

/**
 * Makes a key. Throws `bad_request` for what is no scope, for too many keys, and, unless `otherAdmin` (somebody may do everything without a
 * key of ours), for a first key that is not an admin's: from then on nobody could make or revoke one.
 */
export function addKey(asked: KeyRequest, otherAdmin: boolean): Plan<ApiKey> {
  const { id, hash, scopes, description } = asked, { admin } = grantsOf(scopes);
  return {
    bytes: overhead + JSON.stringify(scopes).length + (description?.length ?? 0),
    run(tx, wallMs) {
      const info = tx.collection(keysCollection), count = info?.documents ?? 0;
      if (count === 0 && !admin && !otherAdmin) {
        throw new DfdbError(
          "bad_request",
          'The first key must have the scope "*": without one nobody could make or revoke keys any more',
        );
      }
      if (count >= limits.apiKeysMax) {
        throw new DfdbError(
          "bad_request",
          `There are ${count} keys, and no more than that are kept; revoke some`,
        );
      }
      const createdAt = new Date(wallMs).toISOString(), operations: Operation[] = [];
      let collection = info?.number;
      if (collection === undefined) {
        checkCollections(tx.collections().length);
        collection = tx.newCollectionNumber();
        operations.push({ kind: "createCollection", collection, name: keysCollection });
      }
      const body = utf8(JSON.stringify({ hash, scopes, description, createdAt }));
      operations.push({ kind: "put", collection, id, previous: seqOf(0), body });
      tx.append(operations, wallMs);
      return { id, scopes, description, createdAt };
    },
  };
}

/**
 * Revokes a key. Throws `not_found`; `conflict` for the last one of an admin while there are others, unless `otherAdmin`. The very last
 * may go: where no other key is configured either, the door is open again.
 */
export function removeKey(id: string, otherAdmin: boolean): Plan<void> {
  return {
    bytes: overhead,
    run(tx, wallMs) {
      const info = tx.collection(keysCollection), key = documentIdOf(id);
      const previous = info === null ? seqOf(0) : tx.documentSeq(info.number, key);
      if (info === null || previous === 0) throw new DfdbError("not_found", "There is no key of this id");
      const others = otherAdmin ? [] : keysOf(tx).filter((other) => other.id !== key);
      if (others.length > 0 && !others.some(({ grants }) => allows(grants, "admin", ""))) {
        throw new DfdbError(
          "conflict",
          'This is the last key with the scope "*": without it nobody could make or revoke keys. Make another one first, or revoke the others before it',
        );
      }
      tx.append([{ kind: "delete", collection: info.number, id: key, previous }], wallMs);
    },
  };
}
