import { limits } from "../base/limits.ts";
import type { DestinationStatus } from "../multimaster/outgoing_events.ts";
import { Purger } from "../multimaster/purge.ts";
import { asker } from "../multimaster/purge_ask.ts";
import type { MastersOptions } from "./master_parts.ts";
import { settledWall } from "./settled_wall.ts";

/** The purger of one leadership, which begins with its `start`. `ownUrl`: under which other masters know the database. */
export function startPurger(
  { runtime: { clock, fetch }, settings, storage, engine, logger }: MastersOptions,
  ownUrl: string,
  destinations: () => readonly DestinationStatus[],
): Purger {
  const { masterRequestMs: requestMs, apiKey } = settings;
  const ask = asker({
    ...{ storage, clock, fetch, requestMs, databaseId: storage.databaseId },
    ownUrl: () => ownUrl,
    apiKey: () => apiKey,
  });
  return new Purger({
    storage,
    engine,
    clock,
    logger,
    destinations,
    ask,
    wall: settledWall(clock, limits.wallSettleMs),
  });
}
