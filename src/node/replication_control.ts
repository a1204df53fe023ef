/** Changes of the role while the node runs: one at a time, each checked against the table of `cluster/`. */
import { hex } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { epochOf, runIdOf } from "../base/ids.ts";
import type { RoleFacts, RoleRequest } from "../cluster/role_requests.ts";
import { refusalOf } from "../cluster/role_requests.ts";
import type { Plan } from "../engine/plan.ts";
import type { SyncAcks } from "../replication/sync_acks.ts";
import type { FollowerServer, LeaderFollowing } from "../replication/types.ts";
import type { Term } from "../storage/log.ts";
import { epochAfter } from "./kept_state.ts";
import type { LeaderAt, ListenFor, ReplicationParts } from "./replication.ts";
import { follow, serve, waitsFor } from "./replication.ts";

/** Rejections are those of `refusalOf`, `closing`, and what is said here. */
export interface Replication {
  readonly server: FollowerServer | null;
  readonly following: LeaderFollowing | null;
  /** What the answers to writes wait for; null: this node serves no followers, and nothing waits. */
  readonly acks: SyncAcks | null;
  /** The leadership of this node goes on and gets a listener. Rejects with `port_in_use` when its port is taken. */
  startLeader(listen: ListenFor): Promise<FollowerServer>;
  /** Ends the leadership, then follows; resolves before there is a connection. */
  startFollower(leader: LeaderAt): Promise<void>;
  /** Stops serving followers or following; a leader leads on without a listener, a follower takes no writes. */
  stop(): Promise<void>;
  /** On: resolves when no write is in progress any more, and none begins. */
  setReadOnly(on: boolean): Promise<void>;
  /** Gives up what followers hold more: begins a new epoch, durable when it resolves, and is writable. */
  acceptLoss(): Promise<Term>;
  /** Rejects with `conflict` when this node follows nobody. */
  resync(): Promise<void>;
  close(): Promise<void>;
}

/** Starts what the role asks for. Throws `port_in_use` when the replication port is taken. */
export async function startReplication(parts: ReplicationParts): Promise<Replication> {
  const control = new Control(parts);
  await control.begin();
  return control;
}

/** Writes nothing: it is answered after everything that was queued before it. */
const barrier: Plan<null> = { bytes: 0, run: () => null };

/** Makes the run's term entry durable though nothing else is written. */
const beginRun: Plan<null> = { bytes: 0, beginsRun: true, run: () => null };

class Control implements Replication {
  readonly #parts: ReplicationParts;
  #server: FollowerServer | null = null;
  #following: LeaderFollowing | null = null;
  #acks: SyncAcks | null = null;
  #changes: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;

  constructor(parts: ReplicationParts) {
    this.#parts = parts;
  }

  get server(): FollowerServer | null {
    return this.#server;
  }

  get following(): LeaderFollowing | null {
    return this.#following;
  }

  get acks(): SyncAcks | null {
    return this.#acks;
  }

  async begin(): Promise<void> {
    const { role, settings } = this.#parts;
    if (role.kind === "leader") await this.#serve({ port: settings.replicationPort });
    const { leaderHost: hostname, leaderPort: port } = settings;
    if (role.kind !== "follower" || hostname === null || port === null) return;
    this.#following = follow(this.#parts, { hostname, port });
  }

  startLeader(listen: ListenFor): Promise<FollowerServer> {
    return this.#change("start-leader", async () => {
      const { role, kept, behind } = this.#parts;
      const server = await this.#serve(listen);
      kept.save({ role: "leader" });
      role.leadAs("leader");
      behind.leads();
      return server;
    });
  }

  startFollower(leader: LeaderAt): Promise<void> {
    return this.#change("start-follower", async () => {
      const { role, kept, behind } = this.#parts;
      this.#acks?.end(
        new DfdbError("outcome_unknown", "This node stopped leading before followers confirmed"),
      );
      await this.#stopServing();
      // Whom it follows now has what is missing; read-only for another reason it stays.
      if (role.readOnly.reason === "behind_followers") role.setReadOnly("operator", true);
      role.setReadOnly("mirror_ahead", false);
      role.setReadOnly("follower_ahead", false);
      behind.follows();
      kept.save({ role: "follower" });
      role.follow();
      role.setLeaderHttpUrl(null);
      this.#following = follow(this.#parts, leader);
    });
  }

  stop(): Promise<void> {
    return this.#change(null, async () => {
      const { role, kept } = this.#parts;
      await this.#following?.close();
      this.#following = null;
      await this.#stopServing();
      if (role.kind === "leader") role.leadAs("none");
      kept.save();
    });
  }

  setReadOnly(on: boolean): Promise<void> {
    return this.#change(on ? "read-only" : "read-write", async () => {
      const { role, kept } = this.#parts;
      role.setReadOnly("operator", on);
      kept.save();
      if (on) await this.#drained();
    });
  }

  acceptLoss(): Promise<Term> {
    return this.#change("accept-loss", async () => {
      const { role, kept, behind, storage, engine, runtime, logger } = this.#parts;
      const kind = role.kind === "leader" ? "leader" : "none";
      const epochs = [storage.log.last.epoch, ...(role.leadership === null ? [] : [role.leadership.epoch])];
      const term = {
        epoch: epochOf(epochAfter(kept, ...epochs)),
        run: runIdOf(hex(runtime.random.bytes(16))),
      };
      const causes = [...role.readOnlyCauses];
      // Until the run has begun nothing is accepted yet: after a crash here it has to be asked for again.
      kept.save({ causes: new Set([...causes, "follower_ahead"]), epoch: term.epoch });
      await behind.giveUp(async () => {
        for (const cause of causes) role.setReadOnly(cause, false);
        role.lead(kind, term);
        logger.warn("what followers hold more is given up: a new epoch begins", { epoch: term.epoch });
        try {
          await engine.submit(beginRun);
        } catch (error) {
          if (storage.log.last.run !== term.run) {
            for (const cause of causes) role.setReadOnly(cause, true);
          }
          throw error;
        } finally {
          kept.save();
        }
      });
      return term;
    });
  }

  resync(): Promise<void> {
    return this.#change("resync", () => {
      this.#following?.resync();
      return Promise.resolve();
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#changes.then(() => this.#close(), () => this.#close());
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#following?.close();
    await this.#stopServing();
  }

  async #serve(listen: ListenFor): Promise<FollowerServer> {
    const acks = waitsFor(this.#parts);
    const server = await serve(this.#parts, listen, acks);
    acks.attach(server);
    this.#acks = acks;
    this.#server = server;
    return server;
  }

  /** Tells followers, and those whose writes wait for them. */
  async #stopServing(): Promise<void> {
    const server = this.#server;
    this.#acks?.close();
    this.#acks = null;
    this.#server = null;
    await server?.close();
  }

  /** Runs `run` after the changes before it, unless the table refuses it then. */
  #change<Value>(request: RoleRequest | null, run: () => Promise<Value>): Promise<Value> {
    if (this.#closing !== null) return Promise.reject(new DfdbError("closing", "This node is stopping"));
    const change = this.#changes.then(() => {
      const refusal = request === null ? null : refusalOf(request, this.#facts());
      if (refusal !== null) throw refusal;
      return run();
    });
    this.#changes = change.catch(() => {});
    return change;
  }

  #facts(): RoleFacts {
    const { role, kept, storage } = this.#parts;
    const refused = this.#server?.refused() ?? [];
    const own = role.leadership?.epoch ?? 0, heard = kept.highestEpoch;
    return {
      kind: role.kind,
      readOnlyReason: role.readOnly.reason,
      following: this.#following?.status().endpoint ?? null,
      wrote: role.leadership !== null && storage.log.last.run === role.leadership.run,
      higherEpoch: heard > own ? heard : null,
      followerAhead: refused.some(({ code }) => code === "ahead"),
    };
  }

  /** Resolves when everything that was queued is answered. */
  async #drained(): Promise<void> {
    const { engine, runtime } = this.#parts;
    for (;;) {
      const refusal = await engine.submit(barrier).then(() => null, (error: unknown) => error);
      if (!(refusal instanceof DfdbError) || refusal.code !== "busy") return;
      await new Promise<void>((resolve) => runtime.clock.macrotask(resolve));
    }
  }
}
