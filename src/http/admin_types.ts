/** What the routes under `/admin` need of the node: declared here, implemented by `node/`. */

export interface Admin {
  /** Moves the WAL into the data file as far as readers allow. Rejects with `busy`, `closing`. */
  checkpoint(): Promise<Checkpointed>;
  /**
   * Writes the data file anew without the space that is free in it. Writes wait until it is done, reads go on. Rejects with `busy`,
   * `disk_full`, `closing`; nothing has changed then.
   */
  compact(): Promise<Compacted>;
  /**
   * Copies the database as it is now into a new file on this machine's disk, which is there whole or not at all. Rejects with
   * `bad_request` (a path that is not taken), `conflict` (something is there), `busy`, `disk_full`, `closing`.
   */
  snapshot(targetPath: string): Promise<{ readonly bytes: number }>;
  /** The settings in force, without what is secret. */
  config(): Readonly<Record<string, unknown>>;
  /** Changes settings of the running node, until it is started again. Throws `bad_request`, and changes nothing then. */
  change(settings: LiveSettings): void;
}

export interface Checkpointed {
  readonly pages: number;
  /** Pages that somebody still reads out of the WAL. */
  readonly left: number;
}

export interface Compacted {
  /** Of the data file, now. */
  readonly pages: number;
  readonly freedBytes: number;
}

/** What can be changed without a restart. */
export interface LiveSettings {
  readonly minSyncReplicas?: number | undefined;
  readonly syncTimeoutSeconds?: number | undefined;
}
