/** One opened file of a disk of the simulator: real bytes, and what of them was not synced. */
import { closeSync, fstatSync, ftruncateSync, readSync, writeSync } from "node:fs";
import type { UnsyncedWrite } from "./unsynced_writes.ts";

/** What is known of a file as long as it was not synced; follows it when it is renamed. */
export interface Inode {
  key: string;
  writes: UnsyncedWrite[];
}

/** A handle. After `close` nothing may be called but `close`. */
export class OpenedFile {
  readonly inode: Inode;
  readonly #file: number;
  #closed = false;

  constructor(file: number, inode: Inode) {
    this.#file = file;
    this.inode = inode;
  }

  get size(): number {
    return fstatSync(this.#file).size;
  }

  /** Fewer bytes than `length` at the end of the file only. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const read = readSync(this.#file, bytes, at, length - at, offset + at);
      if (read === 0) return bytes.slice(0, at);
      at += read;
    }
    return bytes;
  }

  write(at: number, bytes: Uint8Array): void {
    const { size } = this, overwritten = Math.max(0, Math.min(bytes.length, size - at));
    this.inode.writes.push({ at, bytes, before: this.read(at, overwritten), size });
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#file, bytes, done, bytes.length - done, at + done);
    }
  }

  empty(): void {
    const { size } = this;
    if (size === 0) return;
    this.inode.writes.push({ at: 0, bytes: null, before: this.read(0, size), size });
    ftruncateSync(this.#file, 0);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }
}
