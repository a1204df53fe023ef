/** What a master tells of its replication: `GET /replication/info`, and the member `masters` of the status. */
import type { MonotonicMs, WallMs } from "../base/ids.ts";
import { cursorText, placeText } from "../multimaster/batch_text.ts";
import type { DestinationProblem } from "../multimaster/destinations.ts";
import { placeAt } from "../multimaster/find_common.ts";
import type { IncomingCounts } from "../multimaster/incoming_types.ts";
import type { DestinationStatus } from "../multimaster/outgoing_events.ts";
import type { PurgeStatus } from "../multimaster/purge.ts";
import type { Source } from "../multimaster/sources.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { NotedFailure, Storage } from "../storage/storage.ts";
import type { MasterPolicy } from "./master_policy.ts";

export interface MastersSources {
  /** URL of this database. */
  readonly self: string;
  readonly storage: Pick<Storage, "log" | "databaseId">;
  readonly clock: Pick<Clock, "monotonic" | "wall">;
  readonly policy: MasterPolicy;
  readonly conflicts: number;
  readonly tombstones: number;
  /** Old tombstones that a peer has not confirmed, at the last look. */
  readonly heldBack: PurgeStatus["heldBack"];
  readonly incoming: IncomingCounts;
  readonly sources: readonly Source[];
  /** Null: this node does not send, because another one leads, or it may not say that it leads. */
  readonly outgoing: {
    readonly destinations: readonly DestinationStatus[];
    readonly problems: readonly DestinationProblem[];
    readonly passes: number;
  } | null;
  /** As they were noted, for a node that does not send. */
  readonly failures: readonly NotedFailure[];
}

type Shown = Readonly<Record<string, unknown>>;

/** The seeds' members, and with small letters those that come to them. */
export function infoOf(sources: MastersSources): Shown {
  const { self, storage: { log, databaseId }, outgoing, policy, conflicts, tombstones } = sources;
  return {
    Self: self,
    MostRecentDocumentEtag: placeText(placeAt(log, log.last.seq)),
    Stats: outgoing === null
      ? sources.failures.map(rowOfNote)
      : outgoing.destinations.map((each) => rowOf(each, sources.clock)),
    databaseId,
    sends: outgoing !== null,
    passes: outgoing?.passes ?? 0,
    problems: [
      ...(outgoing?.problems.map(({ message }) => message) ?? []),
      ...(policy.problem === null ? [] : [policy.problem]),
    ],
    policy: policyText(policy),
    conflicts,
    tombstones,
    tombstonesHeldBack: sources.heldBack,
    received: sources.incoming,
    sources: sources.sources.map(({ databaseId, url, filter, cursor }) => ({
      databaseId,
      url,
      filter,
      lastEtag: cursor === null ? null : cursorText(cursor),
    })),
  };
}

/** The short form, for the status. */
export function mastersBlock(sources: MastersSources): Shown {
  const { outgoing, policy, conflicts, incoming } = sources;
  return {
    sends: outgoing !== null,
    policy: policyText(policy),
    conflicts,
    rejected: incoming.rejected,
    destinations: outgoing?.destinations.map(({ url, state, failureCount, lastError, lastReplicated }) => ({
      url,
      state,
      failureCount,
      lastError,
      lastReplicatedSeq: lastReplicated?.seq ?? null,
    })) ?? [],
  };
}

function policyText({ policy: { kind } }: MasterPolicy): string {
  return kind;
}

function rowOf(status: DestinationStatus, clock: MastersSources["clock"]): Shown {
  const { url, leaderUrl, filter, state, receiver, lastReplicated, failureCount, lastError } = status;
  return {
    Url: url,
    LastHeartbeatReceived: momentOf(status.lastHeartbeatAt, clock),
    LastReplicatedEtag: lastReplicated === null ? null : placeText(lastReplicated),
    LastSuccessTimestamp: momentOf(status.lastSuccessAt, clock),
    LastFailureTimestamp: momentOf(status.lastFailureAt, clock),
    FailureCount: failureCount,
    LastError: lastError?.message ?? null,
    lastErrorCode: lastError?.code ?? null,
    databaseId: receiver?.databaseId ?? null,
    leaderUrl,
    filter,
    state,
    batchItems: status.batchItems,
  };
}

function rowOfNote({ url, count, error, atMs }: NotedFailure): Shown {
  return {
    Url: url,
    LastHeartbeatReceived: null,
    LastReplicatedEtag: null,
    LastSuccessTimestamp: null,
    LastFailureTimestamp: iso(atMs),
    FailureCount: count,
    LastError: error.message,
    lastErrorCode: error.code,
    databaseId: null,
    leaderUrl: null,
    filter: "",
    state: "idle",
    batchItems: 0,
  };
}

/** The wall clock may have been set since: the moment is as long ago as it was. */
function momentOf(at: MonotonicMs | null, clock: MastersSources["clock"]): string | null {
  return at === null ? null : iso((clock.wall() - (clock.monotonic() - at)) as WallMs);
}

function iso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
