import assert from "node:assert/strict";
import test from "node:test";
import { epochOf, noRun, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Logger } from "../../src/base/logger.ts";
import { signal } from "../../src/base/signal.ts";
import type { MirrorPosition } from "../../src/node/mirrors.ts";
import { mirrors } from "../../src/node/mirrors.ts";
import type { Files } from "../../src/runtime/files.ts";
import type { Position } from "../../src/storage/log.ts";
import { memoryFiles } from "../tool/memory_files.ts";
import { ClockWorld } from "../sim/clock_world.ts";

const at = (seq: number, epoch = 1): Position => ({
  epoch: epochOf(epoch),
  run: noRun,
  seq: seqOf(seq),
  chain: 0,
});
const seqFile = "/d/data.dfdb.followerseq", termFile = "/d/data.dfdb.term";

async function setUp(position: Position, content: Record<string, Uint8Array> = {}, doubt = { on: false }) {
  const world = new ClockWorld(1), committed = signal(position), warnings: string[] = [];
  const memory = memoryFiles("/d"), written: string[] = [];
  for (const [path, bytes] of Object.entries(content)) await memory.writeAtomic(path, bytes);
  const files: Files = {
    ...memory,
    writeAtomic(path, bytes) {
      written.push(`${path.slice(path.lastIndexOf(".") + 1)}@${world.now}`);
      return memory.writeAtomic(path, bytes);
    },
  };
  const note = (message: string): void => void warnings.push(message);
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const aheadBy: number[] = [];
  const onAhead = ({ seq }: MirrorPosition): void => {
    assert.deepEqual(written, [], "told before it is overwritten");
    aheadBy.push(seq - position.seq);
  };
  const hold = (): boolean => doubt.on;
  const made = await mirrors({
    dataPath: "/d/data.dfdb",
    files,
    clock: world,
    logger,
    committed,
    onAhead,
    hold,
  });
  const read = async (path: string): Promise<number> => {
    const bytes = await memory.read(path);
    assert.equal(bytes?.length, 8);
    return Number(new DataView((bytes as Uint8Array).buffer).getBigUint64(0, true));
  };
  return { world, committed, warnings, written, made, read, aheadBy };
}

test("mirrors hold seq and epoch as 8 bytes little-endian, written at start, then at most every 200 ms", async () => {
  const { world, committed, written, read } = await setUp(at(5, 3));
  assert.equal(await read(seqFile), 5);
  assert.equal(await read(termFile), 3);
  assert.deepEqual(written, ["term@0", "followerseq@0"]);
  for (let seq = 6; seq <= 300; seq++) committed.emit(at(seq, 3));
  await world.until(() => written.length > 2, 10_000);
  assert.equal(world.now, limits.mirrorEveryMs);
  assert.equal(await read(seqFile), 300);
  assert.deepEqual(written.slice(2), [`followerseq@${limits.mirrorEveryMs}`], "the epoch did not change");
});

test("mirrors are written on close, whatever the time", async () => {
  const { committed, made, read } = await setUp(at(5));
  committed.emit(at(6, 2));
  await made.close();
  assert.equal(await read(seqFile), 6);
  assert.equal(await read(termFile), 2);
  committed.emit(at(7, 2));
  assert.equal(await read(seqFile), 6, "nothing follows a close");
});

test("a mirror that is ahead stays as it is, over commits and closes, until the doubt has ended", async () => {
  const eight = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0);
  const doubt = { on: true };
  const content = { [seqFile]: eight(9), [termFile]: eight(1) };
  const { world, committed, written, made, read, aheadBy } = await setUp(at(5), content, doubt);
  committed.emit(at(6));
  await world.until(() => world.now > 3 * limits.mirrorEveryMs, 10_000);
  assert.deepEqual([written, await read(seqFile), aheadBy], [[], 9, [4]]);
  doubt.on = false;
  committed.emit(at(7));
  await world.until(() => written.length > 0, 10_000);
  assert.equal(await read(seqFile), 7);
  const closed = await setUp(at(5), content, { on: true });
  await closed.made.close();
  assert.equal(await closed.read(seqFile), 9);
  await made.close();
});

test("a mirror that differs is written anew with a warning; one that is ahead is told", async () => {
  const eight = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0);
  const ahead = await setUp(at(5), { [seqFile]: eight(9), [termFile]: eight(1) });
  assert.deepEqual(ahead.aheadBy, [4]);
  assert.equal(await ahead.read(seqFile), 5);
  const higher = await setUp(at(5), { [seqFile]: eight(5), [termFile]: eight(2) });
  assert.deepEqual(higher.aheadBy, [0], "a higher epoch is ahead, too");
  const deleted = await setUp(at(5), { [termFile]: eight(1) });
  assert.deepEqual([deleted.aheadBy, deleted.warnings.length, await deleted.read(seqFile)], [[], 1, 5]);
  const behind = await setUp(at(5), { [seqFile]: eight(3), [termFile]: eight(1) });
  assert.deepEqual([behind.aheadBy, behind.warnings.length, await behind.read(seqFile)], [[], 1, 5]);
  const corrupt = await setUp(at(5), {
    [seqFile]: Uint8Array.of(1, 2, 3),
    [termFile]: new Uint8Array(8).fill(255),
  });
  assert.deepEqual([corrupt.aheadBy, corrupt.warnings.length], [[], 3], "each is told, and that they differ");
  assert.equal(await corrupt.read(seqFile), 5);
  assert.equal(await corrupt.read(termFile), 1);
  const same = await setUp(at(5), { [seqFile]: eight(5), [termFile]: eight(1) });
  assert.deepEqual([same.warnings, same.written], [[], []]);
});
