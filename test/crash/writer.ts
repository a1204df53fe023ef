// The process that crash tests kill.
//   writer.ts <folder> hold               opens the database, prints "held", waits for its end
//   writer.ts <folder> write <label> <n>  writes until the n-th time at crash point <label>, and dies there
//   writer.ts <folder> trim <label> <n>   the same, and trims the log to 3 MiB on the way
// Prints "ack <seq>" once a write has returned: from then on it must never be lost.
import { writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { seqOf } from "../../src/base/ids.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { put, remove, start, testOptions, wall } from "../suites/storage_fixture.ts";
import { creation, indexOf } from "../suites/storage_suite_indexes.ts";

const [folder = ".", mode = "hold", label = "", nth = "1"] = process.argv.slice(2);
const print = (line: string): void => void writeSync(1, `${line}\n`);

// Bodies of 8 KiB, so that some hundred of them reach the size at which a checkpoint is due.
const pad = `{"pad":"${"p".repeat(8192)}"}`;

let hits = 0;
const crashPoint = (at: string): void => {
  if (at !== label || ++hits < Number(nth)) return;
  print(`dies at ${at}`);
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way: nothing more may happen meanwhile.
  for (;;);
};

const options = { ...testOptions(join(folder, "data.dfdb"), { crashPoint }), hostname: "writer-host" };
try {
  const storage = await openStorage(options);
  if (mode === "hold") hold(storage);
  else work(storage);
} catch (thrown) {
  print(`${(thrown as { code?: string }).code}: ${String(thrown)}`);
  process.exitCode = 1;
}

/** Refers to it for as long as it waits: a storage that nobody refers to is garbage, and its collection frees the lock. */
function hold(storage: Storage): void {
  print("held");
  process.stdin.on("data", () => storage.close());
}

/** Puts, changes, deletes, two collections, indexes, drops, checkpoints: every path meets its crash points. */
function work(storage: Storage): void {
  const acknowledge = (): void => print(`ack ${storage.log.last.seq}`);
  const orders = storage.read((v) => v.collection("orders"))?.number ?? start(storage);
  acknowledge();
  for (let round = 0; round < 4; round++) {
    const extra = storage.write((tx) => {
      const number = tx.newCollectionNumber();
      const name = `extra${tx.position.seq}`;
      tx.append([{ kind: "createCollection", collection: number, name }, put(number, "first", 0)], wall);
      return number;
    });
    acknowledge();
    for (let i = 0; i < 5; i++) {
      storage.write((tx) => {
        const { seq } = tx.append([
          put(orders, `o${tx.position.seq}`, 0),
          put(orders, `p${tx.position.seq}`, 0),
        ], wall);
        tx.append(
          [put(orders, `o${seq - 1}`, seq, '{"changed":true}'), remove(orders, `p${seq - 1}`, seq)],
          wall,
        );
        for (let k = 0; k < 150; k++) tx.append([put(extra, `e${tx.position.seq}`, 0, pad)], wall);
      });
      acknowledge();
      while (mode === "trim" && storage.trimLog({ bytesMax: 3 * 1024 * 1024, age: null }));
      storage.checkpointIfDue();
    }
    // One that a leader had prepared, and one as a follower makes it.
    const prepared = storage.prepareIndex(extra, indexOf("changed"));
    while (storage.built(prepared) !== 1) storage.buildSlice();
    storage.write((tx) => {
      tx.append([creation(extra, indexOf("changed")), creation(extra, indexOf("pad,changed"))], wall);
      tx.append([creation(orders, indexOf("changed", { name: `by${tx.position.seq}` }))], wall);
    });
    acknowledge();
    while (storage.buildSlice());
    storage.write((tx) => tx.append([{ kind: "dropCollection", collection: extra }], wall));
    acknowledge();
    while (storage.reclaim());
  }
  storage.log.at(seqOf(1));
  storage.close();
  print("closed");
}
