// Measures the storage as it is: leader appends, follower applies, single durable commits, gets, log reads.
//   <runtime> test/bench/storage.mjs [folder] [documents] [repeats] [random|ordered]
import fs from "node:fs";
import process from "node:process";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { seqOf } from "../../src/base/ids.ts";
import { beginTerm, put, start, testOptions, wall } from "../suites/storage_fixture.ts";

const runtime = globalThis.Deno ? "deno" : globalThis.Bun ? "bun" : "node";
const [folder = "/tmp", count = "100000", repeats = "3", kind = "random"] = process.argv.slice(2);
const documents = Number(count), batch = 1_000;
const note = "window seat if possible, near the front of the cabin; needs assistance at the gate; ".repeat(4);
const body = (i) =>
  JSON.stringify({
    flight: `LH${400 + (i % 500)}`,
    from: "FRA",
    to: "JFK",
    passenger: `P ${i}`,
    price: i,
    note,
  });

const clean = (path) =>
  ["", "-wal", "-shm", ".lock", ".lock.json"].forEach((end) => fs.rmSync(path + end, { force: true }));
/** Operations a second, and microseconds of CPU for each: the second figure holds on a busy machine too. */
function rate(count, run) {
  const from = performance.now(), cpu = process.cpuUsage();
  run();
  const used = process.cpuUsage(cpu);
  return { perSecond: count / ((performance.now() - from) / 1000), cpuUs: (used.user + used.system) / count };
}

async function measure() {
  const paths = ["leader", "follower"].map((name) => `${folder}/storage-${runtime}-${name}.dfdb`);
  paths.forEach(clean);
  const [leader, follower] = await Promise.all(paths.map((path) => openStorage(testOptions(path))));
  const collection = start(leader), result = {};
  let state = 7;
  const scrambled = () => ((state = Math.imul(state, 1664525) + 1013904223) >>> 0).toString(16);
  const ids = Array.from({ length: documents }, (_, i) => {
    return kind === "random" ? `order-${scrambled()}${i}` : `order-${String(i).padStart(12, "0")}`;
  });
  const puts = ids.map((id, i) => put(collection, id, 0, body(i)));
  result.append = rate(documents, () => {
    for (let at = 0; at < documents; at += batch) {
      leader.write((tx) => puts.slice(at, at + batch).forEach((one) => tx.append([one], wall)));
      leader.checkpointIfDue();
    }
  });
  result.logRead = rate(documents, () => {
    for (let after = 0; after < leader.log.last.seq; after += 1000) {
      leader.log.entries(seqOf(after), { bytesMax: 1 << 20, entriesMax: 1000 });
    }
  });
  const batches = [];
  for (let after = 0; after < leader.log.last.seq; after += 1000) {
    batches.push(leader.log.entries(seqOf(after), { bytesMax: 1 << 22, entriesMax: 1000 }));
  }
  result.apply = rate(documents, () => {
    for (const part of batches) {
      follower.write((tx) => part.forEach((entry) => tx.apply(entry)));
      follower.checkpointIfDue();
    }
  });
  result.get = rate(50_000, () => {
    for (let i = 0; i < 50_000; i++) {
      const at = (i * 7919) % documents;
      if (follower.read((view) => view.document(collection, ids[at])) === null) throw at;
    }
  });
  result.getHot = rate(50_000, () => {
    for (let i = 0; i < 50_000; i++) follower.read((view) => view.document(collection, ids[i % 1000]));
  });
  result.commit = rate(2_000, () => {
    for (let i = 0; i < 2_000; i++) {
      leader.write((tx) => tx.append([put(collection, `single-${i}`, 0, body(i))], wall));
      leader.checkpointIfDue();
    }
  });
  const file = fs.openSync(`${folder}/sync-${runtime}`, "w"), page = new Uint8Array(4096 * 5);
  result.fsync = rate(2_000, () => {
    for (let i = 0; i < 2_000; i++) {
      fs.writeSync(file, page);
      fs.fdatasyncSync(file);
    }
  });
  fs.closeSync(file);
  fs.rmSync(`${folder}/sync-${runtime}`);
  leader.write((tx) => tx.append([beginTerm(2, "2")], wall));
  leader.close();
  follower.close();
  paths.forEach(clean);
  return result;
}

const runs = [];
for (let i = 0; i < Number(repeats); i++) runs.push(await measure());
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
for (const key of Object.keys(runs[0])) {
  const [perSecond, cpuUs] = ["perSecond", "cpuUs"].map((what) => median(runs.map((run) => run[key][what])));
  console.log(
    `${runtime} ${key.padEnd(8)} ${String(Math.round(perSecond)).padStart(8)}/s  ${
      cpuUs.toFixed(2).padStart(7)
    } µs CPU`,
  );
}
