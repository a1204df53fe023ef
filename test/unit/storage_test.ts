import { openNodeStore } from "../../src/storage/sqlite/open_node_store.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { storageSuite } from "../suites/storage_suite.ts";

storageSuite({ openStorage, openNodeStore });
