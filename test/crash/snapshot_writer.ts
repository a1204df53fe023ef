// The process that crash tests of snapshots kill. It dies at the first crash point <label>, if it meets it.
//   snapshot_writer.ts <folder> make <label>     makes snapshot.dfdb of data.dfdb, prints "made"
//   snapshot_writer.ts <folder> install <label>  installs snapshot.dfdb into data.dfdb, prints "installed", then writes on
//   snapshot_writer.ts <folder> open <label>     opens snapshot.dfdb itself, which no node knows
import { writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import { makeSnapshot } from "../../src/storage/sqlite/make_snapshot.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { beginTerm, testOptions, wall } from "../suites/storage_fixture.ts";

const [folder = ".", mode = "", label = ""] = process.argv.slice(2);
const path = join(folder, "data.dfdb"), snapshot = join(folder, "snapshot.dfdb");
const print = (line: string): void => void writeSync(1, `${line}\n`);

const crashPoint = (at: string): void => {
  if (at !== label) return;
  print(`dies at ${at}`);
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way: nothing more may happen meanwhile.
  for (;;);
};

if (mode === "make") {
  const order = { path, target: snapshot, logEntriesMax: 20, logBytesMax: 1e9 };
  makeSnapshot(order, { progress: () => {}, stopped: false }, crashPoint);
  print("made");
} else if (mode === "open") {
  const storage = await openStorage(testOptions(snapshot, { known: () => false, crashPoint }));
  print("opened");
  storage.close();
} else {
  const storage = await openStorage(testOptions(path));
  await storage.exchange(async () => {
    print("installing");
    await installSnapshot({ source: snapshot, target: path }, crashPoint);
    print("installed");
  });
  storage.write((tx) => tx.append([beginTerm(50, "5")], wall));
  print("wrote");
  process.stdin.on("data", () => storage.close()); // refers to it meanwhile
}
