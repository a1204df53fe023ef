/**
 * The data dir of one process of the simulator. Files written as a whole are in memory; what is opened, and folders, are real,
 * because SQLite uses them too. Knows what a loss of power would take: names of a folder that was not synced since, writes that
 * were not. All calls are done when they return; keys are paths relative to the folder, with `/`.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { DfdbError, messageOf } from "../../src/base/errors.ts";
import type { Chance } from "./chance.ts";
import type { ImageFile } from "./disk_image.ts";
import { DiskImage } from "./disk_image.ts";
import { type Inode, OpenedFile } from "./opened_file.ts";
import type { Death } from "./sim_process.ts";
import type { UnsyncedWrite } from "./unsynced_writes.ts";
import { withoutUnsynced } from "./unsynced_writes.ts";
import { afterPowerLoss, checkpointed, commitEnds } from "./wal_frames.ts";

/** A longer write-ahead log is not copied but carried over into the data file. */
const walBytesCopied = 256 * 1024;

const none = { throwIfNoEntry: false } as const;

/** A durable file whose removal is not durable yet: after a loss of power it may be back. */
type Removed = { readonly bytes: Uint8Array } | {
  readonly path: string;
  readonly writes: readonly UnsyncedWrite[];
};

export class MountedFolder {
  /** Absolute. */
  readonly path: string;
  /** Holds removed files until that is durable. */
  readonly #gone: string;
  readonly #small = new Map<string, Uint8Array>();
  readonly #inodes = new Map<string, Inode>();
  readonly #removed = new Map<string, Removed>();
  readonly #opened = new Set<OpenedFile>();
  /**
   * Names in the data dir itself that `Files` made and that are not durable. What SQLite makes there is: it syncs the folder with the
   * first sync of a journal or write-ahead log.
   */
  readonly #made = new Set<string>();
  /** Names in folders below that are durable. */
  readonly #synced = new Set<string>();
  #goneFiles = 0;

  /** Makes the folder with what is in `image`; all of that is durable. */
  constructor(path: string, image: DiskImage) {
    this.path = path;
    this.#gone = `${path}.gone`;
    mkdirSync(path, { recursive: true });
    for (const folder of image.folders) {
      mkdirSync(this.#real(folder), { recursive: true });
      this.#synced.add(folder);
    }
    for (const [key, { bytes, small }] of image.files) {
      if (small) this.#small.set(key, bytes);
      else {
        writeFileSync(this.#real(key), bytes);
        this.#synced.add(key);
      }
    }
  }

  /** Throws `io_error` for what is not below this folder. */
  key(path: string): string {
    const key = relative(this.path, resolve(this.path, path));
    if (key === ".." || key.startsWith(`..${sep}`)) {
      throw failed("reach", path, "it is on no disk of this machine");
    }
    return sep === "/" ? key : key.replaceAll(sep, "/");
  }

  /** Null when there is none. */
  read(key: string): Uint8Array | null {
    const small = this.#small.get(key);
    if (small !== undefined) return small.slice();
    return this.size(key) === null
      ? null
      : tried("read", key, () => new Uint8Array(readFileSync(this.#real(key))));
  }

  size(key: string): number | null {
    return this.#small.get(key)?.length ?? statSync(this.#real(key), none)?.size ?? null;
  }

  list(folder: string): readonly string[] {
    const real = this.#real(folder), names = existsSync(real) ? readdirSync(real) : [];
    for (const key of this.#small.keys()) if (parent(key) === folder) names.push(nameOf(key));
    return names.sort();
  }

  /** Durable, as a whole. */
  replace(key: string, bytes: Uint8Array): void {
    if (!existsSync(this.#real(parent(key)))) throw failed("write", key, "there is no such folder");
    if (!this.#small.has(key)) {
      rmSync(this.#real(key), { force: true });
      this.#forgetName(key);
    }
    this.#small.set(key, bytes.slice());
    this.#sync(parent(key));
  }

  makeDirectory(key: string): void {
    for (let folder = key; folder !== "" && !existsSync(this.#real(folder)); folder = parent(folder)) {
      if (parent(folder) === "") this.#made.add(folder);
    }
    tried("create folder", key, () => mkdirSync(this.#real(key), { recursive: true }));
  }

  /** Not durable before the folder is synced. */
  remove(key: string): void {
    const small = this.#small.get(key), real = this.#real(key);
    if (small !== undefined) {
      this.#small.delete(key);
      this.#removed.set(key, { bytes: small });
    } else if (existsSync(real)) {
      if (this.#isDurable(key)) {
        const path = join(this.#gone, `${this.#goneFiles++}`);
        mkdirSync(this.#gone, { recursive: true });
        tried("remove", key, () => renameSync(real, path));
        this.#removed.set(key, { path, writes: this.#inodes.get(key)?.writes ?? [] });
      } else tried("remove", key, () => rmSync(real));
      this.#forgetName(key);
    }
  }

  /** Durable in the folder of `to`; that it left another folder is not. */
  rename(from: string, to: string): void {
    const small = this.#small.get(from);
    const left = parent(from) === parent(to) ? null : this.read(from);
    if (small === undefined) {
      tried("rename", `${from} to ${to}`, () => renameSync(this.#real(from), this.#real(to)));
      this.#small.delete(to);
    } else {
      this.replace(to, small);
      this.#small.delete(from);
    }
    const inode = this.#inodes.get(from);
    this.#inodes.delete(to);
    if (left !== null && (small !== undefined || this.#isDurable(from))) {
      this.#removed.set(from, { bytes: left });
    }
    this.#forgetName(from);
    if (inode !== undefined) {
      inode.key = to;
      this.#inodes.set(to, inode);
    }
    this.#sync(parent(to));
  }

  /** Null when there is none. */
  openRead(key: string): OpenedFile | Uint8Array | null {
    const small = this.#small.get(key), real = this.#real(key);
    if (small !== undefined) return small;
    if (!existsSync(real)) return null;
    return this.#handle(key, tried("open", key, () => openSync(real, constants.O_RDONLY)));
  }

  openWrite(key: string, truncate: boolean): OpenedFile {
    const small = this.#small.get(key), real = this.#real(key);
    if (small !== undefined) {
      tried("open", key, () => writeFileSync(real, small));
      this.#small.delete(key);
      this.#synced.add(key);
    } else if (parent(key) === "" && !existsSync(real)) this.#made.add(key);
    const opened = this.#handle(
      key,
      tried("open", key, () => openSync(real, constants.O_RDWR | constants.O_CREAT)),
    );
    if (truncate) opened.empty();
    return opened;
  }

  sync({ inode }: OpenedFile): void {
    inode.writes = [];
    this.#sync(parent(inode.key));
  }

  close(opened: OpenedFile): void {
    this.#opened.delete(opened);
    opened.close();
  }

  /** Closes what the process has open through `Files`. */
  closeAll(): void {
    for (const opened of this.#opened) this.close(opened);
  }

  /** Deletes everything. */
  delete(): void {
    this.closeAll();
    rmSync(this.path, { recursive: true, force: true });
    rmSync(this.#gone, { recursive: true, force: true });
  }

  /** `inCommit`: the power went inside the last COMMIT of `data.dfdb`. */
  image(how: Death, chance: Chance, inCommit: boolean): DiskImage {
    const files = new Map<string, ImageFile>(), folders: string[] = [];
    this.#visit("", (key, isFolder) => {
      if (how === "power" && !this.#isDurable(key) && chance.flip(0.5)) return false;
      if (isFolder) folders.push(key);
      else if (key.endsWith("-wal")) {
        this.#addLog(files, key, how, chance, inCommit && key === "data.dfdb-wal");
      } else if (!/(-shm|\.lock)$/.test(key)) files.set(key, this.#copied(key, how, chance));
      return true;
    });
    const isThere = (key: string): boolean => parent(key) === "" || folders.includes(parent(key));
    for (const [key, bytes] of this.#small) if (isThere(key)) files.set(key, { bytes, small: true });
    if (how === "power") this.#putBack(files, isThere, chance);
    return new DiskImage(files, folders);
  }

  /** What real files and folders there are, by name, a folder before what is in it; `take` says whether it is looked into. */
  #visit(folder: string, take: (key: string, isFolder: boolean) => boolean): void {
    const entries = readdirSync(this.#real(folder), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
      const key = childOf(folder, entry.name), isFolder = entry.isDirectory();
      if (take(key, isFolder) && isFolder) this.#visit(key, take);
    }
  }

  #copied(key: string, how: Death, chance: Chance): ImageFile {
    const bytes = readFileSync(this.#real(key)), writes = this.#inodes.get(key)?.writes ?? [];
    return { bytes: how === "kill" ? bytes : withoutUnsynced(bytes, writes, chance), small: false };
  }

  /** A write-ahead log. A long one as if the next process had checkpointed it already: copying it would cost more than all else. */
  #addLog(files: Map<string, ImageFile>, key: string, how: Death, chance: Chance, inCommit: boolean): void {
    const wal = borrowed(this.#real(key)), dataKey = key.slice(0, -"-wal".length), data = files.get(dataKey);
    const ends = wal.length > walBytesCopied && data !== undefined ? commitEnds(wal) : [];
    if (data === undefined || ends.length === 0) {
      const bytes = how === "kill" ? wal.slice() : afterPowerLoss(wal, chance, inCommit);
      return void files.set(key, { bytes, small: false });
    }
    const end = inCommit && chance.flip(0.5) ? ends.at(-2) : ends.at(-1);
    if (end !== undefined) files.set(dataKey, { bytes: checkpointed(data.bytes, wal, end), small: false });
  }

  #putBack(files: Map<string, ImageFile>, isThere: (key: string) => boolean, chance: Chance): void {
    const removed = [...this.#removed].sort(([a], [b]) => a < b ? -1 : 1);
    for (const [key, file] of removed) {
      if (files.has(key) || !isThere(key) || chance.flip(0.5)) continue;
      const small = "bytes" in file;
      const bytes = small ? file.bytes : withoutUnsynced(readFileSync(file.path), file.writes, chance);
      files.set(key, { bytes, small });
    }
  }

  #isDurable(key: string): boolean {
    return parent(key) === "" ? !this.#made.has(key) : this.#synced.has(key);
  }

  #forgetName(key: string): void {
    this.#inodes.delete(key);
    this.#made.delete(key);
    this.#synced.delete(key);
  }

  /** The names in `folder` are durable as they are. */
  #sync(folder: string): void {
    for (const [key, file] of this.#removed) {
      if (parent(key) !== folder) continue;
      this.#removed.delete(key);
      if ("path" in file) rmSync(file.path, { force: true });
    }
    if (folder === "") this.#made.clear();
    else for (const name of readdirSync(this.#real(folder))) this.#synced.add(childOf(folder, name));
  }

  #handle(key: string, file: number): OpenedFile {
    const inode = this.#inodes.get(key) ?? { key, writes: [] };
    this.#inodes.set(key, inode);
    const opened = new OpenedFile(file, inode);
    this.#opened.add(opened);
    return opened;
  }

  #real(key: string): string {
    return key === "" ? this.path : `${this.path}${sep}${key}`;
  }
}

/** The bytes of a file; good until the next call. Memory that is used again costs a quarter of new one. */
function borrowed(path: string): Uint8Array {
  const file = openSync(path, constants.O_RDONLY);
  try {
    const { size } = fstatSync(file);
    if (lent.length < size) lent = new Uint8Array(2 * size);
    for (let at = 0; at < size;) at += readSync(file, lent, at, size - at, at);
    return lent.subarray(0, size);
  } finally {
    closeSync(file);
  }
}

let lent = new Uint8Array();

function childOf(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

/** Folder that holds `key`; "" for the data dir itself. */
function parent(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf("/")));
}

function nameOf(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

function tried<Value>(action: string, what: string, run: () => Value): Value {
  try {
    return run();
  } catch (error) {
    throw failed(action, what, messageOf(error));
  }
}

function failed(action: string, what: string, why: string): DfdbError {
  return new DfdbError("io_error", `cannot ${action} ${what}: ${why}`);
}
