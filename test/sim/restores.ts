/** Older data files come back: what an operator has from a backup, put in place of the newest. */
import type { Chance } from "./chance.ts";
import type { Cluster, Machine } from "./cluster.ts";
import { combine, type DiskImage } from "./disk_image.ts";
import type { History } from "./history.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { World } from "./world.ts";

interface Kept {
  readonly image: DiskImage;
  /** Of the database in it. */
  readonly databaseId: string;
  /** Where its log ends: as it was seen last, then as the next process found it, which may be one commit further. */
  seq: number;
}

/** What is told of the storage of a process that has ended. */
type Left = Pick<Storage, "databaseId" | "log">;

export interface RestoreParts {
  readonly world: World;
  readonly cluster: Cluster;
  readonly history: History;
  /** Keeps a machine down, or lets it come up. */
  readonly hold: (machine: Machine, on: boolean) => void;
  /** A machine's disk was made older. */
  readonly onRestored: (machine: Machine) => void;
}

/** Images kept for one machine. */
const keptMax = 2;

export class Restores {
  readonly #parts: RestoreParts;
  readonly #draw: Chance;
  readonly #kept = new Map<Machine, Kept[]>();
  readonly #now = new Map<Machine, Pick<Kept, "databaseId" | "seq">>();
  /** Machines whose newest image no process has opened. */
  readonly #unopened = new Set<Machine>();
  #restored = 0;

  constructor(parts: RestoreParts) {
    this.#parts = parts;
    this.#draw = parts.world.chance("backups");
  }

  /** A process ended and left this. True: it is kept, and dropped by nobody else. */
  ended(machine: Machine, { databaseId, log }: Left, image: DiskImage): boolean {
    const { seq } = log.last;
    this.#now.set(machine, { databaseId, seq });
    const kept = this.#kept.get(machine) ?? [];
    if (kept.length >= keptMax || !this.#draw.flip(0.9)) return false;
    this.#kept.set(machine, [...kept, { image, databaseId, seq }]);
    this.#unopened.add(machine);
    return true;
  }

  /** The next process of the machine opened what the last one left. */
  started(machine: Machine, seq: number): void {
    const last = this.#kept.get(machine)?.at(-1);
    if (this.#unopened.delete(machine) && last !== undefined) last.seq = seq;
  }

  /** Null: there is no older file of such a machine. */
  restore(draw: Chance, who: "leader" | "follower"): Promise<void> | null {
    const { leader, followers } = this.#parts.cluster;
    const candidates = (who === "leader" ? [leader] : followers).filter((machine) =>
      this.#of(machine).length > 0
    );
    if (candidates.length === 0) return null;
    const machine = draw.pick(candidates);
    return this.#put(machine, draw.pick(this.#of(machine)), draw);
  }

  /**
   * Those that lack something. A database that took over another id is not put back: its node would not know the older
   * one.
   */
  #of(machine: Machine): readonly Kept[] {
    const now = machine.node === null
      ? this.#now.get(machine)
      : { databaseId: machine.node.storage.databaseId, seq: machine.node.storage.log.last.seq };
    return (this.#kept.get(machine) ?? []).filter(({ databaseId, seq }) =>
      databaseId === now?.databaseId && seq < now.seq
    );
  }

  async #put(machine: Machine, { image: older, seq }: Kept, draw: Chance): Promise<void> {
    const { world, cluster, history, hold, onRestored } = this.#parts, { disk } = machine;
    const led = machine === cluster.leader;
    hold(machine, true);
    machine.end("kill");
    this.#unopened.delete(machine); // the next process opens something else
    const newest = disk.image("kill"),
      sidecar = seqIn(newest),
      whole = draw.flip(cluster.machines.length === 2 ? 0.2 : 0.5),
      other = whole ? older : newest;
    const mixed = combine({ data: older, node: other, mirrors: other, rest: newest });
    disk.mount(mixed);
    newest.drop();
    mixed.drop();
    this.#restored++;
    // A leader can tell by its sidecar that it is older, where that had been written and was not spoiled, and the only follower holds more: it must not write before it knows.
    // Not those of the cluster: once its process has ended the machine itself may be one of them.
    const [only, more] = cluster.machines.filter((one) => one !== machine);
    const mustTell = !whole && sidecar > seq && this.#restored === 1 && more === undefined &&
      only !== undefined &&
      history.tip(only.name).seq > seq;
    // After a second one nobody may be left who holds what the first one took away.
    // With all of its files it is again what it was then, a leader perhaps.
    if (this.#restored > 1 || whole || (led && !mustTell)) history.allowFork();
    history.rolledBack(machine.name, "restored");
    onRestored(machine);
    world.say(() => `${machine.name}: older ${whole ? "files" : "data file"} restored`);
    await new Promise<void>((resolve) => void world.at(null, draw.between(0, 3_000), resolve));
    hold(machine, false);
  }
}

/** What the sidecar of the position says; 0: nothing. */
function seqIn({ files }: DiskImage): number {
  const bytes = files.get("data.dfdb.followerseq")?.bytes;
  if (bytes?.length !== 8) return 0;
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
}
