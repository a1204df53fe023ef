import type { DatabaseId } from "../base/ids.ts";
import type { ThinningBand } from "../multimaster/backoff.ts";
import { thinningDefault } from "../multimaster/backoff.ts";
import type { Sender } from "../multimaster/sender.ts";
import { sender } from "../multimaster/sender.ts";
import type { FailureNotes } from "./failure_notes.ts";
import type { MastersOptions } from "./master_parts.ts";
import type { Settings } from "./settings.ts";

/** The sender of one leadership, started. `ownUrl`: under which other masters know the database. */
export function startSender(
  { runtime: { clock, fetch, crypto }, settings, storage, engine, logger }: MastersOptions,
  notes: FailureNotes,
  ownUrl: string,
  met: (databaseId: DatabaseId, url: string) => void,
): Sender {
  const { masterRequestMs: requestMs, masterTriedEvery, apiKey } = settings;
  const task = sender({
    storage,
    committed: engine.committed,
    clock,
    fetch,
    sha256: (bytes) => crypto.sha256(bytes),
    logger,
    ownUrl: () => ownUrl,
    apiKey: () => apiKey,
    failures: {
      read: () => new Map(notes.all().map(({ url, count }) => [url, count])),
      note: ({ url }, count, error) => notes.note(url, count, error),
      clear: (url) => notes.clear(url),
    },
    met,
    requestMs,
    thinning: thinningOf(masterTriedEvery) ?? thinningDefault,
  });
  task.start();
  return task;
}

/** The setting as bands; null: it is not as it must be. */
export function thinningOf(text: Settings["masterTriedEvery"]): readonly ThinningBand[] | null {
  const divisors = text.split(",").map((each) => each.trim());
  if (divisors.length !== thinningDefault.length) return null;
  if (!divisors.every((each) => /^[1-9][0-9]{0,8}$/.test(each))) return null;
  return thinningDefault.map(({ above }, i) => ({ above, every: Number(divisors[i]) }));
}
