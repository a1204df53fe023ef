/** What a node listens on and whom it follows now; changed only by `transitions.ts` and its callers, one change at a time. */
import { DfdbError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { SyncAcks } from "../replication/sync_acks.ts";
import type { FollowerServer, LeaderFollowing, Successor, Welcomed } from "../replication/types.ts";
import { parseWireAddress } from "../replication/wire_address.ts";
import type { KnownNode } from "../wire/message.ts";
import type { FollowerDoor, LeaderAt, ListenerDoor, ListenFor, ReplicationParts } from "./replication.ts";
import { follow, serve, waitsFor } from "./replication.ts";

/** Where the wire's questions and news go. */
export interface Doors {
  /** A follower gave the sign of life that it was asked for. */
  readonly onSign: (nodeId: NodeId) => void;
  readonly listener: ListenerDoor;
  readonly follower: FollowerDoor;
}

export class Stand {
  server: FollowerServer | null = null;
  following: LeaderFollowing | null = null;
  /** What the answers to writes wait for; null: this node serves no followers, and nothing waits. */
  acks: SyncAcks | null = null;
  /** Where the leader was first looked for; null: this node follows nobody. */
  at: LeaderAt | null = null;
  /** Who welcomed this node last; null: nobody in this run, or it leads. */
  welcomed: Welcomed | null = null;
  /** It listens, and does not lead (yet). */
  standingBy = false;
  /** What this node proves and asks for: as the settings say, until a listener or a leader was named with another one. */
  secret: string | null;
  readonly #parts: ReplicationParts;
  readonly #doors: Doors;
  #pendingAcks: SyncAcks | null = null;
  #closing: Promise<void> = Promise.resolve();
  #opening: Promise<unknown> = Promise.resolve();
  /** How often it was told to listen no more: what is being bound meanwhile is not wanted. */
  #unlistened = 0;

  constructor(parts: ReplicationParts, doors: Doors) {
    this.#parts = parts;
    this.#doors = doors;
    this.secret = parts.settings.replicationSecret;
  }

  /** Whom this node follows, or followed last; null: it leads, or nobody is known. */
  get leader(): KnownNode | null {
    const { role, storage, known, nodeStore } = this.#parts;
    if (role.leadership !== null) return null;
    if (this.welcomed !== null) return this.welcomed.leader;
    const nodeId = storage.log.terms.at(-1)?.nodeId;
    if (nodeId === undefined || nodeId === nodeStore.nodeId) return null;
    return known.get(nodeId);
  }

  /** Port of the leader's wire, null when none is known. */
  get leaderPort(): number | null {
    const last = this.welcomed?.endpoint ?? this.#parts.kept.state?.leaderAddress ?? null;
    return (last === null ? null : parseWireAddress(last)?.port) ?? this.at?.port ?? null;
  }

  /** Listens, without leading. Rejects with `port_in_use`. */
  async listen(listen: ListenFor): Promise<FollowerServer> {
    const acks = this.#pendingAcks = waitsFor(this.#parts), calls = this.#unlistened;
    this.standingBy = true;
    await this.#closing;
    const { secret = this.secret } = listen;
    const opening = serve(this.#parts, { ...listen, secret }, this.#doors.listener, acks);
    this.#opening = opening.catch(() => {});
    let server: FollowerServer;
    try {
      server = await opening;
    } catch (error) {
      if (calls === this.#unlistened) this.standingBy = false;
      throw error;
    }
    if (calls !== this.#unlistened) {
      await server.close();
      throw new DfdbError("conflict", "This node was told meanwhile to listen no more");
    }
    this.server = server;
    this.secret = secret;
    server.onSign((nodeId) => this.#doors.onSign(nodeId));
    return server;
  }

  /** What listens leads from now on. */
  leads(): void {
    this.standingBy = false;
    this.counts();
  }

  /** From now on answers to writes wait for followers; before the first write of a leadership can be answered. */
  counts(): void {
    if (this.server === null || this.#pendingAcks === null) return;
    this.acks = this.#pendingAcks;
    this.#pendingAcks = null;
    this.acks.attach(this.server);
  }

  /** Tells followers, and those whose writes wait for them: `lost`, else that this node stops. */
  async unlisten(
    { successor, lost }: { readonly successor?: Successor; readonly lost?: DfdbError } = {},
  ): Promise<void> {
    const { server, acks } = this;
    this.#unlistened++;
    if (lost !== undefined) acks?.end(lost);
    acks?.close();
    this.acks = null;
    this.#pendingAcks = null;
    this.server = null;
    this.standingBy = false;
    if (server !== null) this.#closing = server.close(successor);
    await this.#opening;
    await this.#closing;
  }

  follow(at: LeaderAt): void {
    this.at = at;
    if (at.secret !== undefined) this.secret = at.secret;
    this.following = follow(this.#parts, { ...at, secret: this.secret }, this.#doors.follower);
  }

  /** Resolves when what is being applied has settled. */
  async unfollow(): Promise<void> {
    const { following } = this;
    this.following = null;
    await following?.close();
  }
}
