/** What the API of a node with several databases needs of it: declared here, implemented by `node/`. */
import type { HttpHandler } from "../runtime/http_host.ts";

/** An attached database that is open, and its API. */
export interface DatabaseBehind {
  readonly name: string;
  readonly handler: HttpHandler;
  /** A request to it has begun; what is returned tells that it is over. */
  begun(): () => void;
}

export interface NodeDatabases {
  /** The one that is always there: `default`. */
  readonly main: DatabaseBehind;
  /** The one that flat paths mean; null: it could not be opened. */
  readonly byDefault: DatabaseBehind | null;
  readonly defaultName: string;
  /** By its name, without regard to case; null: see {@linkcode missing}. */
  find(name: string): DatabaseBehind | null;
  /** Throws why there is none: `not_found`, or `database_unavailable` for one that could not be opened. */
  missing(name: string): never;
  list(): readonly ShownDatabase[];
  /** Opens a database, and keeps it attached over restarts. Rejects with `bad_request`, `conflict`, `not_found`, ... */
  attach(name: string, file: DatabaseFile): Promise<ShownDatabase>;
  /** Waits for what runs, closes it, and with `deleteFiles` deletes its files. Its name. Rejects with `not_found`, `conflict`. */
  detach(name: string, deleteFiles: boolean): Promise<string>;
  /** Its name. Rejects with `not_found`, `database_unavailable`. */
  setDefault(name: string): Promise<string>;
  /** Data files in the data folder that belong to no attached database. */
  unattached(): Promise<readonly UnattachedFile[]>;
}

export interface DatabaseFile {
  /** Relative to the data folder, or absolute and in it; null: where its name says. */
  readonly path: string | null;
  /** Makes the file where there is none. */
  readonly create: boolean;
  /** Has them from the first write on that anybody makes to it here; on a follower when its leader has. */
  readonly bundles: readonly Bundle[];
  /** With a bundle: also where there are documents. */
  readonly adoptExisting: boolean;
}

/** `replication`: it keeps versions, and may replicate with other masters. */
export type Bundle = "replication";

export interface ShownDatabase {
  readonly name: string;
  readonly filePath: string;
  readonly isDefault: boolean;
  readonly status: "open" | "closing" | "unavailable";
  /** Null while it is not open. */
  readonly role: "none" | "leader" | "follower" | null;
  /** Those that are active; none while it is not open. */
  readonly bundles: readonly Bundle[];
  /** Why it could not be opened. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface UnattachedFile {
  readonly suggestedName: string;
  /** A database of this name is attached. */
  readonly nameConflict: boolean;
  readonly path: string;
  readonly sizeBytes: number;
}
