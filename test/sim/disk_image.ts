/** What a disk holds at one moment: what the next process of the machine finds. */

export interface ImageFile {
  /** Shared between images; not to be changed. */
  readonly bytes: Uint8Array;
  /** It was written as a whole through `Files` and is kept in memory. */
  readonly small: boolean;
}

/** In memory; may be mounted any number of times. Keys are relative to the data dir, with `/`. */
export class DiskImage {
  /** Folders below the data dir; a folder before those in it. */
  readonly folders: readonly string[];
  #files: ReadonlyMap<string, ImageFile> | null;

  constructor(files: ReadonlyMap<string, ImageFile>, folders: readonly string[]) {
    this.#files = files;
    this.folders = folders;
  }

  /** Throws after `drop`. */
  get files(): ReadonlyMap<string, ImageFile> {
    if (this.#files === null) throw new Error("the image was dropped");
    return this.#files;
  }

  get bytes(): number {
    return [...this.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Frees its memory. */
  drop(): void {
    this.#files = null;
  }
}

/** From where each part of a combined image comes. */
export interface ImageParts {
  /** `data.dfdb` with its write-ahead log. */
  readonly data: DiskImage;
  /** `node.dfdb` with its write-ahead log. */
  readonly node: DiskImage;
  /** `data.dfdb.followerseq`, `data.dfdb.term`. */
  readonly mirrors: DiskImage;
  /** Everything else: rescue files, snapshots, what is being received. */
  readonly rest: DiskImage;
}

/** A disk on which parts were restored: `{ data: older, node: now, mirrors: now, rest: now }`. */
export function combine(parts: ImageParts): DiskImage {
  const files = new Map<string, ImageFile>();
  for (const part of ["data", "node", "mirrors", "rest"] as const) {
    for (const [key, file] of parts[part].files) if (partOf(key) === part) files.set(key, file);
  }
  return new DiskImage(files, parts.rest.folders);
}

function partOf(key: string): keyof ImageParts {
  if (/^data\.dfdb(-wal|-journal)?$/.test(key)) return "data";
  if (/^node\.dfdb(-wal|-journal)?$/.test(key)) return "node";
  return /^data\.dfdb\.(followerseq|term)$/.test(key) ? "mirrors" : "rest";
}
