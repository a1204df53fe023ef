import assert from "node:assert/strict";
import { test } from "node:test";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { accessSuite } from "./http_access_suite.ts";
import { adminSuite } from "./http_admin_suite.ts";
import { badInputSuite } from "./http_bad_input_suite.ts";
import { bulkSuite } from "./http_bulk_suite.ts";
import { byFieldSuite } from "./http_by_field_suite.ts";
import { changesSuite } from "./http_changes_suite.ts";
import { collectionsSuite } from "./http_collections_suite.ts";
import { conflictsSuite } from "./http_conflicts_suite.ts";
import { controlSuite } from "./http_control_suite.ts";
import { docsSuite } from "./http_docs_suite.ts";
import { documentsSuite } from "./http_documents_suite.ts";
import type { It, Transport } from "./http_fixture.ts";
import { withNode } from "./http_fixture.ts";
import { idempotencySuite } from "./http_idempotency_suite.ts";
import { keysSuite } from "./http_keys_suite.ts";
import { indexSuite } from "./http_index_suite.ts";
import { patchSuite } from "./http_patch_suite.ts";
import { positionSuite } from "./http_position_suite.ts";
import { querySuite } from "./http_query_suite.ts";
import { schemaSuite } from "./http_schema_suite.ts";
import { seedSuite } from "./http_seed_suite.ts";
import { ttlSuite } from "./http_ttl_suite.ts";
import { transactionSuite } from "./http_tx_suite.ts";
import { verifySuite } from "./http_verify_suite.ts";
import { violationsSuite } from "./http_violations_suite.ts";

/** The HTTP API as clients see it, over any way to reach it. */
export function httpApiSuite(runtime: Runtime, transport: Transport): void {
  const it: It = (what, run, options = {}) =>
    void test(`http api, ${transport.name}: ${what}`, () =>
      withNode(runtime, transport, options, async (node) => {
        await run(node);
        assert.equal((await node.request("GET", "/health")).status, 200, "whatever was sent, it answers on");
      }));
  documentsSuite(it);
  docsSuite(it);
  conflictsSuite(it);
  collectionsSuite(it);
  bulkSuite(it);
  transactionSuite(it);
  patchSuite(it);
  querySuite(it);
  indexSuite(it);
  byFieldSuite(it);
  schemaSuite(it);
  ttlSuite(it);
  seedSuite(it);
  accessSuite(it);
  keysSuite(it);
  idempotencySuite(it);
  badInputSuite(it);
  verifySuite(it);
  violationsSuite(it);
  adminSuite(it);
  changesSuite(it);
  controlSuite(it);
  positionSuite(it);
}
