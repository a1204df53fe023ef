/** The bundle switched on in a database with documents, while it is written. */
import assert from "node:assert/strict";
import test from "node:test";
import { documentIdOf } from "../../src/base/ids.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { limits } from "../../src/base/limits.ts";
import { activateReplication } from "../../src/engine/activate_bundle.ts";
import { deleteDocument, putDocument } from "../../src/engine/commands.ts";
import type { VersionView } from "../../src/storage/versions.ts";
import { withDatabase } from "../tool/database_rig.ts";

test("adopt existing: what is written meanwhile has its version, and comes after it", async () => {
  await withDatabase(async ({ storage, engine, insert }) => {
    const count = 3 * limits.reclaimRows + 1;
    await insert("orders", Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, { n: i }])));
    await assert.rejects(engine.submit(activateReplication(false)), { code: "conflict" });
    const before = storage.log.last.seq, any = (): void => {};
    const put = (id: string) =>
      engine.submit(putDocument("orders", { id: documentIdOf(id), body: utf8("{}") }, any));
    const [first, adopted, second, third] = await Promise.all([
      put("k1"),
      engine.submit(activateReplication(true)),
      put("k1"),
      engine.submit(deleteDocument("orders", documentIdOf("k2"), any)),
    ]);
    assert.deepEqual([first, adopted, second, third].map(({ position }) => position.seq - before), [
      1,
      2,
      3,
      4,
    ]);
    assert.equal(adopted.value, true);
    storage.read(({ versions, collection: _ }) => {
      const view = versions as VersionView, at = (id: string) => view.get("orders", documentIdOf(id));
      assert.deepEqual(at("k1")?.versions.map(({ dot }) => dot.seq), [before + 3]);
      assert.deepEqual([at("k2")?.shown.kind, at("k2")?.versions.length], ["deleted", 1]);
      assert.deepEqual(at("k3")?.versions.map(({ dot }) => dot.seq), [before]);
    });
    const found = storage.read(({ versions }) =>
      (versions as VersionView).changedSince(0 as never, { keysMax: 1e6, bytesMax: 2 ** 30 })
    );
    assert.equal(found.keys.length, count);
    assert.equal((await engine.submit(activateReplication(true))).value, false);
  });
});
