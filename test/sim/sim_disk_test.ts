/** The disk of the simulator: what `Files` promises, what a kill and a loss of power leave. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { crc32 } from "../../src/base/crc32.ts";
import type { Files, WritableFile } from "../../src/runtime/files.ts";
import { makeSnapshot } from "../../src/storage/sqlite/make_snapshot.ts";
import { coded, patient, start } from "../suites/storage_fixture.ts";
import { chance } from "./chance.ts";
import type { DiskImage } from "./disk_image.ts";
import { type DiskRig, withRig } from "./disk_rig.ts";
import type { Death } from "./sim_process.ts";
import { withoutUnsynced } from "./unsynced_writes.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array | null | undefined): string | null =>
  bytes instanceof Uint8Array ? new TextDecoder().decode(bytes) : null;

async function written(files: Files, path: string, text: string, sync: boolean): Promise<WritableFile> {
  const file = await files.openWrite(path, { truncate: true });
  await file.write(0, bytesOf(text));
  if (sync) await file.sync();
  return file;
}

/** What images of the state that `run` makes hold at `key`, each text once, sorted. */
async function left(
  key: string,
  how: Death,
  run: (files: Files, path: (name: string) => string, rig: DiskRig) => Promise<unknown>,
): Promise<readonly (string | null)[]> {
  return await withRig(1, async (rig) => {
    await rig.run(() => run(rig.process.runtime.files, (name) => rig.path(name), rig));
    const images = Array.from({ length: 60 }, () => rig.disk.image(how));
    return [...new Set(images.map((image) => textOf(image.files.get(key)?.bytes)))].sort();
  });
}

test("files of the simulator: memory and disk are one folder", () =>
  withRig(1, async (rig) => {
    await rig.run(async () => {
      const { files } = rig.process.runtime, path = (name: string): string => rig.path(name);
      await files.writeAtomic(path("small"), bytesOf("s"));
      await files.makeDirectory(path("sub/deep"));
      await files.writeAtomic(path("sub/two"), bytesOf("two"));
      const opened = await written(files, path("sub/one"), "0123456789", true);
      writeFileSync(path("sqlite"), "q");
      assert.deepEqual(await files.list(rig.disk.directory), ["small", "sqlite", "sub"]);
      assert.deepEqual(await files.list(path("sub")), ["deep", "one", "two"]);
      assert.deepEqual(await files.list(path("nowhere")), []);
      assert.deepEqual([await files.size(path("small")), await files.size(path("sub/one"))], [1, 10]);
      assert.deepEqual([await files.size(path("no")), await files.read(path("no"))], [null, null]);
      assert.equal(await files.openRead(path("no")), null);
      assert.deepEqual([textOf(await files.read("small")), textOf(await files.read(path("sqlite")))], [
        "s",
        "q",
      ]);
      for (const name of ["sub/one", "sub/two"]) {
        const file = await files.openRead(path(name)), whole = name === "sub/one" ? "0123456789" : "two";
        assert.equal(file?.size, whole.length);
        assert.equal(textOf(await file?.read(1, 100)), whole.slice(1));
        await file?.close();
        await file?.close();
      }
      await files.rename(path("sub/one"), path("sub/two"));
      await opened.write(10, bytesOf("+"));
      await opened.close();
      assert.equal(textOf(await files.read(path("sub/two"))), "0123456789+");
      await files.rename(path("small"), path("sub/one"));
      assert.deepEqual(await files.list(path("sub")), ["deep", "one", "two"]);
      const again = await files.openWrite(path("sub/one"), { truncate: false });
      await again.write(1, bytesOf("mall"));
      await again.close();
      assert.equal(textOf(await files.read(path("sub/one"))), "small");
      await files.writeAtomic(path("sub/two"), bytesOf("new"));
      assert.equal(textOf(await files.read(path("sub/two"))), "new");
      await files.remove(path("sub/two"));
      await files.remove(path("sub/two"));
      assert.deepEqual(await files.list(path("sub")), ["deep", "one"]);
      await assert.rejects(() => files.rename(path("no"), path("yes")), coded("io_error"));
      await assert.rejects(() => files.writeAtomic(path("no/file"), bytesOf("x")), coded("io_error"));
      await assert.rejects(() => files.writeAtomic("/elsewhere", bytesOf("x")), coded("io_error"));
      assert.equal(await files.freeBytes(path("x")), null);
      rig.disk.freeBytes = 7;
      assert.equal(await files.freeBytes(path("x")), 7);
      assert.equal(files.directory(files.join(files.absolute("a"), "b")), path("a"));
    });
  }));

test("files of the simulator: writes to one file come in their order, a full disk takes none", () =>
  withRig(3, async (rig) => {
    await rig.run(async () => {
      const { files } = rig.process.runtime, path = rig.path("a");
      const texts = Array.from({ length: 20 }, (_, i) => `${i}`);
      await Promise.all(texts.map((text) => files.writeAtomic(path, bytesOf(text))));
      assert.equal(textOf(await files.read(path)), "19");
      const file = await files.openWrite(rig.path("b"), { truncate: true });
      rig.disk.faults.full = true;
      await assert.rejects(() => files.writeAtomic(path, bytesOf("x")), coded("disk_full"));
      await assert.rejects(() => file.write(0, bytesOf("x")), coded("disk_full"));
      await assert.rejects(() => files.openWrite(rig.path("c"), { truncate: true }), coded("disk_full"));
      await files.remove(rig.path("b"));
      assert.deepEqual(await files.list(rig.disk.directory), ["a"]);
      assert.equal(textOf(await files.read(path)), "19");
    });
  }));

for (const how of ["kill", "power"] as const) {
  test(`disk: ${how} inside writeAtomic: the old content or the new`, async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      await withRig(seed, async (rig) => {
        const path = rig.path("a");
        await rig.run(() => rig.process.runtime.files.writeAtomic(path, bytesOf("old")));
        let answered = false;
        rig.process.runtime.files.writeAtomic(path, bytesOf("new")).then(() => answered = true);
        await rig.world.pass(chance(seed, "when").between(0, 2));
        rig.die(how);
        const before = answered;
        await rig.world.pass(100);
        assert.equal(answered, before, "who is dead gets no answer");
        const text = textOf(await rig.run(() => rig.process.runtime.files.read(rig.path("a"))));
        seen.add(`${text}${answered ? " answered" : ""}`);
      });
    }
    assert.deepEqual([...seen].filter((text) => text !== "new answered").sort(), ["new", "old"]);
  });
}

test("disk: what was not synced is lost by chance, what was synced stays", async () => {
  const text = "0123456789";
  const unsynced = await left(
    "a",
    "power",
    async (files, path) => (await written(files, path("a"), text, false)).close(),
  );
  assert.ok(unsynced.includes(null) && unsynced.includes("") && unsynced.includes(text), `${unsynced}`);
  for (const found of unsynced) {
    assert.ok([...found ?? ""].every((digit, i) => digit === text[i] || digit === "\0"), "synced in part");
  }
  assert.deepEqual(await left("a", "kill", (files, path) => written(files, path("a"), text, false)), [text]);
  assert.deepEqual(await left("a", "power", (files, path) => written(files, path("a"), text, true)), [text]);
  const more = await left("a", "power", async (files, path) => {
    const file = await written(files, path("a"), text, true);
    await file.write(8, bytesOf("abcd"));
    await file.write(14, bytesOf("ef"));
  });
  assert.ok(more.includes(text) && more.includes("01234567abcd\0\0ef"));
  for (const found of more) assert.equal(found?.slice(0, 8), "01234567");
  const emptied = await left("a", "power", async (files, path) => {
    await written(files, path("a"), text, true);
    await written(files, path("a"), "new", false);
  });
  for (const found of [text, "new", "new3456789"]) assert.ok(emptied.includes(found), `${found}`);
});

test("disk: names after a loss of power", async () => {
  assert.deepEqual(
    await left("a", "power", async (files, path) => {
      await (await written(files, path("b"), "x", true)).close();
      await files.rename(path("b"), path("a"));
    }),
    ["x"],
  );
  const removed = async (files: Files, path: (name: string) => string): Promise<void> => {
    await files.writeAtomic(path("a"), bytesOf("x"));
    await files.remove(path("a"));
  };
  assert.deepEqual((await left("a", "power", removed)).includes("x"), true);
  assert.deepEqual(await left("a", "kill", removed), [null]);
  assert.deepEqual(
    await left("a", "power", async (files, path) => {
      await removed(files, path);
      await files.writeAtomic(path("b"), bytesOf("y"));
    }),
    [null],
  );
  const real = await left("sub/a", "power", async (files, path) => {
    await files.makeDirectory(path("sub"));
    await (await written(files, path("sub/a"), "x", true)).close();
    await files.writeAtomic(path("b"), bytesOf("y"));
    await files.remove(path("sub/a"));
  });
  assert.deepEqual(real, [null, "x"]);
  const folder = await left("sub/a", "power", async (files, path) => {
    await files.makeDirectory(path("sub"));
    await files.writeAtomic(path("sub/a"), bytesOf("x"));
  });
  assert.deepEqual(folder, [null, "x"], "the folder's own name was not synced");
});

test(
  "disk: a snapshot is whole where its name is, and its name is durable after a sync of the folder",
  patient,
  () =>
    withRig(1, async (rig) => {
      const key = "snapshots/one.dfdb";
      await rig.run(async () => {
        const { files } = rig.process.runtime;
        (await rig.openStorage().then((storage) => (start(storage), storage))).close();
        await files.makeDirectory(rig.path("snapshots"));
        await files.writeAtomic(rig.path("x"), bytesOf("x"));
        makeSnapshot(
          { path: rig.path("data.dfdb"), target: rig.path(key), logEntriesMax: 9, logBytesMax: 999 },
          { progress: () => {}, stopped: false },
        );
      });
      const images = (): Set<number | undefined> =>
        new Set(Array.from({ length: 30 }, () => rig.disk.image("power").files.get(key)?.bytes.length));
      const size = rig.disk.image("kill").files.get(key)?.bytes.length;
      assert.deepEqual(images(), new Set([size, undefined]));
      await rig.run(() => rig.process.runtime.files.writeAtomic(rig.path("snapshots/y"), bytesOf("y")));
      assert.deepEqual(images(), new Set([size]));
    }),
);

test("disk: the mirrors of the position are spoilt while no process runs", () =>
  withRig(1, async (rig) => {
    const draw = chance(1, "spoil"), key = "data.dfdb.followerseq", seen = new Set<number | null>();
    assert.equal(rig.disk.spoilSidecars(draw), false);
    for (let i = 0; i < 20; i++) {
      const found = await rig.run(async () => {
        const { files } = rig.process.runtime;
        await files.writeAtomic(rig.path(key), Uint8Array.of(9, 8, 0, 0, 0, 0, 0, 0));
        assert.ok(rig.disk.spoilSidecars(draw));
        return { bytes: await files.read(rig.path(key)) };
      });
      seen.add(found?.bytes?.length ?? null);
      if (found?.bytes?.length === 8) assert.deepEqual([...found.bytes], [9, 4, 0, 0, 0, 0, 0, 0]);
    }
    assert.ok(seen.has(null) && seen.has(8) && seen.size > 2);
  }));

test("disk: nothing is left of it", () =>
  withRig(1, async (rig) => {
    await rig.run(() => rig.openStorage());
    rig.die("power");
    const { directory } = rig.disk;
    await rig.world.pass(1);
    assert.deepEqual(readdirSync(`${directory}/..`), ["1"]);
    rig.disk.remove();
    assert.equal(existsSync(`${directory}/..`), false);
  }));

/** Files are opened, written, synced, removed, renamed; power goes again and again. */
async function story(seed: number): Promise<number> {
  return await withRig(seed, async (rig) => {
    const draw = chance(seed, "story"), seen: string[] = [];
    for (let life = 0; life < 6; life++) {
      const { files } = rig.process.runtime, { world } = rig;
      const call = (i: number, call: Promise<unknown>): void =>
        void call.then(() => seen.push(`${i} ${world.now}`), () => seen.push(`${i} refused ${world.now}`));
      for (let i = 0; i < 40; i++) {
        const path = rig.path(`f${draw.below(5)}`), kind = draw.below(5), bytes = draw.bytes(draw.below(50));
        if (kind === 0) call(i, files.writeAtomic(path, bytes));
        else if (kind === 1) call(i, files.remove(path));
        else if (kind === 2) call(i, files.rename(path, rig.path(`f${draw.below(5)}`)));
        else {
          call(
            i,
            files.openWrite(path, { truncate: kind === 3 }).then(async (file) => {
              await file.write(draw.below(20), bytes);
              if (kind === 4) await file.sync();
              await file.close();
            }),
          );
        }
        await world.pass(draw.between(0, 1));
      }
      const image = rig.disk.image("power");
      seen.push(described(image));
      rig.die("power");
    }
    return crc32(bytesOf(seen.join("\n")));
  });
}

function described({ files }: DiskImage): string {
  return [...files].map(([key, { bytes, small }]) => `${key} ${crc32(bytes)} ${small}`).sort().join(", ");
}

test("disk: equal seeds, equal disks, on every runtime", async () => {
  assert.equal(await story(1), await story(1));
  assert.notEqual(await story(1), await story(2));
  assert.equal(await story(7), 1433275824);
});

test("what a loss of power leaves of unsynced writes is always made of them", () => {
  for (let seed = 0; seed < 300; seed++) {
    const draw = chance(seed, "writes"), synced = "s".repeat(draw.below(20));
    let file = bytesOf(synced);
    const writes = Array.from({ length: draw.below(5) }, (_, i) => {
      const at = draw.below(25), bytes = bytesOf(`${i}`.repeat(draw.below(10))), size = file.length;
      const before = file.slice(at, at + bytes.length),
        next = new Uint8Array(Math.max(size, at + bytes.length));
      next.set(file);
      next.set(bytes, at);
      file = next;
      return { at, bytes, before, size };
    });
    const found = withoutUnsynced(file, writes, draw);
    assert.ok(found.length <= file.length && found.length >= synced.length);
    found.forEach((byte, i) => {
      const may = [synced.charCodeAt(i) || 0, ...writes.map(({ at, bytes }) => bytes[i - at] ?? 0)];
      assert.ok(may.includes(byte), `byte ${i} of seed ${seed}`);
    });
  }
});
