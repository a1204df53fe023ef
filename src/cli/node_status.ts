/** What subcommands read of `GET /replication/status`. */
export interface NodeStatus {
  readonly node: string;
  readonly nodeId: string;
  readonly databaseId: string;
  readonly role: "none" | "leader" | "follower";
  readonly readOnly: boolean;
  readonly readOnlyReason: string | null;
  readonly position: string;
  readonly term: { readonly epoch: number; readonly run: string };
  readonly log: { readonly lastSeq: number };
  readonly leader: { readonly followers: readonly FollowerStatus[] };
  readonly follower: {
    readonly state: string | null;
    readonly lagSeq: number | null;
    readonly lagMs: number | null;
    readonly snapshot?: { readonly bytes: number; readonly received: number } | null;
    readonly lastError: { readonly code: string; readonly message: string; readonly at?: string } | null;
  };
}

/** A follower, as its leader tells it. */
export interface FollowerStatus {
  readonly nodeId?: string;
  readonly nodeName: string;
  readonly endpoint: string;
  readonly state: string;
  readonly ackedSeq: number;
  readonly lagSeq: number;
  readonly lagMs: number;
  readonly snapshot?: { readonly bytes: number; readonly acked: number } | null;
}

/** True when `answer` is the status of a dfdb node. */
export function isNodeStatus(answer: unknown): answer is NodeStatus {
  const status = answer as Partial<NodeStatus> | null;
  return typeof status === "object" && status !== null && typeof status.node === "string" &&
    typeof status.role === "string" && typeof status.position === "string" &&
    typeof status.databaseId === "string" && typeof status.log === "object" &&
    typeof status.leader === "object" && typeof status.follower === "object" &&
    typeof status.term === "object";
}
