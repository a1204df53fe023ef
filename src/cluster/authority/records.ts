/** What stands in the three keys of a database, as text. */
import { type Epoch, epochOf, isHexId, type NodeId } from "../../base/ids.ts";
import type { KnownNode } from "../../wire/message.ts";
import type { Holder } from "../authority.ts";

/** The nodes that may take the lease; `required` 0: everybody may. */
export interface SyncRecord {
  readonly required: number;
  readonly members: readonly NodeId[];
}

export function leaderText(node: KnownNode, epoch: Epoch): string {
  const { nodeId, nodeName, httpUrl, wireAddress } = node;
  return JSON.stringify({ nodeId, nodeName, httpUrl, wireAddress, epoch });
}

/** Null: somebody else wrote it. */
export function leaderOf(text: string): Holder | null {
  const value = fieldsOf(text), epoch = value?.["epoch"], nodeId = value?.["nodeId"];
  if (value === null || !isHexId(nodeId) || !isNumber(epoch)) return null;
  const { nodeName, httpUrl, wireAddress } = value;
  return {
    node: {
      nodeId: nodeId as NodeId,
      nodeName: textOf(nodeName) ?? nodeId,
      httpUrl: textOf(httpUrl),
      wireAddress: textOf(wireAddress),
    },
    epoch: epochOf(epoch),
  };
}

export function syncText({ required, members }: SyncRecord): string {
  return JSON.stringify({ required, members });
}

/** Null: somebody else wrote it; nobody may be taken for a member then. */
export function syncOf(text: string): SyncRecord | null {
  const value = fieldsOf(text), required = value?.["required"], members = value?.["members"];
  if (!isNumber(required) || !Array.isArray(members) || !members.every(isHexId)) return null;
  return { required, members: members as NodeId[] };
}

/** Null: it is no number. */
export function epochOfText(text: string): Epoch | null {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  return isNumber(value) ? epochOf(value) : null;
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Readonly<Record<string, unknown>> : null;
  } catch {
    return null;
  }
}
