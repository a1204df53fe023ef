/** The shapes of answers: strict, so that a field too many or too few is seen. */
import * as v from "valibot";
import type { Shape } from "./http_contract_table.ts";

export const line = (value: unknown): string => JSON.stringify(value);

export const text = v.string();
export const flag = v.boolean();
export const yes = v.literal(true);
export const no = v.literal(false);
export const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Of a time, also with decimals. */
export const measured = v.pipe(v.number(), v.minValue(0));
export const hexId = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
/** Of entries and of documents. */
export const position = v.pipe(v.string(), v.regex(/^[0-9]+\.[0-9a-f]{8}-[0-9]+$/));
export const moment = v.pipe(
  v.string(),
  v.regex(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/),
);
export const address = v.pipe(v.string(), v.regex(/^[^\s:]+:[0-9]+$/));
export const fingerprint = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{8}$/));

/** An object with these members and no others. */
export const exactly = (members: Readonly<Record<string, Shape>>): Shape => v.strictObject(members);
/** These, in this order. */
export const inOrder = (...shapes: readonly Shape[]): Shape => v.strictTuple([...shapes]);
/** One or more. */
export const some = (shape: Shape): Shape => v.pipe(v.array(shape), v.minLength(1));
export const orNull = (shape: Shape): Shape => v.nullable(shape);
export const is = (value: string | number | boolean): Shape => v.literal(value);
export const oneOf = (...values: readonly string[]): Shape => v.picklist([...values]);

export const errorShape = (code: string, more: Readonly<Record<string, Shape>>): Shape =>
  exactly({ error: v.pipe(v.string(), v.minLength(5)), code: is(code), ...more });

/** A document of ours with `n` and nothing else. */
export const numbered = exactly({ _id: text, _etag: position, n: v.number() });
export const written = exactly({ success: yes, id: text, collection: text, etag: position });
export const edited = exactly({
  success: yes,
  id: text,
  collection: text,
  etag: position,
  document: numbered,
});
export const success = exactly({ success: yes });
export const timed = (more: Readonly<Record<string, Shape>>): Shape =>
  exactly({ success: yes, timeMs: count, ...more });

export const term = exactly({ epoch: count, run: hexId });
export const bulkShape = (succeeded: boolean, more: Readonly<Record<string, Shape>> = {}): Shape =>
  exactly({ ...bulkMembers(succeeded), ...more });
export const bulkMembers = (succeeded: boolean): Readonly<Record<string, Shape>> => ({
  success: is(succeeded),
  count,
  ids: v.array(text),
  errors: v.array(exactly({ index: count, error: text, code: text })),
  rolledBack: flag,
  atomic: flag,
  indexesRebuilt: count,
  indexesSkipped: count,
  timeSeconds: measured,
});

export const queryShape = (documents: Shape): Shape =>
  exactly({
    success: yes,
    count,
    affected: count,
    plan: text,
    executionTimeMs: measured,
    message: orNull(text),
    documents,
  });

export const configShape = exactly({
  node: exactly({
    nodeName: text,
    port: count,
    dataDir: text,
    bindAllInterfaces: flag,
    insecureDevMode: flag,
    httpEndpoint: orNull(text),
  }),
  security: exactly({
    adminKeyConfigured: flag,
    adminKeyFingerprint: orNull(fingerprint),
    replicationSecretConfigured: flag,
    replicationSecretFingerprint: orNull(fingerprint),
    tls: exactly({ configured: flag, certPath: orNull(text), certPasswordConfigured: flag }),
    scopedKeys: v.array(
      exactly({ description: orNull(text), scopes: v.array(text), keyFingerprint: fingerprint }),
    ),
  }),
  replication: exactly({
    role: oneOf("none", "leader", "follower"),
    port: count,
    leaderHost: orNull(text),
    leaderPort: orNull(count),
    minSyncReplicas: count,
    syncTimeoutSeconds: measured,
    autoFailover: orNull(exactly({ silenceSeconds: measured, newLeaderPort: orNull(count) })),
  }),
  network: exactly({ publicBaseUrl: orNull(text) }),
  restartRequired: some(text),
  liveEditable: inOrder(is("minSyncReplicas"), is("syncTimeoutSeconds")),
});

const snapshotMoved = (moved: string): Shape => exactly({ id: text, bytes: count, [moved]: count });

const followerOfLeader = exactly({
  endpoint: address,
  httpEndpoint: orNull(text),
  connectedAt: moment,
  handshakeSeq: count,
  worstCaseLagSeq: count,
  nodeId: hexId,
  nodeName: text,
  sentSeq: count,
  ackedSeq: count,
  lagSeq: count,
  lagMs: count,
  bytesInFlight: count,
  bytesBehind: count,
  snapshot: orNull(snapshotMoved("acked")),
  state: oneOf("catching_up", "streaming", "resync", "snapshot"),
  mode: is("logical"),
});

const refusedFollower = exactly({
  nodeId: hexId,
  nodeName: text,
  code: text,
  message: text,
  position,
  at: moment,
  // Of those that are `ahead`.
  leaderPosition: v.exactOptional(position),
  advice: v.exactOptional(text),
});

const leaderBlock = (followers: number): Shape =>
  exactly({
    currentSeq: count,
    port: orNull(count),
    followerCount: is(followers),
    followers: v.pipe(v.array(followerOfLeader), v.length(followers)),
    refused: v.array(refusedFollower),
    snapshots: exactly({
      making: orNull(exactly({ since: moment })),
      kept: v.array(exactly({ id: text, bytes: count, seq: count, readers: count, made: moment })),
    }),
    minSyncReplicas: count,
    sync: orNull(exactly({ waiting: count, confirmedSeq: count, candidates: v.array(text) })),
  });

const followerBlock = (follows: boolean): Shape =>
  exactly({
    lastAppliedSeq: count,
    opsApplied: count,
    gapsDetected: count,
    autoFailoverPromoted: flag,
    leader: follows ? exactly({ endpoint: address, httpEndpoint: orNull(text) }) : v.null(),
    state: follows ? text : v.null(),
    connects: count,
    lastContactMs: orNull(count),
    lagSeq: orNull(count),
    lagMs: orNull(count),
    leaderSeq: orNull(count),
    leaderReadOnly: orNull(flag),
    leaderTerm: orNull(exactly({ epoch: count, run: hexId, nodeId: hexId, firstSeq: count })),
    snapshot: orNull(snapshotMoved("received")),
    snapshotsInstalled: count,
    rescues: count,
    ahead: orNull(exactly({
      position,
      leader: exactly({ nodeId: orNull(hexId), nodeName: orNull(text), position: orNull(text) }),
      advice: text,
    })),
    lastError: orNull(exactly({ code: text, message: text, at: orNull(moment) })),
  });

/** Of `GET /replication/status`. */
export const statusShape = (
  role: "none" | "leader" | "follower",
  { followers = 0, autoFailover = false }: { followers?: number; autoFailover?: boolean } = {},
): Shape =>
  exactly({
    node: text,
    nodeId: hexId,
    databaseId: text,
    role: is(role),
    readOnly: flag,
    readOnlyReason: orNull(text),
    httpEndpoint: text,
    position,
    term,
    terms: v.array(exactly({ epoch: count, run: hexId, nodeId: hexId, firstSeq: count })),
    configuredRole: orNull(text),
    roleOrigin: text,
    roleNote: orNull(text),
    leader: leaderBlock(followers),
    follower: followerBlock(role === "follower"),
    handover: v.null(),
    autoFailover: autoFailover
      ? exactly({
        silenceSeconds: measured,
        newLeaderPort: orNull(count),
        state: text,
        reason: orNull(text),
        silentMs: orNull(count),
      })
      : v.null(),
    nodes: v.array(exactly({
      nodeId: hexId,
      nodeName: text,
      httpEndpoint: orNull(text),
      wireAddress: orNull(text),
      candidate: flag,
      silenceSeconds: orNull(measured),
      seen: orNull(moment),
    })),
    authority: exactly({ kind: text, holds: flag }),
    log: exactly({
      firstSeq: count,
      lastSeq: count,
      bytes: count,
      window: exactly({
        entries: count,
        bytes: count,
        seconds: orNull(count),
        bytesMax: count,
        ageMsMax: count,
      }),
    }),
    masters: v.null(),
    stall: exactly({ longestMs: measured, over: count }),
  });
