/** `dfdb new-identity`: a copied file goes on as a database of its own. */
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import test from "node:test";
import { inFolder } from "../suites/storage_fixture.ts";
import { runCli } from "../tool/cli_rig.ts";
import { embedded } from "../tool/embedding.ts";

async function idOf(file: string): Promise<string> {
  const { out } = await runCli(["inspect", file, "--json"]);
  return (JSON.parse(out) as { databaseId: string }).databaseId;
}

test("new-identity: the copy has another id, all else as it was, and takes writes", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/shop.dfdb`, copy = `${folder}/copy.dfdb`, db = await embedded.openDatabase(file);
    await db.bulkInsert("orders", [{ _id: "a", n: 1 }, { _id: "b", n: 2 }]);
    const { position } = db, document = db.get("orders", "a");
    assert.match((await runCli(["new-identity", file])).err, /^ERROR: .* is in use by process \d+ on /);
    await db.close();
    copyFileSync(file, copy);
    const id = await idOf(file),
      { code, out, err } = await runCli(["new-identity", copy]),
      own = await idOf(copy);
    assert.deepEqual([code, err], [0, ""]);
    assert.equal(out, `${copy} is database ${own} now; it was ${id}, up to ${position}\n`);
    assert.notEqual(own, id);
    assert.equal(await idOf(file), id);
    assert.deepEqual(readdirSync(folder).filter((name) => /-(wal|shm)$/.test(name)), []);
    const other = await embedded.openDatabase(copy);
    assert.equal(other.position, position);
    assert.deepEqual(other.get("orders", "a"), document);
    await other.put("orders", "c", { n: 3 });
    assert.deepEqual([...other.documents("orders")].map(({ _id }) => _id), ["a", "b", "c"]);
    await other.close();
  });
});

test("new-identity: no file, another program's file, and its help", async () => {
  await inFolder(async (folder) => {
    const missing = await runCli(["new-identity", `${folder}/none.dfdb`]);
    assert.deepEqual([missing.code, readdirSync(folder)], [1, []]);
    assert.match(missing.err, /^ERROR: There is no file /);
    writeFileSync(`${folder}/text.dfdb`, "a text\n".repeat(1_000));
    assert.equal((await runCli(["new-identity", `${folder}/text.dfdb`])).code, 1);
    assert.match((await runCli(["new-identity", "--help"])).out, /Two masters must not have one id/);
    assert.match((await runCli(["--help"])).out, /new-identity <file>/);
  });
});
