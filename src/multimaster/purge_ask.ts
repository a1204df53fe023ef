import { limits } from "../base/limits.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Storage } from "../storage/storage.ts";
import { documentIdOf } from "../base/ids.ts";
import { readDestinations } from "./destinations.ts";
import type { PurgerOptions } from "./purge.ts";
import type { ReceiverClientOptions } from "./receiver_client.ts";
import { ReceiverClient } from "./receiver_client.ts";
import { relianceOf } from "./reliance.ts";
import { systemDocument } from "./system_documents.ts";

export interface AskerOptions extends Omit<ReceiverClientOptions, "reliance"> {
  readonly storage: Pick<Storage, "databaseId" | "read" | "log">;
  readonly clock: Pick<Clock, "timer">;
  /** The key of this node's own, for peers that are no destination with one; null: none. */
  readonly apiKey: () => string | null;
  readonly requestMs?: number;
}

const destinationsId = documentIdOf("Replication/Destinations");

/** Asks peers where they stand, by the request that senders make: also those that only send to this database. */
export function asker(options: AskerOptions): PurgerOptions["ask"] {
  const { storage, clock, apiKey, requestMs = limits.masterRequestMsDefault } = options;
  const client = new ReceiverClient({ ...options, reliance: relianceOf(storage) });
  return async ({ url }) => {
    if (!/^https?:\/\//.test(url)) return null;
    const abort = new AbortController();
    const late = clock.timer(requestMs, () => abort.abort(new Error(`No answer within ${requestMs} ms`)));
    const reply = await client.lastEtag({ url, apiKey: keyFor(url) ?? apiKey(), filter: "" }, abort.signal);
    late.cancel();
    if ("error" in reply) return null;
    const { answer: { databaseId, term }, history, seq, received: holds } = reply;
    return { databaseId, term, seq, history, holds };
  };

  function keyFor(url: string): string | null {
    const { destinations } = readDestinations(storage.read((view) => systemDocument(view, destinationsId)));
    return destinations.find((one) => one.url === url)?.apiKey ?? null;
  }
}
