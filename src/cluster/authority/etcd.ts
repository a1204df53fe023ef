/** A leader key in etcd, bound to a lease that this node keeps alive. Why each step is safe: DESIGN.md beside this file. */
import { DfdbError, messageOf } from "../../base/errors.ts";
import type { DatabaseId, Epoch, NodeId } from "../../base/ids.ts";
import type { Logger } from "../../base/logger.ts";
import type { Runtime, Timer } from "../../runtime/runtime.ts";
import type { Authority, Holder, LeaderClaim } from "../authority.ts";
import { EtcdGateway } from "./gateway.ts";
import { EtcdKeys } from "./keys.ts";
import { type LeaseInput, LeaseMachine, type Sent } from "./lease.ts";
import { leaderOf, type SyncRecord } from "./records.ts";
import { SyncKeeper } from "./sync_keeper.ts";
import { noLease, planTake } from "./take.ts";

export interface EtcdAuthorityOptions {
  readonly runtime: Pick<Runtime, "fetch" | "clock" | "random">;
  readonly logger: Logger;
  readonly nodeId: NodeId;
  /** Asked anew by each call: a new follower takes over its leader's. */
  readonly databaseId: () => DatabaseId;
  /** Base URLs of one etcd, without a slash at the end. */
  readonly endpoints: readonly string[];
  /** The silence after which another node may lead: the time of the lease, in whole seconds, at least 2. */
  readonly silenceMs: number;
}

/** What etcd grants at least. */
const leaseSecondsMin = 2;
/** So often a take begins anew when something changed under it. */
const attemptsMax = 5;
/** Least and most time for one endpoint to answer, ms. */
const renewMinMs = 250, otherMinMs = 1_000, answerMaxMs = 5_000;
/** Least and most time between two looks of who waits for the place, ms. */
const watchMinMs = 200, watchMaxMs = 2_000;

interface Taken {
  readonly epoch: Epoch;
  readonly sync: SyncRecord;
}

interface Attempt {
  lease: string | null;
  /** A transaction was sent. */
  transacted: boolean;
}

export function etcdAuthority(options: EtcdAuthorityOptions): Authority {
  return new EtcdAuthority(options);
}

class EtcdAuthority implements Authority {
  readonly kind = "etcd";
  readonly syncSet: SyncKeeper;
  readonly #options: EtcdAuthorityOptions;
  readonly #gateway: EtcdGateway;
  readonly #keys: EtcdKeys;
  readonly #lease = new LeaseMachine();
  readonly #ttlSeconds: number;
  readonly #lost = new Set<(error: DfdbError) => void>();
  readonly #watches = new Set<() => void>();
  #timer: Timer | null = null;
  /** Takes go one after the other. */
  #taking: Promise<unknown> = Promise.resolve();
  #takes = 0;
  readonly #freeing = new Set<Promise<void>>();
  /** Counts what ends a take that is under way. */
  #releases = 0;
  #closed = false;
  /** The last renewal failed; it was logged. */
  #silent = false;

  constructor(options: EtcdAuthorityOptions) {
    const { runtime, endpoints, databaseId, logger } = options;
    this.#options = options;
    this.#ttlSeconds = leaseSeconds(options.silenceMs);
    const ttlMs = this.#ttlSeconds * 1_000;
    this.#gateway = new EtcdGateway({ runtime, endpoints });
    this.#keys = new EtcdKeys(this.#gateway, databaseId, {
      renewMs: clamp(ttlMs / 8, renewMinMs, answerMaxMs),
      otherMs: clamp(ttlMs / 4, otherMinMs, answerMaxMs),
    });
    this.syncSet = new SyncKeeper({ keys: this.#keys, logger, lease: () => this.#held() });
  }

  check(): DfdbError | null {
    const { clock } = this.#options.runtime, wall = clock.wall();
    const why = this.#lease.ended(clock.monotonic(), wall);
    if (why === null) return null;
    this.#feed({ type: "tick", wall });
    return noLease("not_held", why);
  }

  take(claim: LeaderClaim): Promise<Epoch> {
    const releases = this.#releases, taken = this.#taking.then(() => this.#take(claim, releases));
    this.#takes++;
    this.#taking = taken.then(() => {}, () => {}).then(() => void this.#takes--);
    return taken;
  }

  async release(): Promise<void> {
    const { id } = this.#lease;
    this.#releases++;
    this.syncSet.end();
    this.#feed({ type: "released", wall: this.#options.runtime.clock.wall() });
    if (id !== null) void this.#free(id);
    await this.#taking;
    await Promise.all(this.#freeing);
  }

  watch(vacant: () => void): () => void {
    const { clock, random } = this.#options.runtime;
    const pauseMs = clamp(this.#ttlSeconds * 125, watchMinMs, watchMaxMs);
    let stopped = false, timer: Timer | null = null;
    const look = async (): Promise<void> => {
      if (await this.#isVacant() && !stopped && this.#isFree()) vacant();
      if (!stopped) next();
    };
    // Not in step with others who wait.
    const next = (): void => {
      timer = clock.timer(pauseMs * (0.5 + random.float()), () => void look());
    };
    const stop = (): void => {
      stopped = true;
      timer?.cancel();
      this.#watches.delete(stop);
    };
    if (this.#closed) return stop;
    this.#watches.add(stop);
    next();
    return stop;
  }

  onLost(lost: (error: DfdbError) => void): () => void {
    const own = (error: DfdbError): void => lost(error);
    this.#lost.add(own);
    return () => void this.#lost.delete(own);
  }

  async holder(): Promise<Holder | null> {
    try {
      const state = await this.#keys.read("leader");
      return state === null ? null : leaderOf(state.text ?? "");
    } catch (thrown) {
      if (thrown instanceof DfdbError) throw thrown;
      throw new DfdbError("unreachable", `etcd refused: ${messageOf(thrown)}`, { cause: thrown });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.syncSet.end();
    this.#timer?.cancel();
    for (const stop of this.#watches) stop();
    this.#gateway.close();
    this.#feed({ type: "released", wall: this.#options.runtime.clock.wall() });
    await this.#taking;
  }

  /** Nobody leads, and this node is not about to. */
  #isFree(): boolean {
    return this.#held() === null && this.#takes === 0;
  }

  async #isVacant(): Promise<boolean> {
    if (!this.#isFree()) return false;
    try {
      const state = await this.#keys.read("leader");
      // What an earlier run of this node took holds nobody back but others.
      return state === null || leaderOf(state.text ?? "")?.node.nodeId === this.#options.nodeId;
    } catch {
      return false;
    }
  }

  /** The lease that this node may rely on now. */
  #held(): string | null {
    const { clock } = this.#options.runtime;
    return this.#lease.ended(clock.monotonic(), clock.wall()) === null ? this.#lease.id : null;
  }

  /** `releases`: as many as there were when it was asked for. */
  async #take(claim: LeaderClaim, releases: number): Promise<Epoch> {
    const before = this.#lease.id, sent = this.#now();
    const attempt: Attempt = { lease: null, transacted: false };
    try {
      this.#wanted(releases);
      const { id, ttlMs } = await this.#keys.grant(this.#ttlSeconds);
      attempt.lease = id;
      const { epoch, sync } = await this.#takeKey(claim, id, attempt);
      this.#wanted(releases);
      this.#feed({ type: "taken", id, ttlMs, sent, wall: this.#now().wall });
      if (this.#lease.id !== id) throw noLease("unreachable", "etcd answered too late");
      this.syncSet.begin(claim.node.nodeId, sync);
      this.#options.logger.info("took the lease", { epoch, seconds: ttlMs / 1000 });
      if (before !== null) void this.#free(before);
      return epoch;
    } catch (thrown) {
      this.#giveUp(attempt, before);
      if (thrown instanceof DfdbError && thrown.code === "no_lease") throw thrown;
      throw noLease("unreachable", messageOf(thrown));
    }
  }

  /** Nobody gave it up since. */
  #wanted(releases: number): void {
    if (this.#closed) throw noLease("closing", "it is stopping");
    if (this.#releases !== releases) throw noLease("closing", "it gave the lease up");
  }

  /** A transaction of which nothing was heard cannot be carried out without its lease, or goes with it. */
  #giveUp({ lease, transacted }: Attempt, before: string | null): void {
    // The key may be bound to the new lease, and go with it: the older one is worth nothing then.
    if (transacted && before !== null) {
      this.#feed({ type: "replaced", id: before, wall: this.#now().wall });
      void this.#free(before);
    }
    if (lease !== null) void this.#free(lease);
  }

  /** Until the leader key is bound to `lease`, or somebody else has it. */
  async #takeKey(claim: LeaderClaim, lease: string, attempt: Attempt): Promise<Taken> {
    for (let i = 0; i < attemptsMax; i++) {
      const plan = planTake(await this.#keys.readAll(), claim, lease);
      if (plan.step === "refused") throw plan.error;
      if (plan.step === "taken") return plan;
      attempt.transacted = true;
      if (await this.#transact(plan.compares, plan.puts)) return plan;
    }
    throw noLease("raced", "others change what it wants to change");
  }

  /** False: not, or nothing is known; the next look tells. */
  async #transact(...[compares, puts]: Parameters<EtcdKeys["transact"]>): Promise<boolean> {
    try {
      return await this.#keys.transact(compares, puts);
    } catch (thrown) {
      if (thrown instanceof DfdbError && thrown.code === "unreachable") return false;
      throw thrown;
    }
  }

  #now(): Sent {
    const { clock } = this.#options.runtime;
    return { at: clock.monotonic(), wall: clock.wall() };
  }

  #feed(input: LeaseInput): void {
    const { clock } = this.#options.runtime;
    for (const effect of this.#lease.step(input, clock.monotonic())) {
      if (effect.type === "renew") void this.#renew(effect.id);
      else this.#lose(effect.why);
    }
    this.#aim();
  }

  #aim(): void {
    const { clock } = this.#options.runtime, { deadline } = this.#lease;
    this.#timer?.cancel();
    this.#timer = deadline === null ? null : clock.timer(
      Math.max(0, deadline - clock.monotonic()),
      () => this.#feed({ type: "tick", wall: clock.wall() }),
    );
  }

  /** Keeps the lease alive, and sees that the place is still bound to it. */
  async #renew(id: string): Promise<void> {
    const sent = this.#now();
    try {
      const ttlMs = await this.#keys.keepAlive(id);
      const state = ttlMs > 0 ? await this.#keys.read("leader") : null;
      const { wall } = this.#now();
      const replaced = ttlMs > 0 && state?.lease !== id;
      if (replaced && this.#takes > 0) this.#feed({ type: "failed", id, wall }); // it may be this node that takes it anew
      else if (replaced) this.#feed({ type: "replaced", id, wall });
      else this.#feed({ type: "renewed", id, ttlMs, sent, wall });
      this.#silent = false;
      this.syncSet.settle();
    } catch (thrown) {
      const { at, wall } = this.#now(), leftMs = Math.round(this.#lease.left(at));
      if (!this.#silent && !this.#closed) {
        this.#options.logger.warn("the lease was not renewed", { reason: messageOf(thrown), leftMs });
      }
      this.#silent = true;
      this.#feed({ type: "failed", id, wall });
    }
  }

  /** Not at once: it may be the commit path that asked. */
  #lose(why: string): void {
    const error = noLease("not_held", why);
    this.syncSet.end();
    this.#options.logger.warn("lost the lease", { reason: why });
    this.#options.runtime.clock.macrotask(() => {
      if (!this.#closed) { for (const lost of [...this.#lost]) lost(error); }
    });
  }

  /** Frees a lease and the key that is bound to it; if that fails, its time ends. Never rejects. */
  #free(id: string): Promise<void> {
    const freed = this.#keys.revoke(id).catch((thrown) => {
      this.#options.logger.debug("the lease was not freed", { reason: messageOf(thrown) });
    }).finally(() => this.#freeing.delete(freed));
    this.#freeing.add(freed);
    return freed;
  }
}

/** Whole seconds, at least what etcd grants at all. */
export function leaseSeconds(silenceMs: number): number {
  return Math.max(leaseSecondsMin, Math.ceil(silenceMs / 1_000));
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
