/** The property exists for the type checker only. */
type Brand<Value, Name extends string> = Value & { readonly __brand: Name };

/** Number of a log entry: starts at 1, has no holes, survives restarts and promotions. 0 = "nothing yet". Below 2^53. */
export type Seq = Brand<number, "Seq">;
/** Rises at each promotion and whenever a node starts to lead a database whose last run was not its own. 0 = no term yet. */
export type Epoch = Brand<number, "Epoch">;
/** 128 random bits as 32 lower-case hex digits, drawn each time a node starts to lead. */
export type RunId = Brand<string, "RunId">;
/** Identity of a node, 32 hex digits, kept in `node.dfdb`. */
export type NodeId = Brand<string, "NodeId">;
/** Identity of a database, 32 hex digits, made once, the same on leader and followers. */
export type DatabaseId = Brand<string, "DatabaseId">;
/** Id of a document inside its collection: 1 to 512 bytes of UTF-8 without control characters. */
export type DocumentId = Brand<string, "DocumentId">;
/** Number of a collection inside its database; never reused. */
export type CollectionNumber = Brand<number, "CollectionNumber">;
/** Of an index in one data file: other nodes number theirs otherwise. */
export type IndexNumber = Brand<number, "IndexNumber">;
/** Milliseconds on a clock that never goes back; only differences mean anything. */
export type MonotonicMs = Brand<number, "MonotonicMs">;
/** Milliseconds since 1970-01-01 UTC as the machine believes; may jump either way. */
export type WallMs = Brand<number, "WallMs">;

export const seqOf = (value: number): Seq => value as Seq;
export const epochOf = (value: number): Epoch => value as Epoch;
export const runIdOf = (value: string): RunId => value as RunId;
export const nodeIdOf = (value: string): NodeId => value as NodeId;
export const databaseIdOf = (value: string): DatabaseId => value as DatabaseId;
export const documentIdOf = (value: string): DocumentId => value as DocumentId;
export const collectionNumberOf = (value: number): CollectionNumber => value as CollectionNumber;
export const indexNumberOf = (value: number): IndexNumber => value as IndexNumber;
export const monotonicMsOf = (value: number): MonotonicMs => value as MonotonicMs;
export const wallMsOf = (value: number): WallMs => value as WallMs;

/** The run of the position before the first entry. */
export const noRun: RunId = runIdOf("0".repeat(32));

/** True for 32 lower-case hex digits, the form of run, node and database ids. */
export function isHexId(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{32}$/.test(value);
}
