/** The scoped keys as requests are checked against them: in memory, read anew when one has changed. */
import type { KnownKey } from "../engine/api_keys.ts";
import { keysOf, secretHash } from "../engine/api_keys.ts";
import type { HttpDependencies, KnownKeys } from "./types.ts";

/** While no entry came to the log, asking costs nothing; else the comparison of two numbers. */
export function knownKeys(
  { storage, engine, crypto }: Pick<HttpDependencies, "storage" | "engine" | "crypto">,
): KnownKeys {
  let stale = true, version = -1, keys: ReadonlyMap<string, KnownKey> = new Map();
  engine.committed.subscribe(() => {
    stale = true;
  });
  const current = (): typeof keys => {
    if (!stale) return keys;
    storage.read((view) => {
      if (view.settingsVersion === version) return;
      keys = new Map(keysOf(view).map((key) => [key.hash, key]));
      version = view.settingsVersion;
    });
    stale = false;
    return keys;
  };
  return {
    any: () => current().size > 0,
    find(secret) {
      if (current().size === 0) return null;
      // A hash tells nothing of how near a guess was, so looking it up need not take the same time always.
      const hash = secretHash(crypto, secret);
      return hash === null ? null : keys.get(hash) ?? null;
    },
  };
}
