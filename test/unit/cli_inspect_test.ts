/** `dfdb inspect`: files that are closed, open, copied, and none of ours. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import test from "node:test";
import { inFolder } from "../suites/storage_fixture.ts";
import { runCli } from "../tool/cli_rig.ts";
import { embedded } from "../tool/embedding.ts";

async function filled(file: string) {
  const db = await embedded.openDatabase(file);
  await db.bulkInsert("orders", [{ _id: "a", n: 1 }, { _id: "b", n: 2 }, { _id: "c" }]);
  await db.createIndex("orders", ["n", "m.x"], { name: "by_n", unique: true });
  return db;
}

test("inspect: a closed file is read without a trace", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/shop #1?.dfdb`, db = await filled(file);
    const position = db.position;
    await db.close();
    const before = readdirSync(folder).sort(), bytes = readFileSync(file), { mtimeMs } = statSync(file);
    const { code, out, err } = await runCli(["inspect", file]);
    assert.deepEqual([code, err], [0, ""]);
    assert.ok(out.includes(`position:     ${position}, last change `), out);
    assert.match(out, /^state: +closed cleanly$/m);
    assert.match(out, /^database: +[0-9a-f]{32}, made \d{4}-/m);
    assert.match(out, /^terms: +1, the last in epoch 1 by node [0-9a-f]{32}$/m);
    assert.match(out, /^log: +entries 1 to \d+, /m);
    assert.match(out, /^node: +[0-9a-f]{32}: none, highest epoch seen 1/m);
    assert.match(out, /^orders +3$/m);
    assert.match(out, /^ {2}by_n +3 +n, m\.x +unique$/m);
    assert.deepEqual(readdirSync(folder).sort(), before);
    assert.deepEqual(readFileSync(file), bytes);
    assert.equal(statSync(file).mtimeMs, mtimeMs);
    const json = JSON.parse((await runCli(["inspect", file, "--json"])).out) as Record<string, unknown>;
    assert.equal(json["positionText"], position);
    assert.deepEqual([json["clean"], json["walBytes"], json["holder"]], [true, null, null]);
  });
});

test("inspect: while it is open elsewhere, what was committed last is shown, with who has it", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/shop.dfdb`, db = await filled(file);
    try {
      await db.put("late", "x", {});
      const { code, out } = await runCli(["inspect", file]);
      assert.equal(code, 0);
      assert.match(out, /^state: +open in process \d+ on .*, or that ended without closing it$/m);
      assert.ok(out.includes(`position:     ${db.position}, `), out);
      assert.match(out, /^late +1$/m);
      await db.put("late", "y", {});
    } finally {
      await db.close();
    }
    assert.match((await runCli(["inspect", file])).out, /^late +2$/m);
  });
});

test("inspect: a copy without its node, a copy of a file in use, and what is no file of ours", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/shop.dfdb`, db = await filled(file), away = `${folder}/away`;
    mkdirSync(away);
    try {
      await db.put("orders", "d", {});
    } finally {
      await db.close();
    }
    copyFileSync(file, `${away}/data.dfdb`);
    const copied = await runCli(["inspect", `${away}/data.dfdb`]);
    assert.match(copied.out, /^node: +none: no node file beside it$/m);
    assert.deepEqual(readdirSync(away), ["data.dfdb"]);
    writeFileSync(
      `${folder}/text.dfdb`,
      "a text that is long enough to be looked at as if it were a database ".repeat(9),
    );
    writeFileSync(`${folder}/empty.dfdb`, "");
    for (
      const [name, message] of [
        ["none.dfdb", /There is no file/],
        ["text.dfdb", /damaged or no database|no data file/],
        ["empty.dfdb", /is empty/],
        ["shop.dfdb.node", /is no data file of dfdb/],
      ] as const
    ) {
      const { code, out, err } = await runCli(["inspect", `${folder}/${name}`]);
      assert.deepEqual([code, out], [1, ""], name);
      assert.match(err, message);
    }
  });
});
