import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import test from "node:test";
import { makeDirectory } from "../../adapters/shared/file_tools.ts";
import { inFolder } from "../suites/storage_fixture.ts";

test("the name of each new folder is made durable in its parent, and nothing else is", () =>
  inFolder(async (root) => {
    const synced: string[] = [], sync = (folder: string) => Promise.resolve(void synced.push(folder));
    const target = join(root, "a", "b", "c");
    await makeDirectory(target, sync);
    assert.ok(existsSync(target));
    assert.deepEqual(synced.splice(0).sort(), [root, join(root, "a"), join(root, "a", "b")]);
    await makeDirectory(target, sync);
    assert.deepEqual(synced, [], "it was there");
    await makeDirectory(relative(process.cwd(), join(root, "a", "d")), sync);
    assert.deepEqual(synced, [join(root, "a")]);
    await assert.rejects(makeDirectory(join(root, "e"), () => Promise.reject(new Error("the disk"))), {
      code: "io_error",
    });
  }));
