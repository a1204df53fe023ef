import type { openNodeStore } from "../../src/storage/sqlite/open_node_store.ts";
import type { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { applySuite } from "./storage_suite_apply.ts";
import { exchangeSuite } from "./storage_suite_exchange.ts";
import { failureSuite } from "./storage_suite_failures.ts";
import { indexModelSuite } from "./storage_suite_index_model.ts";
import { indexSuite } from "./storage_suite_indexes.ts";
import { logSuite } from "./storage_suite_log.ts";
import { nodeStoreSuite } from "./storage_suite_node_store.ts";
import { openingSuite } from "./storage_suite_opening.ts";
import { snapshotSuite } from "./storage_suite_snapshot.ts";
import { recentSuite } from "./storage_suite_recent.ts";
import { slicesSuite } from "./storage_suite_slices.ts";
import { trimModelSuite } from "./storage_suite_trim_model.ts";
import { trimSuite } from "./storage_suite_trim.ts";
import { selectSuite } from "./storage_suite_select.ts";
import { uniqueSuite } from "./storage_suite_unique.ts";
import { adoptSuite } from "./storage_suite_adopt.ts";
import { newIdentitySuite } from "./storage_suite_new_identity.ts";
import { versionsSuite } from "./storage_suite_versions.ts";
import { versionsFilesSuite } from "./storage_suite_versions_files.ts";
import { versionsModelSuite } from "./storage_suite_versions_model.ts";
import { writeSuite } from "./storage_suite_write.ts";

/** What the suite is run over. */
export interface StorageOpeners {
  readonly openStorage: typeof openStorage;
  readonly openNodeStore: typeof openNodeStore;
}

/** Every promise of `src/storage/storage.ts` and `log.ts`. */
export function storageSuite(openers: StorageOpeners): void {
  writeSuite(openers);
  applySuite(openers);
  logSuite(openers);
  recentSuite(openers);
  slicesSuite(openers);
  trimSuite(openers);
  trimModelSuite(openers);
  snapshotSuite(openers);
  exchangeSuite(openers);
  openingSuite(openers);
  failureSuite(openers);
  indexSuite(openers);
  indexModelSuite(openers);
  uniqueSuite(openers);
  selectSuite(openers);
  versionsSuite(openers);
  versionsFilesSuite(openers);
  versionsModelSuite(openers);
  newIdentitySuite(openers);
  adoptSuite(openers);
  nodeStoreSuite(openers);
}
