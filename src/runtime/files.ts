/** Small files beside the database: mirrors, settings, rescue files. Paths are absolute or relative to the process. */
export interface Files {
  /** Bytes of the file, or null when it does not exist. Throws DfdbError `io_error` otherwise. */
  read(path: string): Promise<Uint8Array | null>;
  /**
   * Replaces the file as a whole: temporary file beside it, fsync, rename, fsync of the directory. After a crash the
   * old content or the new is there, never a part. Throws DfdbError `disk_full` or `io_error`.
   */
  writeAtomic(path: string, bytes: Uint8Array): Promise<void>;
  /** Creates the folder and its parents; fine when it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Removes a file; fine when it does not exist. */
  remove(path: string): Promise<void>;
  /** Size in bytes, or null when it does not exist. */
  size(path: string): Promise<number | null>;
  /** Absolute form of `path`, without a trailing separator. */
  absolute(path: string): string;
  join(...parts: string[]): string;
  /** Folder that holds `path`. */
  directory(path: string): string;
}
