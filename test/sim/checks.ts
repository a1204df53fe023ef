/** All checkers of a world, and when each of them looks. */
import { limits } from "../../src/base/limits.ts";
import type { Tasks } from "../../src/runtime/workers.ts";
import type { SnapshotMade, SnapshotOrder } from "../../src/storage/sqlite/make_snapshot.ts";
import { checkContent, checkConverged } from "./content_check.ts";
import type { Cluster, Machine } from "./cluster.ts";
import { DeletionsCheck } from "./deletions_check.ts";
import { FeedCheck } from "./feed_check.ts";
import { FollowersCheck } from "./followers_check.ts";
import { HandoverCheck } from "./handover_check.ts";
import { History } from "./history.ts";
import { checkIndexes } from "./index_check.ts";
import { IndexMakings } from "./index_makings.ts";
import { LeadershipCheck } from "./leadership_check.ts";
import { LeaseCheck, type Writing } from "./lease_check.ts";
import { Promises } from "./promises.ts";
import { checkBehind, checkRead, checkState } from "./read_check.ts";
import { Replay } from "./replay.ts";
import { RescuedCheck } from "./rescued_check.ts";
import { RetentionCheck } from "./retention_check.ts";
import { RulesCheck } from "./rules_check.ts";
import { SimProcess, wallStart } from "./sim_process.ts";
import type { Swarm } from "./swarm.ts";
import { SyncCandidates } from "./sync_candidates.ts";
import type { Begin } from "./transitions_watch.ts";
import { Troubles } from "./troubles.ts";
import {
  type Observed,
  type ReadSeen,
  type RefusedRead,
  type StateSeen,
  Violation,
  type Write,
} from "./types.ts";
import type { World } from "./world.ts";
import { WrittenTags } from "./written_tags.ts";

/** Events of a node between two looks at all that it holds. */
const contentEvery = 500;

export class Checks {
  readonly history: History;
  readonly promises: Promises;
  readonly leadership: LeadershipCheck;
  /** Null: nobody is asked who may lead. */
  readonly leases: LeaseCheck | null;
  readonly handovers: HandoverCheck;
  /** Null: nobody follows feeds. */
  readonly feeds: FeedCheck | null;
  readonly troubles: Troubles;
  readonly makings = new IndexMakings();
  readonly #now: () => number;
  readonly #candidates = new SyncCandidates();
  readonly #swarm: Swarm;
  readonly #tags: WrittenTags;
  readonly #replay: Replay;
  readonly #followers: FollowersCheck;
  readonly #retention: RetentionCheck;
  readonly #rescued: RescuedCheck;
  readonly #rules: RulesCheck;
  readonly #deletions: DeletionsCheck;
  readonly #machineOf = new Map<string, string>();
  readonly #acks = new WeakMap<Observed, number>();
  #untilContent = contentEvery;
  /** What nodes did, added up over their processes. */
  readonly counts: Record<string, number> = {};

  constructor(world: World, swarm: Swarm, cluster: () => Cluster) {
    this.#swarm = swarm;
    const now = this.#now = () => world.now, history = this.history = new History(now);
    const machineOf = (nodeId: string): string | null => this.#machineOf.get(nodeId) ?? null;
    history.allowCollisions();
    this.troubles = new Troubles(now);
    this.handovers = new HandoverCheck(history);
    const leadership = this.leadership = new LeadershipCheck({
      history,
      machineOf,
      given: swarm.authority !== "silence",
    });
    this.leases = swarm.authority === "silence" ? null : new LeaseCheck({
      history,
      writing: () => writing(world, cluster()),
      causeOf: (run) => leadership.causeOf(run),
    });
    history.onEntry(({ operations }) => {
      this.#count(operations[0]?.kind === "term" ? "runs" : "entries");
    });
    history.onRollback(({ why }) => this.#count(why));
    // Right after a node took over another history it may show something of the old one.
    history.onRollback(() => this.#untilContent = 0);
    const tags = this.#tags = new WrittenTags(history), replay = this.#replay = new Replay(history);
    this.#rules = new RulesCheck({ history, replay });
    const wentBackMs = (): number => backMs(cluster(), now());
    const deletions = this.#deletions = new DeletionsCheck({ history, replay, wentBackMs });
    this.promises = new Promises({
      history,
      replay,
      tags,
      deletions,
      // Of whom it has not heard since it started it knows the id alone.
      candidatesOf: (...of) => this.#candidates.during(...of).map((name) => machineOf(name) ?? name),
    });
    this.#followers = new FollowersCheck({ history, now, machineOf });
    const rescued = (name: string) => cluster().machine(name).disk.rescued();
    this.#rescued = new RescuedCheck({ history, replay, rescued });
    this.#retention = new RetentionCheck(history);
    const failures = swarm.faults.failedCommit > 0;
    this.feeds = swarm.feeds === 0 ? null : new FeedCheck({ history, replay, now, failures });
  }

  started(node: Observed): void {
    this.#machineOf.set(node.nodeId, node.machine);
    this.history.observe(node);
  }

  /** A table of tasks that tells of each snapshot that is made. */
  tasks(table: Tasks): Tasks {
    const make = table["sqlite.makeSnapshot"];
    if (make === undefined) return table;
    return {
      ...table,
      "sqlite.makeSnapshot": async (input, context) => {
        const made = await make(input, context) as SnapshotMade;
        const [, id] = /([0-9a-f]{32})\.dfdb$/.exec((input as SnapshotOrder).target) ?? [];
        if (id !== undefined) this.#retention.made(id, { seq: made.position.seq, bytes: made.bytes });
        return made;
      },
    };
  }

  /** After each event of a machine's process. */
  look(machine: Machine, cluster: Cluster): void {
    const { observed, process, clock } = machine;
    if (observed === null || process === null) return;
    const { log } = observed.storage, before = this.history.tip(machine.name);
    this.history.observe(observed);
    this.feeds?.look(observed);
    const tip = this.history.tip(machine.name);
    if (tip !== before) this.leadership.holds(machine.name, tip);
    const { logBytesMax, logAgeMs, required } = this.#swarm;
    if (required > 0) this.#candidates.look(machine, this.#now());
    const wallMs = Math.floor(wallStart + process.now * clock.rate + clock.wallOffsetMs);
    this.#retention.check(observed, { logBytesMax, logAgeMs, wallMs });
    if (tip !== before || log.last.seq === 0) this.#acknowledged(cluster);
    else this.#heard(observed);
    if (--this.#untilContent > 0 || machine.failing) return;
    this.#untilContent = contentEvery;
    checkContent(observed, this.#options);
  }

  /** A leader believes something new as soon as an acknowledgement comes, before anybody commits again. */
  #heard(observed: Observed): void {
    const sum = observed.acknowledged?.() ?? 0;
    if (sum === this.#acks.get(observed)) return;
    this.#acks.set(observed, sum);
    this.#followers.check(observed);
  }

  /** What leaders believe. */
  #acknowledged(cluster: Cluster): void {
    for (const { observed } of cluster.machines) if (observed !== null) this.#followers.check(observed);
  }

  /** A node of `machine` is about to begin a run. */
  begins(machine: Machine, begin: Begin, cluster: Cluster): void {
    this.leadership.begins(machine.name, begin);
    if (this.leases !== null) return; // what counts is who has the lease when it writes
    if (begin.cause === "failover") this.#silence(machine, cluster);
    if (begin.cause === "raise") this.#raise(machine, cluster, begin.above ?? Infinity);
  }

  /** It goes above a higher epoch because nobody leads in it: nobody may then who could be asked. */
  #raise({ name, node, process }: Machine, cluster: Cluster, above: number): void {
    const own = node?.role.leadership?.epoch ?? Infinity, from = this.#now() - limits.claimAskMs - 1_000;
    const { flipRate, link } = this.#swarm;
    if (flipRate > 0 || 5 * link.delayMs.max > 200) return;
    for (const other of cluster.machines) {
      const { role, storage } = other.node ?? {}, last = storage?.log.last;
      // Of an epoch without an entry nobody is told.
      const theirs = role?.leadership?.epoch === last?.epoch ? last?.epoch ?? -1 : -1;
      // What began at the same time it has not heard of.
      if (
        other.name === name || theirs <= own || theirs > above ||
        this.troubles.since(from, name, other.name) !== null
      ) {
        continue;
      }
      if (this.troubles.since(from, other.name, name) !== null) continue;
      throw new Violation(
        "failover",
        `${process?.name} goes above epoch ${theirs}, in which ${other.name} leads`,
      );
    }
  }

  /** It says that its leader is silent: something the world knows of must be the reason. */
  #silence({ name, node, process }: Machine, cluster: Cluster): void {
    const { leader, autoFailover } = node?.replication ?? {}, { heartbeatMs, flipRate, link } = this.#swarm;
    this.#count("failovers");
    // On a line so long that a last attempt cannot be answered in time everything may look like silence.
    const tooFar = 5 * link.delayMs.max > Math.max(heartbeatMs, limits.lastAttemptMsMin);
    if (!leader || !autoFailover || flipRate > 0 || tooFar) return;
    const { role } = cluster.machine(leader.nodeName).node ?? {};
    if (role?.leadership === null) return; // it leads no more
    // The silence, the last attempt, and what was under way.
    const from = this.#now() - 1.05 * autoFailover.silenceMs -
      2 * Math.max(heartbeatMs, limits.lastAttemptMsMin) - 500;
    if (this.troubles.since(from, leader.nodeName, name) !== null) return;
    throw new Violation(
      "failover",
      `${process?.name} takes over from ${leader.nodeName}, which was not silent`,
    );
  }

  written(write: Write, answeredAt: number | null): void {
    this.promises.record(write, answeredAt ?? write.knownAt);
    this.makings.over(write, answeredAt ?? write.knownAt);
    // The answer to one that was sent again says nothing of who led when it was written.
    if (write.outcome === "promised" && write.repeated !== true) this.leases?.promised(write.position);
  }

  read(read: ReadSeen): void {
    checkRead(read, this.#options);
  }

  saw(seen: StateSeen): void {
    checkState(seen, this.#options);
  }

  behind(refused: RefusedRead): void {
    checkBehind(refused, this.#options);
  }

  /** A process ended, or the world did: what it says of itself must be what can be said of a healthy stream. */
  ended(machine: Machine): void {
    this.makings.ended(machine.name, this.#now());
    const status = machine.node?.replication.following?.status();
    if (status === undefined) return;
    for (const name of ["snapshotsInstalled", "rescues", "connects", "opsApplied"] as const) {
      this.#count(name, status[name]);
    }
    if (this.#swarm.flipRate > 0) return;
    if (status.gapsDetected > 0 || status.state === "corrupt") {
      const { gapsDetected, state, lastError } = status;
      throw new Violation(
        "stream",
        `${machine.process?.name}: ${gapsDetected} gaps, state ${state}, ${lastError?.code}: ${lastError?.message}`,
      );
    }
  }

  /** All has come to rest. */
  final(leader: Observed, cluster: Cluster): void {
    const nodes = cluster.machines.map(({ observed }) => observed).filter((node) => node !== null);
    checkConverged([leader, ...nodes.filter((node) => node !== leader)], this.#options);
    this.#count("indexes", checkIndexes(nodes, this.#options));
    this.#acknowledged(cluster);
    for (const machine of cluster.machines) this.ended(machine);
    this.#rescued.final();
    const rescued = this.#rescued.read(cluster.machines.map(({ name }) => name));
    this.promises.final({
      leader,
      rescued,
      mayLack: (tip, entry, confirmed) =>
        this.leadership.mayLack(tip, entry, confirmed && this.leases !== null),
    });
    this.#deletions.final();
    for (const [name, count] of Object.entries({ ...this.#rules.counts, ...this.#deletions.counts })) {
      this.#count(name, count);
    }
  }

  #count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
  }

  get #options() {
    return { history: this.history, replay: this.#replay, tags: this.#tags, makings: this.makings };
  }
}

/** How far clocks went back while a write may have been on its way, ms. */
function backMs({ machines }: Cluster, now: number): number {
  let ms = 0;
  for (const { clock: { wentBack } } of machines) {
    if (wentBack !== undefined && now - wentBack.at < 30_000) ms += wentBack.ms;
  }
  return ms;
}

/** The process whose event runs, if its node is up. */
function writing({ running, now }: World, cluster: Cluster): Writing | null {
  if (!(running instanceof SimProcess)) return null;
  const { name, node, observed } = cluster.machine(running.machine);
  if (node === null || observed === null || observed.process !== running.name) return null;
  const run = node.role.leadership?.run ?? null;
  return { machine: name, nodeId: observed.nodeId, run, from: now, now: running.now };
}
