/** All checkers of a world, and when each of them looks. */
import type { Tasks } from "../../src/runtime/workers.ts";
import type { SnapshotMade, SnapshotOrder } from "../../src/storage/sqlite/make_snapshot.ts";
import { checkContent, checkConverged } from "./content_check.ts";
import type { Cluster, Machine } from "./cluster.ts";
import { FollowersCheck } from "./followers_check.ts";
import { History } from "./history.ts";
import { Promises } from "./promises.ts";
import { checkRead } from "./read_check.ts";
import { Replay } from "./replay.ts";
import { RescuedCheck } from "./rescued_check.ts";
import { RetentionCheck } from "./retention_check.ts";
import { wallStart } from "./sim_process.ts";
import type { Swarm } from "./swarm.ts";
import { type Observed, type ReadSeen, Violation, type Write } from "./types.ts";
import type { World } from "./world.ts";
import { WrittenTags } from "./written_tags.ts";

/** Events of a node between two looks at all that it holds. */
const contentEvery = 500;

export class Checks {
  readonly history: History;
  readonly promises: Promises;
  readonly #swarm: Swarm;
  readonly #tags: WrittenTags;
  readonly #replay: Replay;
  readonly #followers: FollowersCheck;
  readonly #retention: RetentionCheck;
  readonly #rescued: RescuedCheck;
  readonly #machineOf = new Map<string, string>();
  readonly #acks = new WeakMap<Observed, number>();
  #untilContent = contentEvery;
  /** What nodes did, added up over their processes. */
  readonly counts: Record<string, number> = {};
  /** The newest epoch in which anything was written. */
  newestEpoch = 0;
  /** Virtual ms of the last failover or restore; null: there was none. */
  lossBefore: number | null = null;

  constructor(world: World, swarm: Swarm, cluster: () => Cluster) {
    this.#swarm = swarm;
    const history = this.history = new History(() => world.now);
    history.onEntry(({ run, operations }) => {
      this.newestEpoch = Math.max(this.newestEpoch, run.epoch);
      this.#count(operations[0]?.kind === "term" ? "runs" : "entries");
    });
    history.onRollback(({ why }) => this.#count(why));
    // Right after a node took over another history it may show something of the old one.
    history.onRollback(() => this.#untilContent = 0);
    const tags = this.#tags = new WrittenTags(history), replay = this.#replay = new Replay(history);
    this.promises = new Promises({ history, replay, tags });
    this.#followers = new FollowersCheck({
      history,
      now: () => world.now,
      machineOf: (nodeId) => this.#machineOf.get(nodeId) ?? null,
    });
    const rescued = (name: string) => cluster().machine(name).disk.rescued();
    this.#rescued = new RescuedCheck({ history, replay, rescued });
    this.#retention = new RetentionCheck(history);
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
    const { logBytesMax, logAgeMs } = this.#swarm;
    const wallMs = Math.floor(wallStart + process.now * clock.rate + clock.wallOffsetMs);
    this.#retention.check(observed, { logBytesMax, logAgeMs, wallMs });
    if (this.history.tip(machine.name) !== before || log.last.seq === 0) this.#acknowledged(cluster);
    else this.#heard(observed);
    if (--this.#untilContent > 0) return;
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

  written(write: Write, answeredAt: number | null): void {
    this.promises.record(write, answeredAt ?? write.knownAt);
  }

  read(read: ReadSeen): void {
    checkRead(read, this.#options);
  }

  /** A process ended, or the world did: what it says of itself must be what can be said of a healthy stream. */
  ended(machine: Machine): void {
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
    this.#acknowledged(cluster);
    for (const machine of cluster.machines) this.ended(machine);
    this.#rescued.final();
    const rescued = this.#rescued.read(cluster.machines.map(({ name }) => name));
    this.promises.final({ leader, rescued, lossBefore: this.lossBefore });
  }

  #count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
  }

  get #options() {
    return { history: this.history, replay: this.#replay, tags: this.#tags };
  }
}
