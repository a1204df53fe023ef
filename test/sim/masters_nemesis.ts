/** Who makes the trouble in a world of masters, between sites and inside them. */
import { systemDocuments } from "../../src/multimaster/system_documents.ts";
import type { Chance } from "./chance.ts";
import type { Machine } from "./cluster.ts";
import { combine, type DiskImage } from "./disk_image.ts";
import { cutLinks, slowLink } from "./line_faults.ts";
import type { Master, MastersOperator } from "./masters_site.ts";
import { type MasterFault, masterFaults, type MastersSwarm, someOf } from "./masters_swarm.ts";
import { after } from "./operations.ts";
import type { SimNetwork } from "./sim_net.ts";
import { Troubles } from "./troubles.ts";
import type { World } from "./world.ts";

export interface MastersNemesisParts {
  readonly world: World;
  readonly network: SimNetwork;
  readonly swarm: MastersSwarm;
  readonly masters: readonly Master[];
  readonly operator: MastersOperator;
  /** Names of the hosts of clients. */
  readonly hosts: readonly string[];
  /** Something was done at the site after which answered writes may be gone. */
  readonly mayLose: (site: string) => void;
  /** Another policy is wanted. */
  readonly onPolicy: () => void;
}

interface Kept {
  readonly image: DiskImage;
  readonly databaseId: string;
  readonly seq: number;
}

const labels = ["commit:", "apply:", "trim:", "close:", "checkpoint:", "reclaim:", "install:", "promote:"];
const dayMs = 86_400_000;

export class MastersNemesis {
  readonly injected: Partial<Record<MasterFault, number>> = {};
  readonly #parts: MastersNemesisParts;
  readonly #draw: Chance;
  readonly #weighted: readonly MasterFault[];
  readonly #undo = new Set<() => void>();
  readonly #held = new Set<Machine>();
  readonly #kept = new Map<Machine, Kept[]>();
  readonly #troubles: Troubles;
  /** Sites at which an operator is at work. */
  readonly #busy = new Set<Master>();
  #started = false;
  #over = false;

  constructor(parts: MastersNemesisParts) {
    const { world, swarm } = this.#parts = parts;
    this.#draw = world.chance("masters nemesis");
    this.#troubles = new Troubles(() => world.now);
    this.#weighted = masterFaults.flatMap((kind) => Array<MasterFault>(swarm.faults[kind]).fill(kind));
  }

  get operating(): boolean {
    return this.#busy.size > 0;
  }

  start(): void {
    this.#started = true;
    if (this.#weighted.length > 0) this.#next();
  }

  /** A process has ended and left this: it is started again some time. True: the image is kept. */
  ended(
    machine: Machine,
    last: { readonly databaseId: string; readonly seq: number } | null,
    image: DiskImage,
  ): boolean {
    if (!this.#held.has(machine)) {
      const delayMs = this.#over ? 100 : this.#draw.pick([10, 500, 3_000]) * this.#draw.float();
      this.#parts.world.at(null, delayMs, () => {
        if (!this.#held.has(machine)) machine.start();
      });
    }
    const kept = this.#kept.get(machine) ?? [];
    if (last === null || !this.#started || kept.length >= 2 || this.#parts.swarm.faults.restore === 0) {
      return false;
    }
    this.#kept.set(machine, [...kept, { image, ...last }]);
    return true;
  }

  hold(machine: Machine, on: boolean): void {
    if (on) this.#held.add(machine);
    else {
      this.#held.delete(machine);
      machine.start();
    }
  }

  stop(): void {
    this.#over = true;
    for (const undo of [...this.#undo]) undo();
    for (const machine of this.#machines) {
      machine.crashAt = null;
      if (!this.#held.has(machine)) machine.start();
    }
  }

  get #machines(): readonly Machine[] {
    return this.#parts.masters.flatMap(({ cluster }) => [...cluster.machines]);
  }

  #next(): void {
    const { world, swarm } = this.#parts;
    world.at(null, this.#draw.between(0, 2) * swarm.everyMs, () => {
      if (this.#over) return;
      const kind = this.#draw.pick(this.#weighted);
      if (this.#inject(kind)) {
        world.say(() => `fault: ${kind}`);
        this.injected[kind] = (this.injected[kind] ?? 0) + 1;
      }
      this.#next();
    });
  }

  /** False: there was nothing to do it to. */
  #inject(kind: MasterFault): boolean {
    const { network, operator, masters } = this.#parts, draw = this.#draw;
    const running = operator.running(), machine = running.length === 0 ? null : draw.pick(running);
    switch (kind) {
      case "kill":
      case "power":
        machine?.end(kind);
        return machine !== null;
      case "stop":
        if (machine !== null) void machine.stop();
        return machine !== null;
      case "crashPoint":
        if (machine === null) return false;
        machine.crashAt = {
          label: new RegExp(`^${draw.pick(labels)}`),
          skip: draw.below(draw.pick([1, 5, 20])),
          how: draw.pick(["kill", "power"]),
        };
        return true;
      case "stall":
        machine?.process?.stall(draw.pick([60, 400, 3_000]) * draw.float());
        return machine !== null;
      case "cutLink":
      case "slowLink":
        return this.#link(kind);
      case "cutSites":
        return this.#cutSites();
      case "resetConnections":
        return network.reset(() => draw.flip(0.7)) > 0;
      case "staleConnections":
        return network.stale(() => draw.flip(0.5)) > 0;
      case "clockJump": {
        const { clock } = draw.pick(this.#machines);
        clock.wallOffsetMs += draw.pick([1_000, 60_000, dayMs]) * draw.between(-1, 1);
        return true;
      }
      case "fortnight":
        for (const { clock } of this.#machines) clock.wallOffsetMs += 15 * dayMs;
        return true;
      case "diskFull":
      case "slowDisk":
        return this.#disk(kind);
      case "edges":
        return this.#edges();
      case "policy":
        this.#parts.onPolicy();
        return true;
      case "restore":
        return this.#restore();
      default:
        return this.#operate(draw.pick(masters), kind);
    }
  }

  #link(kind: "cutLink" | "slowLink"): boolean {
    const { network, hosts } = this.#parts, draw = this.#draw;
    const names = [...this.#machines.map(({ name }) => name), ...hosts];
    const from = draw.pick(names), to = draw.pick(names);
    if (from === to) return false;
    const link = network.link(from, to);
    this.#lasting(
      kind === "cutLink" ? cutLinks([link], this.#troubles) : slowLink(link, draw, this.#troubles),
    );
    return true;
  }

  /** Some sites reach the others no more, in one direction or in both. */
  #cutSites(): boolean {
    const { network, masters } = this.#parts, draw = this.#draw, oneWay = draw.flip(0.3);
    const here = new Set(masters.filter(() => draw.flip(0.5)).flatMap(({ site }) => [...site.machines]));
    const names = this.#machines.map(({ name }) => name);
    const links = names.flatMap((from) =>
      names.filter((to) => here.has(from) !== here.has(to) && !(oneWay && here.has(from)))
        .map((to) => network.link(from, to))
    );
    if (links.length > 0) this.#lasting(cutLinks(links, this.#troubles));
    return links.length > 0;
  }

  #disk(kind: "diskFull" | "slowDisk"): boolean {
    const { disk: { faults } } = this.#draw.pick(this.#machines);
    if (kind === "diskFull") {
      faults.full = true;
      this.#lasting(() => void (faults.full = false));
    } else {
      faults.slow = { min: 1, max: this.#draw.pick([20, 500]) };
      this.#lasting(() => void (faults.slow = null));
    }
    return true;
  }

  /** Somebody is sent to no more, or another part, or somebody new is. */
  #edges(): boolean {
    const { operator, masters } = this.#parts, draw = this.#draw, { edges } = operator;
    const names = masters.map(({ site }) => site.name), from = draw.pick(names), to = draw.pick(names);
    if (from === to) return false;
    const before = edges.find((edge) => edge.from === from && edge.to === to);
    const others = edges.filter((edge) => edge !== before);
    const transitive = before?.transitive ?? draw.flip(0.5);
    if (before !== undefined && draw.flip(0.2)) operator.edges = others;
    else {operator.edges = [...others, {
        from,
        to,
        transitive: draw.flip(0.2) ? !transitive : transitive,
        collections: someOf(draw),
      }];}
    return true;
  }

  /** The site's operator is at work for a while. */
  #operate(master: Master, kind: MasterFault): boolean {
    if (this.#busy.has(master)) return false;
    const operation = kind === "dropCursor"
      ? this.#dropCursor(master)
      : kind === "purge"
      ? this.#purge(master)
      : this.#leaderAway(master, kind === "failover");
    if (operation === null) return false;
    this.#busy.add(master);
    operation.catch((thrown) => this.#parts.world.fail(thrown)).finally(() => this.#busy.delete(master));
    return true;
  }

  /** As an operator does who wants all sent again. */
  #dropCursor(master: Master): Promise<void> | null {
    const { node } = master.cluster.leader, { operator } = this.#parts;
    const ids = node?.storage.read((view) => systemDocuments(view, "Replication/Sources/", 100)) ?? [];
    if (ids.length === 0) return null;
    const { id } = this.#draw.pick(ids), path = `/docs/${encodeURIComponent(`Raven/${id}`)}`;
    return operator.ask(master, { method: "DELETE", path }).then(() => {});
  }

  async #purge(master: Master): Promise<void> {
    await this.#parts.operator.ask(master, { method: "POST", path: "/admin/replication/purge-tombstones" });
  }

  /** The leader is gone for a while; `promote`: its follower is told to lead, whatever it lacks. Null: it has none, or it is down. */
  #leaderAway({ site, cluster }: Master, promote: boolean): Promise<void> | null {
    const { leader, followers } = cluster,
      [next] = followers,
      { world, operator, swarm, mayLose } = this.#parts;
    const draw = this.#draw;
    if (next === undefined || leader.process === null || (next.node?.storage.log.last.seq ?? 0) === 0) {
      return null;
    }
    const run = async (): Promise<void> => {
      this.hold(leader, true);
      mayLose(site.name);
      leader.end(draw.pick(["kill", "power"]));
      await after(world, promote ? draw.pick([0, 1_000]) : swarm.machine.heartbeatMs * draw.between(2, 6));
      for (let tries = 0; promote && tries < 3; tries++) {
        if (await operator.leadership.promote(next.name, tries > 0) === "done") break;
        await after(world, 200);
      }
      await after(world, draw.pick([0, 1_000, 5_000]));
      this.hold(leader, false);
    };
    return run();
  }

  /** An older data file, or all older files, of one machine. */
  #restore(): boolean {
    const { world, masters, mayLose } = this.#parts, draw = this.#draw;
    const candidates = this.#machines.filter((machine) =>
      this.#olderOf(machine).length > 0 && !this.#held.has(machine)
    );
    if (candidates.length === 0) return this.#backUp();
    const machine = draw.pick(candidates), { disk } = machine;
    const master = masters.find(({ cluster }) => cluster.machines.includes(machine)) as Master;
    if (this.#busy.has(master)) return false;
    const { image: older } = draw.pick(this.#olderOf(machine));
    mayLose(master.site.name);
    this.hold(machine, true);
    machine.end("kill");
    const newest = disk.image("kill"), whole = draw.flip(0.5), other = whole ? older : newest;
    const mixed = combine({ data: older, node: other, mirrors: other, rest: newest });
    disk.mount(mixed);
    newest.drop();
    mixed.drop();
    world.say(() => `${machine.name}: older ${whole ? "files" : "data file"} restored`);
    world.at(null, draw.between(0, 3_000), () => this.hold(machine, false));
    return true;
  }

  /** What the disks hold now, for later. False: nothing is restored yet. */
  #backUp(): false {
    for (const machine of this.#parts.operator.running()) {
      const storage = machine.node?.storage;
      if (storage === undefined || machine.failing || (this.#kept.get(machine) ?? []).length > 0) continue;
      const { databaseId, log: { last: { seq } } } = storage;
      this.#kept.set(machine, [{ image: machine.disk.image("kill"), databaseId, seq }]);
    }
    return false;
  }

  #olderOf(machine: Machine): readonly Kept[] {
    const { node } = machine;
    if (node === null) return [];
    const { databaseId, log: { last } } = node.storage;
    return (this.#kept.get(machine) ?? []).filter((kept) =>
      kept.databaseId === databaseId && kept.seq < last.seq
    );
  }

  #lasting(undo: () => void): void {
    const once = (): void => {
      if (this.#undo.delete(once)) undo();
    };
    this.#undo.add(once);
    this.#parts.world.at(null, this.#draw.pick([300, 3_000, 15_000]) * this.#draw.float(), once);
  }
}
