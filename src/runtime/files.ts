/** Files beside the database: mirrors, settings, snapshots, rescue files. Paths are absolute or relative to the process. */
export interface Files {
  /** Bytes of the file, or null when it does not exist. Throws DfdbError `io_error` otherwise. */
  read(path: string): Promise<Uint8Array | null>;
  /**
   * Replaces the file as a whole: temporary file beside it, fsync, rename, fsync of the directory. After a crash the
   * old content or the new is there, never a part. Throws DfdbError `disk_full` or `io_error`.
   */
  writeAtomic(path: string, bytes: Uint8Array): Promise<void>;
  /** Creates the folder and its parents, durably; fine when it exists. Throws `disk_full` or `io_error`. */
  makeDirectory(path: string): Promise<void>;
  /** Removes a file; fine when it does not exist. */
  remove(path: string): Promise<void>;
  /** Size in bytes, or null when it does not exist. */
  size(path: string): Promise<number | null>;
  /** Opens a file to be read at any place, or null when it does not exist. Throws `io_error`. */
  openRead(path: string): Promise<ReadableFile | null>;
  /** Opens a file to be written at any place; creates it; `truncate` empties it first. Throws `disk_full`, `io_error`. */
  openWrite(path: string, options: { readonly truncate: boolean }): Promise<WritableFile>;
  /** Names in a folder, sorted; empty when it does not exist. */
  list(path: string): Promise<readonly string[]>;
  /** Moves a file within a folder tree, replacing what is there; fsync of the directory of `to`. Throws `io_error`. */
  rename(from: string, to: string): Promise<void>;
  /** Bytes free for this process on the disk that holds `path`; null where the system does not tell. */
  freeBytes(path: string): Promise<number | null>;
  /** Absolute form of `path`, without a trailing separator. */
  absolute(path: string): string;
  join(...parts: string[]): string;
  /** Folder that holds `path`. */
  directory(path: string): string;
}

export interface ReadableFile {
  readonly size: number;
  /** At most `length` bytes from `offset` on; fewer only at the end of the file. Throws `io_error`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface WritableFile {
  /** Throws `disk_full` or `io_error`. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** fsync of the file and of its directory. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
