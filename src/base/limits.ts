import { assert } from "./assert.ts";

const KiB = 1024, MiB = 1024 * KiB;

/**
 * Every maximum that is part of the format or bounds memory and is not a setting. Settings (with defaults) are in
 * `node/settings.ts`. Units are the last word of each name.
 */
export const limits = {
  // databases of one node
  databasesMax: 100,
  databaseNameCharsMax: 100,
  // documents
  documentIdBytesMax: 512,
  collectionNameCharsMax: 128,
  collectionsMax: 10_000,
  documentBytesMaxDefault: 16 * MiB,
  nestingMaxDefault: 100,
  /** Entries of a document's change vector: one for each database, one for each history that a failover or a backup left behind. */
  vectorEntriesMax: 512,
  /** Runs or ids of one operation of the log. */
  operationItemsMax: 500,
  bodyBytesMaxDefault: 64 * MiB,
  bulkDocumentsMaxDefault: 100_000,
  bulkSliceDocuments: 500,
  bulkSliceBytes: 1 * MiB,
  listDocumentsDefault: 100,
  listDocumentsMax: 10_000,
  listBytesMax: 32 * MiB,
  // indexes: of one collection; paths of one
  indexesMax: 500,
  indexNameCharsMax: 256,
  indexPathsMax: 8,
  /** Of one path as SQLite is given it: `$."a"."b"`. */
  indexPathCharsMax: 1_024,
  /** One slice of filling ends at the first of these: documents, and bytes of theirs, of which fewer where one has many keys. */
  indexSliceRows: 1_000,
  indexSliceBytes: 512 * KiB,
  indexSliceBytesMany: 64 * KiB,
  // what is set for collections (TTL, schema), read as a whole at each change: how many, the text of one, of all
  settingsMax: 20_000,
  settingCharsMax: 64 * KiB,
  settingsCharsMax: 8 * MiB,
  /** Documents of other collections that one entry may change or delete because of references, and their size. */
  cascadeDocumentsMax: 1_000,
  cascadeBytesMax: 8 * MiB,
  // expiry: documents of one slice, the least time between two, the share of the time that is left to others, and how often the clock is looked at
  expiryDocuments: 200,
  expiryPauseMs: 25,
  expiryPauseShare: 3,
  expiryLookMs: 60_000,
  /** So long nothing expires after the wall clock has jumped. */
  expirySettleMs: 600_000,
  /** How long whoever asked for a sweep waits for its end. */
  expiryAnswerMs: 60_000,
  // requests that may be repeated (Idempotency-Key): the key, how long, an answer as it is kept, how often those that expired are looked for
  idempotencyKeyCharsMax: 255,
  rememberedMs: 86_400_000,
  rememberedAnswerBytesMax: 4 * MiB,
  forgetEveryMs: 60_000,
  // scoped API keys, read as a whole at each change
  apiKeysMax: 1_000,
  apiKeyScopesMax: 64,
  apiKeyDescriptionCharsMax: 500,
  // queries
  queryMsDefault: 30_000,
  queryRowsMaxDefault: 1_000_000,
  /** What is read at once, in one macrotask: up to one of these; more is read in a worker. */
  queryAtOnceRows: 256,
  queryAtOnceChars: 256 * KiB,
  /** A larger document is read alone. */
  queryAtOnceBodyBytes: 16 * KiB,
  /** Worker threads that read, each one query at a time, and queries that wait for one. */
  queryThreads: 2,
  /** Of all databases of a node together. */
  queryThreadsMax: 4,
  queriesWaitingMax: 1_000,
  /** An unused thread stays so long. */
  queryThreadIdleMs: 30_000,
  /** A thread that does not answer so long after it was told to stop is left to itself. */
  queryStopMs: 1_000,
  /** A chunk of rows on its way from a thread ends at the first of these; so many are on their way. */
  queryChunkChars: 64 * KiB,
  queryChunkRows: 2_000,
  queryChunksAhead: 3,
  /** Documents that break a unique index or a schema are counted for so long at most. */
  violationsMs: 30_000,
  // log entries
  entryBytesMax: 64 * MiB,
  /** A larger entry is applied in slices of this size, each in a macrotask of its own. */
  sliceOperations: 500,
  sliceBytes: 1 * MiB,
  /** The newest entries that are kept in memory for those who read the log: up to one of these. */
  recentEntries: 10_000,
  recentBytes: 32 * MiB,
  // commit queue
  commitQueueMax: 20_000,
  commitQueueBytesMax: 256 * MiB,
  commitGroupMax: 1_000,
  commitGroupBytesMax: 4 * MiB,
  // wire: see src/wire/PROTOCOL.md
  helloBytesMax: 4 * KiB,
  frameBytesMax: 4 * MiB,
  /** An entry with a larger payload travels in parts of this size. */
  partBytes: 1 * MiB,
  snapshotPieceBytes: 1 * MiB,
  snapshotAboveEntries: 20_000,
  snapshotBusyBytesPerSecond: 64 * MiB,
  snapshotKeepMs: 600_000,
  /** What a snapshot carries of the log: the newest entries up to one of these. */
  snapshotLogEntries: 10_000,
  snapshotLogBytes: 32 * MiB,
  appendBytes: 1 * MiB,
  appendEntriesMax: 2_000,
  windowBytes: 8 * MiB,
  followersMax: 256,
  handshakesMax: 64,
  handshakeMs: 5_000,
  // feeds of changes: at once; one read of the log for one of them; a word at least so often; one whose client takes nothing ends
  feedsMax: 256,
  feedReadBytes: 1 * MiB,
  feedReadEntries: 500,
  feedWordMs: 15_000,
  feedStalledMs: 120_000,
  // times
  heartbeatMs: 2_000,
  contactLostMs: 10_000,
  reconnectMinMs: 100,
  reconnectMaxMs: 5_000,
  connectMs: 5_000,
  mirrorEveryMs: 200,
  shutdownMs: 10_000,
  /** How long a read waits for the position that its client has seen. */
  minPositionMs: 5_000,
  /** How long a forwarded write may take at the leader beyond the waiting for followers. */
  forwardedWriteMs: 60_000,
  lastAnswersMs: 1_000,
  stallMs: 250,
  /** A stall shorter than this may pass between two looks; a longer one is told too short by at most so much. */
  stallLookMs: 50,
  // between masters: destinations of a database; a batch ends at the first of these; a cursor is moved by itself after so many versions that needed
  // no sending; places that one run may be sent on to; see src/multimaster/DESIGN.md
  destinationsMax: 256,
  masterBatchItems: 1_024,
  masterBatchBytes: 1 * MiB,
  masterCursorVersions: 1_000,
  masterHopsMax: 3,
  /** A batch ends with a whole key, which may have several versions of the largest size. */
  masterBodyBytesMax: 128 * MiB,
  masterRequestMsDefault: 500,
  /** How often the failures of one destination are written. */
  failureNoteEveryMs: 60_000,
  /** After so long without a pass every destination is tried. */
  masterQuietMs: 300_000,
  /** What a sender reads in one macrotask: keys, and their bodies; in one request of the task; and versions without what they say. */
  masterSliceKeys: 200,
  masterSliceBytes: 256 * KiB,
  masterSlicesMax: 16,
  masterSliceDots: 2_000,
  /** How often a sender looks whether the tombstones of a collection that was dropped are written. */
  masterDroppingMs: 1_000,
  masterAnswerBytesMax: 64 * KiB,
  /** The newest runs of its history that a receiver tells. */
  masterHistoryRuns: 32,
  /** A deletion so much older than the last change of its key counts no more; part of the format. So old are tombstones that are purged. */
  deletionCountsMs: 14 * 86_400_000,
  /** What clocks of nodes of one database may differ by: tombstones are so much older still when they go. */
  purgeSlackMs: 3_600_000,
  /** What peers have confirmed is written this often, where there are tombstones and it has moved. */
  confirmationsEveryMs: 86_400_000,
  /** Of what a peer said earlier so many are kept, none between two that are less than this apart: together longer than a deletion counts. */
  witnessesMax: 9,
  witnessSpanMs: 2.5 * 86_400_000,
  /** Databases that were ever met; how much an answer tells of what was received from whom. */
  peersMax: 10_000,
  masterReceivedChars: 32 * KiB,
  /** Tombstones are looked through this often; from so many on there is a warning. */
  purgeEveryMs: 3_600_000,
  /** Tombstones that are looked at in one macrotask, and the least time between two. */
  purgeKeys: 250,
  purgePauseMs: 5,
  tombstonesWarn: 1_000_000,
  // who leads: see src/cluster/DESIGN.md
  leaderStartMsDefault: 30_000,
  failoverLagOpsDefault: 10_000,
  /** A follower's own start is no silence of its leader. */
  failoverGraceMs: 3_000,
  /** How long a leader that met a higher epoch asks whoever should lead under it. */
  claimAskMs: 3_000,
  /** How long a leader that stood still asks its candidates before it writes again: one of a machine that is busy gets a second and a third question. */
  lateAskMs: 3_000,
  /** How long the target of a handover in doubt answers nothing before its old leader takes its place anew, where somebody outside gives places. */
  doubtSilentMs: 10_000,
  /** How long a follower waits for its read-only leader to hand over. */
  promoteMs: 30_000,
  /** How often a program's probe of the next leader is asked. */
  probeEveryMs: 50,
  /** A candidate's last attempt to reach its silent leader takes a heartbeat, or at least so long: two round trips of a long line. */
  lastAttemptMsMin: 500,
  /** Other nodes that are kept for a database. */
  knownPeersMax: 64,
  /** When a node was last seen is written this often. */
  peerSeenEveryMs: 60_000,
  // storage
  pageBytes: 4096,
  cacheKiB: 32 * KiB,
  checkpointPages: 4_000,
  reclaimRows: 500,
  // the log's window; one slice of trimming ends at the first of these (measured: storage/DESIGN.md)
  logBytesMaxDefault: 1024 * MiB,
  logAgeMsMaxDefault: 7 * 86_400_000,
  trimEntries: 500,
  trimBytes: 2 * MiB,
  trimAgeEveryMs: 60_000,
  wallSettleMs: 3_600_000,
} as const;

assert(limits.helloBytesMax < limits.frameBytesMax, "hello fits a frame");
assert(limits.partBytes + limits.appendBytes + 64 * KiB < limits.frameBytesMax, "an append fits one frame");
assert(limits.snapshotPieceBytes + 64 * KiB < limits.frameBytesMax, "a piece of a snapshot fits one frame");
assert(limits.appendBytes <= limits.windowBytes, "one append frame fits the window");
assert(limits.documentBytesMaxDefault < limits.entryBytesMax, "a document fits an entry");
assert(
  limits.masterBatchBytes + 4 * limits.documentBytesMaxDefault < limits.masterBodyBytesMax,
  "a key with several versions fits the body of a batch",
);
assert(limits.commitGroupBytesMax <= limits.commitQueueBytesMax, "a commit group fits the queue");
assert(limits.heartbeatMs * 2 < limits.contactLostMs, "two heartbeats may be lost before contact is");
