import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { hex, unhex, utf8 } from "../../src/base/bytes.ts";
import type { DfdbError } from "../../src/base/errors.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { gate, pattern, rejection } from "./runtime_tools.ts";

/** Runs a test with a folder of its own, which need not exist and may be filled. */
async function withFolder(runtime: Runtime, run: (folder: string) => Promise<void>): Promise<void> {
  const { files, process, random } = runtime;
  const folder = files.join(process.env["TMPDIR"] ?? "/tmp", `dfdb-runtime-${hex(random.bytes(8))}`);
  try {
    await run(folder);
  } finally {
    // Not through `files`, which has no use for it; a simulated disk has nothing here.
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What {@linkcode runtimeSuite} asks of files. */
export function filesSuite(name: string, makeRuntime: () => Runtime): void {
  test(`${name}: files: written as a whole and read back`, () =>
    withFolder(makeRuntime(), async (scratch) => {
      const { files } = makeRuntime();
      const folder = files.join(scratch, "a", "b");
      await files.makeDirectory(folder);
      await files.makeDirectory(folder);
      const path = files.join(folder, "file");
      assert.equal(files.directory(path), folder);
      assert.equal(await files.read(path), null);
      assert.equal(await files.size(path), null);
      await files.writeAtomic(path, pattern(100_000));
      assert.deepEqual(await files.read(path), pattern(100_000));
      assert.equal(await files.size(path), 100_000);
      await Promise.all([1, 2, 3].map((seed) => files.writeAtomic(path, pattern(1_000 * seed, seed))));
      assert.deepEqual(await files.read(path), pattern(3_000, 3));
      await files.writeAtomic(path, new Uint8Array());
      assert.deepEqual(await files.read(path), new Uint8Array());
      await files.remove(path);
      await files.remove(path);
      assert.equal(await files.read(path), null);
    }));

  test(`${name}: files: what cannot be done is an io_error`, () =>
    withFolder(makeRuntime(), async (folder) => {
      const { files } = makeRuntime();
      await files.makeDirectory(folder);
      const file = files.join(folder, "plain");
      await files.writeAtomic(file, utf8("x"));
      const code = async (promise: Promise<unknown>): Promise<string> =>
        (await rejection(promise) as DfdbError).code;
      assert.equal(await code(files.read(folder)), "io_error");
      assert.equal(
        await code(files.writeAtomic(files.join(folder, "missing", "file"), utf8("x"))),
        "io_error",
      );
      assert.equal(await code(files.writeAtomic(files.join(file, "below a file"), utf8("x"))), "io_error");
      assert.equal(await code(files.makeDirectory(files.join(file, "below a file"))), "io_error");
      assert.equal(await code(files.openRead(folder)), "io_error");
      assert.equal(await code(files.openWrite(folder, { truncate: false })), "io_error");
      assert.equal(
        await code(files.openWrite(files.join(folder, "no", "file"), { truncate: true })),
        "io_error",
      );
      assert.equal(await code(files.list(file)), "io_error");
      assert.equal(await code(files.rename(files.join(folder, "none"), file)), "io_error");
    }));

  test(`${name}: files: opened, written and read at any place`, () =>
    withFolder(makeRuntime(), async (folder) => {
      const { files } = makeRuntime();
      await files.makeDirectory(folder);
      const path = files.join(folder, "file"), content = pattern(3_000_000);
      assert.equal(await files.openRead(path), null);
      const writing = await files.openWrite(path, { truncate: false });
      await writing.write(1_000_000, content.subarray(1_000_000));
      await writing.write(0, content.subarray(0, 1_000_000));
      await writing.write(3_000_000, new Uint8Array());
      await writing.sync();
      await writing.close();
      await writing.close();
      const reading = await files.openRead(path);
      assert.ok(reading !== null);
      assert.equal(reading.size, 3_000_000);
      assert.deepEqual(await reading.read(0, 3_000_000), content);
      assert.deepEqual(await reading.read(999_999, 2), content.slice(999_999, 1_000_001));
      assert.deepEqual(await reading.read(2_999_999, 10), content.slice(2_999_999), "fewer at the end");
      assert.deepEqual(await reading.read(3_000_000, 10), new Uint8Array());
      assert.deepEqual(await reading.read(4_000_000, 10), new Uint8Array());
      const kept = await files.openWrite(path, { truncate: false });
      await kept.write(5, content.subarray(0, 1));
      await kept.close();
      assert.equal(await files.size(path), 3_000_000);
      assert.deepEqual(await reading.read(5, 1), content.slice(0, 1), "an open file shows what was written");
      await reading.close();
      await (await files.openWrite(path, { truncate: true })).close();
      assert.equal(await files.size(path), 0);
    }));

  test(`${name}: files: listed, moved, and the room that is left`, () =>
    withFolder(makeRuntime(), async (folder) => {
      const { files } = makeRuntime();
      assert.deepEqual(await files.list(folder), []);
      const free = await files.freeBytes(files.join(folder, "not", "there"));
      assert.ok(free !== null && Number.isSafeInteger(free) && free > 0, `free: ${free}`);
      await files.makeDirectory(files.join(folder, "b"));
      await files.writeAtomic(files.join(folder, "c"), utf8("1"));
      await files.writeAtomic(files.join(folder, "a"), utf8("2"));
      assert.deepEqual(await files.list(folder), ["a", "b", "c"]);
      await files.rename(files.join(folder, "a"), files.join(folder, "c"));
      await files.rename(files.join(folder, "c"), files.join(folder, "b", "d"));
      assert.deepEqual(await files.list(folder), ["b"]);
      assert.deepEqual(await files.read(files.join(folder, "b", "d")), utf8("2"));
    }));

  test(`${name}: files: paths`, () => {
    const { files, process } = makeRuntime();
    assert.equal(files.absolute("x/../y/"), files.join(process.cwd(), "y"));
    assert.equal(files.absolute("/a/b/"), "/a/b");
  });
}

/** What {@linkcode runtimeSuite} asks of clock, random, crypto and the process. */
export function factsSuite(name: string, makeRuntime: () => Runtime): void {
  test(`${name}: clock: goes on, fires never early and in order, can be cancelled`, async () => {
    const { clock } = makeRuntime();
    const start = clock.monotonic();
    const events: string[] = [];
    const done = gate();
    clock.timer(30, () => {
      events.push("second");
      done.open();
    });
    clock.timer(5, () => events.push("first"));
    clock.timer(2 ** 40, () => events.push("far")).cancel();
    const cancelled = clock.timer(10, () => events.push("cancelled"));
    cancelled.cancel();
    cancelled.cancel();
    let last = start;
    for (let i = 0; i < 10_000; i++) {
      const now = clock.monotonic();
      assert.ok(now >= last);
      last = now;
    }
    await done.promise;
    assert.ok(clock.monotonic() - start >= 30);
    assert.deepEqual(events, ["first", "second"]);
    assert.ok(clock.wall() > 1_577_836_800_000);
  });

  test(`${name}: clock: macrotasks come after all promises, in order`, async () => {
    const { clock } = makeRuntime();
    const events: string[] = [];
    const done = gate();
    clock.macrotask(() => {
      events.push("macrotask");
      void Promise.resolve().then(() => events.push("its promise"));
    });
    clock.macrotask(() => {
      events.push("next macrotask");
      done.open();
    });
    let chain = Promise.resolve();
    for (let i = 0; i < 100; i++) chain = chain.then(() => {});
    void chain.then(() => events.push("promise"));
    events.push("now");
    await done.promise;
    assert.deepEqual(events, ["now", "promise", "macrotask", "its promise", "next macrotask"]);
  });

  test(`${name}: random: right lengths, never twice the same`, () => {
    const { random } = makeRuntime();
    for (const length of [0, 1, 16, 65_536]) assert.equal(random.bytes(length).length, length);
    assert.notEqual(hex(random.bytes(16)), hex(random.bytes(16)));
    for (let i = 0; i < 100; i++) assert.ok(random.float() >= 0 && random.float() < 1);
  });

  test(`${name}: crypto: known answers`, () => {
    const { crypto } = makeRuntime();
    assert.equal(
      hex(crypto.sha256(utf8("abc"))),
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    // RFC 4231, test cases 2 and 6 (a key longer than a block).
    assert.equal(
      hex(crypto.hmacSha256(utf8("Jefe"), utf8("what do ya want for nothing?"))),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
    const longKey = unhex("aa".repeat(131));
    assert.equal(
      hex(crypto.hmacSha256(longKey, utf8("Test Using Larger Than Block-Size Key - Hash Key First"))),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    );
    assert.equal(Object.getPrototypeOf(crypto.sha256(utf8("abc"))), Uint8Array.prototype);
  });

  test(`${name}: process: facts, stop signals come and go`, () => {
    const runtime = makeRuntime();
    assert.ok(runtime.process.pid > 0);
    assert.ok(runtime.process.memoryBytes() > 1_000_000);
    assert.ok(runtime.process.hostname.length > 0);
    assert.ok(runtime.process.cwd().length > 0);
    assert.match(runtime.version, /^\d+\.\d+/);
    const off = runtime.process.onStopSignal(() => {});
    off();
    off();
    runtime.crashPoint("test:nothing");
  });
}
