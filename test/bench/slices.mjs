// Measures how long one slice of a large entry holds the event loop, on a leader and on a follower.
//   <runtime> test/bench/slices.mjs [folder]
import fs from "node:fs";
import process from "node:process";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { seqOf } from "../../src/base/ids.ts";
import { beginTerm, put, remove, start, testOptions, wall } from "../suites/storage_fixture.ts";

const runtime = globalThis.Deno ? "deno" : globalThis.Bun ? "bun" : "node";
const [folder = "/tmp"] = process.argv.slice(2), MiB = 1024 * 1024;
const clean = (path) =>
  ["", "-wal", "-shm", ".lock", ".lock.json"].forEach((end) => fs.rmSync(path + end, { force: true }));

/** Takes `steps` to their end: longest step before COMMIT, COMMIT, all, ms. */
function take(storage, begin) {
  const open = storage.begin(), times = [];
  let steps = null, done = false;
  while (!done) {
    const from = performance.now();
    done = open.slice((tx) => (steps ??= begin(tx)).next().done);
    times.push(performance.now() - from);
  }
  const from = performance.now();
  open.commit();
  const commit = performance.now() - from, longest = Math.max(...times);
  const at = times.indexOf(longest), all = times.reduce((sum, one) => sum + one, 0) + commit;
  return { slices: times.length, longest, at, commit, all };
}

const paths = ["leader", "follower"].map((name) => `${folder}/slices-${runtime}-${name}.dfdb`);
paths.forEach(clean);
const [leader, follower] = await Promise.all(paths.map((path) => openStorage(testOptions(path))));
const c = start(leader);
follower.write((tx) =>
  leader.log.entries(seqOf(0), { bytesMax: 1e9, entriesMax: 9 }).forEach((entry) => tx.apply(entry))
);
const body = (bytes, letter = "p") => `{"pad":"${letter.repeat(bytes - 10)}"}`;
const ids = Array.from(
  { length: 100_000 },
  (_, i) => `${(Math.imul(i, 2654435761) >>> 0).toString(16)}-${i}`,
);
const cases = [
  ["100,000 inserts of 600 B", () => ids.map((id) => put(c, id, 0, body(600)))],
  ["100,000 updates of 600 B", () => ids.map((id) => put(c, id, leader.log.last.seq, body(600, "q")))],
  ["100,000 deletes", () => ids.map((id) => remove(c, id, leader.log.last.seq))],
  ["63 inserts of 1 MiB", () => Array.from({ length: 63 }, (_, i) => put(c, `m${i}`, 0, body(MiB)))],
  ["3 inserts of 16 MiB", () => Array.from({ length: 3 }, (_, i) => put(c, `l${i}`, 0, body(16 * MiB - 99)))],
  ["1 insert of 16 MiB", () => [put(c, "one", 0, body(16 * MiB - 99))]],
];
let last = leader.log.last.seq;
for (const [name, make] of cases) {
  const operations = make();
  for (const [who, storage] of [["leader", leader], ["follower", follower]]) {
    const figures = take(storage, (tx) => {
      if (who === "leader") return tx.appendInSlices(operations, wall);
      return tx.applyInSlices(leader.log.entries(seqOf(last), { bytesMax: 1, entriesMax: 1 })[0]);
    });
    const { slices, longest, at, commit, all } = figures;
    const wal = fs.statSync(`${paths[who === "leader" ? 0 : 1]}-wal`).size / MiB;
    const from = performance.now();
    storage.checkpointIfDue();
    console.log(
      `${runtime} ${name.padEnd(26)} ${who.padEnd(8)} slices ${slices}, longest ${
        longest.toFixed(0)
      } ms (at ${at}), ` +
        `COMMIT ${commit.toFixed(0)}, all ${all.toFixed(0)}, WAL ${wal.toFixed(0)} MiB, checkpoint ${
          (performance.now() - from).toFixed(0)
        }`,
    );
  }
  last = leader.log.last.seq;
}
leader.write((tx) => tx.append([beginTerm(2, "2")], wall));
leader.close();
follower.close();
paths.forEach(clean);
console.log(`${runtime} memory ${Math.round(process.memoryUsage().rss / MiB)} MiB`);
