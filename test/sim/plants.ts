/** Mistakes that can be planted into the code under test, to see the checkers find them. Nothing outside the tests knows of them. */
import { featurePlants } from "./plants/feature_plants.ts";
import { feedPlants } from "./plants/feed_plants.ts";
import { historyPlants } from "./plants/history_plants.ts";
import { indexPlants } from "./plants/index_plants.ts";
import { leadershipPlants } from "./plants/leadership_plants.ts";
import { leasePlants } from "./plants/lease_plants.ts";
import { logPlants } from "./plants/log_plants.ts";
import { mastersPlants } from "./plants/masters_plants.ts";
import type { Plant } from "./plants/plant.ts";
import { readPlants } from "./plants/read_plants.ts";
import { streamPlants } from "./plants/stream_plants.ts";
import { syncPlants } from "./plants/sync_plants.ts";
import { writePlants } from "./plants/write_plants.ts";

export type { Plant };

export const plants: Readonly<Record<string, Plant>> = {
  ...streamPlants,
  ...syncPlants,
  ...writePlants,
  ...readPlants,
  ...historyPlants,
  ...featurePlants,
  ...feedPlants,
  ...indexPlants,
  ...logPlants,
  ...leadershipPlants,
  ...leasePlants,
  ...mastersPlants,
};

export const plantNames: readonly string[] = Object.keys(plants);
