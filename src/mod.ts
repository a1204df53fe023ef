/**
 * dfdb as a library: a database inside your own process ({@linkcode openDatabase}), or a whole node with its HTTP API
 * ({@linkcode startNode}). The package adds what belongs to the runtime you are on (`adapters/<runtime>/embed.ts`): its
 * `openDatabase` and `startNode` take no runtime.
 *
 * @module
 */
export { DfdbError, type ErrorCode, type ErrorDetails, errorStatus } from "./base/errors.ts";
export { type LogFields, type Logger, silentLogger } from "./base/logger.ts";
export { type Epoch, epochOf, type NodeId } from "./base/ids.ts";
export { type Authority, type Holder, type LeaderClaim, silence, type SyncSet } from "./cluster/authority.ts";
export {
  type AutoFailoverOptions,
  EmbeddedDatabase,
  type PlannedHandoverOptions,
  type Promoted,
  type ReplicationServerOptions,
} from "./node/embedded.ts";
export type { Given } from "./node/giving.ts";
export type { FollowerLastSeqProbe } from "./node/planned_handover.ts";
export type {
  BulkWritten,
  DocumentList,
  DocumentRead,
  DocumentWritten,
  TransactionResult,
  TransactionStep,
  WriteCondition,
} from "./node/embedded_documents.ts";
export type {
  EmbeddedIndex,
  IndexOptions,
  QueryOptions,
  QueryParams,
  QueryResult,
  Row,
} from "./node/embedded_queries.ts";
export type { Candidate, Resolve } from "./document/judge.ts";
export { type NodeOptions, type RunningNode, startNode } from "./node/node.ts";
export {
  type EmbeddedSettings,
  type MasterOptions,
  openDatabase,
  type OpenDatabaseOptions,
} from "./node/open_database.ts";
export { version } from "./node/version.ts";
export { readSettings, type SettingSources } from "./node/read_settings.ts";
export { type SettingName, type SettingRow, type Settings, settingsTable } from "./node/settings.ts";
export type { Runtime } from "./runtime/runtime.ts";
export type { Term } from "./storage/log.ts";
export type { KnownNode } from "./wire/message.ts";
