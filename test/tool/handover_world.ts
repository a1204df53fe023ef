/** The two machines of a handover over connections that lose, cut and delay, in processes that are killed: one run from a seed. */
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, monotonicMsOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { type Prng, prng } from "../../src/base/prng.ts";
import type { Claim } from "../../src/cluster/claim.ts";
import { type Handover, handover } from "../../src/cluster/handover.ts";
import type {
  HandoverEffect,
  HandoverInput,
  TakeoverEffect,
  TakeoverInput,
} from "../../src/cluster/handover_events.ts";
import { type Takeover, takeover } from "../../src/cluster/takeover.ts";
import type { Position, TermRecord } from "../../src/storage/log.ts";
import type { KnownNode, Message } from "../../src/wire/message.ts";

type Told = Message | { readonly type: "entries" | "acked"; readonly position: Position } | {
  readonly type: "plainHello";
};

/** One session; each end finds out by itself that it is cut. */
interface Line {
  leaderEnd: boolean;
  followerEnd: boolean;
  cut: boolean;
  /** Nothing overtakes what was sent before. */
  readonly arrivesAt: { leader: number; follower: number };
}

const node = (digit: string): KnownNode => ({
  nodeId: nodeIdOf(digit.repeat(32)),
  nodeName: `node-${digit}`,
  httpUrl: null,
  wireAddress: `node-${digit}:5500`,
});
const leaderNode = node("a"), target = node("b");
const epoch = 3;
const newTerm: TermRecord = {
  epoch: epochOf(epoch + 1),
  run: runIdOf("f".repeat(32)),
  nodeId: target.nodeId,
  firstSeq: seqOf(1),
};
const positionAt = (seq: number): Position => ({
  seq: seqOf(seq),
  epoch: epochOf(epoch),
  run: runIdOf("e".repeat(32)),
  chain: seq,
});

export class HandoverWorld {
  /** What was broken. */
  readonly violations: string[] = [];
  /** What happened, for the report of how much was seen. */
  readonly seen = new Map<string, number>();
  readonly trace: string[] = [];
  readonly #random: Prng;
  #now = 0;
  #events: { readonly at: number; readonly run: () => void }[] = [];
  #healed = false;
  #line: Line | null = null;
  #seq = 10;
  // the leader: what is durable, then the process
  readonly #kept = { role: "leader", doubt: null as string | null };
  #giving: Handover | null = null;
  #life = 0;
  #closed = false;
  #unanswered = false;
  #committed = false;
  // the target
  readonly #keptThere = { role: "follower", held: 0 };
  #taking: Takeover | null = null;
  #lifeThere = 0;
  #listens = false;
  #leads = false;
  #promoting = false;

  constructor(seed: number) {
    this.#random = prng(seed);
    this.#startLeader();
    this.#startTarget();
  }

  get writes(): { readonly leader: boolean; readonly target: boolean } {
    const leads = this.#giving !== null && this.#kept.role === "leader";
    return {
      leader: leads && !this.#closed && this.#kept.doubt === null,
      target: this.#taking !== null && this.#leads,
    };
  }

  get committed(): boolean {
    return this.#committed;
  }

  get unanswered(): boolean {
    return this.#unanswered;
  }

  /** No handover is open at the leader. */
  get settled(): boolean {
    return this.#giving?.progress === null;
  }

  /** `ms` of trouble, then as long without. */
  run(ms: number): void {
    for (const what of [() => this.#begin(), () => this.#trouble(), () => this.#write()]) this.#often(what);
    this.#until(ms);
    this.#healed = true;
    if (this.#giving === null) this.#startLeader();
    if (this.#taking === null) this.#startTarget();
    this.#until(ms + 60_000);
  }

  #until(end: number): void {
    for (;;) {
      let first = 0;
      this.#events.forEach(({ at }, i) => {
        if (at < (this.#events[first]?.at ?? 0)) first = i;
      });
      const event = this.#events[first];
      if (event === undefined || event.at > end) break;
      this.#events.splice(first, 1);
      this.#now = Math.max(this.#now, event.at);
      event.run();
    }
    this.#now = end;
  }

  #later(run: () => void, ms = this.#random.below(this.#random.below(4) === 0 ? 3_000 : 60)): void {
    this.#events.push({ at: this.#now + ms, run });
  }

  #often(what: () => void): void {
    this.#later(() => {
      if (!this.#healed) what();
      if (!this.#healed) this.#often(what);
    }, this.#random.below(1_500));
  }

  #chance(percent: number): boolean {
    return !this.#healed && this.#random.below(100) < percent;
  }

  #note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
    this.trace.push(`${this.#now} ${what}`);
    const { leader, target: there } = this.writes;
    if (leader && there) this.violations.push(`${this.#now}: both write after ${what}`);
  }

  #begin(): void {
    if (!this.writes.leader || this.#giving?.progress !== null) return;
    const id = this.#random.uint32().toString(16).padStart(32, "0");
    this.#unanswered = true;
    const timeoutMs = 200 + this.#random.below(6_000);
    this.#give({ type: "start", id, target, timeoutMs });
    this.#give({ type: "holds", seq: seqOf(this.#keptThere.held) });
  }

  #trouble(): void {
    const line = this.#line;
    switch (this.#random.below(8)) {
      case 0:
        return this.#killLeader();
      case 1:
        return this.#killTarget();
      case 2:
      case 3:
        if (line !== null) this.#cut(line);
        return;
      case 4:
        return this.#give({ type: "cancel" });
    }
  }

  #write(): void {
    if (!this.writes.leader) return;
    this.#seq++;
    if (this.#line?.leaderEnd === true) this.#tell(this.#line, "follower", this.#entries());
  }

  #entries(): Told {
    return { type: "entries", position: positionAt(this.#seq) };
  }

  // --- lines

  #cut(line: Line): void {
    line.cut = true;
    this.#later(() => this.#leaderEnds(line));
    this.#later(() => this.#followerEnds(line));
  }

  #leaderEnds(line: Line): void {
    if (!line.leaderEnd) return;
    line.leaderEnd = false;
    if (!line.cut) this.#cut(line);
    this.#give({ type: "left" });
  }

  #followerEnds(line: Line): void {
    if (!line.followerEnd) return;
    line.followerEnd = false;
    if (!line.cut) this.#cut(line);
    this.#takeIn({ type: "left" });
    this.#dialLater();
  }

  #dialLater(): void {
    const life = this.#lifeThere;
    this.#later(() => {
      if (life !== this.#lifeThere || this.#keptThere.role !== "follower" || this.#promoting) return;
      if (this.#line?.followerEnd === true) return;
      if (this.#giving === null || this.#kept.role !== "leader" || this.#chance(20)) return this.#dialLater();
      const arrivesAt = { leader: 0, follower: 0 };
      const line: Line = { leaderEnd: false, followerEnd: true, cut: false, arrivesAt };
      this.#line = line;
      this.#tell(line, "leader", { type: "plainHello" });
    });
  }

  #tell(line: Line, to: "leader" | "follower", message: Told): void {
    const life = this.#life, lifeThere = this.#lifeThere;
    const at = Math.max(line.arrivesAt[to], this.#now + this.#random.below(this.#chance(20) ? 2_000 : 50));
    line.arrivesAt[to] = at;
    this.#later(() => {
      if (line.cut && this.#chance(50)) return void (line.arrivesAt[to] = Infinity);
      if (line.arrivesAt[to] === Infinity) return;
      if (to === "leader" && life === this.#life) this.#arrivesAtLeader(line, message);
      if (to === "follower" && lifeThere === this.#lifeThere) this.#arrivesThere(line, message);
    }, at - this.#now);
  }

  #arrivesAtLeader(line: Line, message: Told): void {
    if (message.type === "plainHello") {
      if (this.#giving === null || this.#kept.role !== "leader" || line.cut) return this.#cut(line);
      line.leaderEnd = true;
      this.#give({ type: "left" });
      this.#note("hello");
      this.#give({ type: "returned" });
      if (this.#kept.role === "leader") this.#tell(line, "follower", this.#entries());
    } else if (!line.leaderEnd) return;
    else if (message.type === "acked") this.#give({ type: "holds", seq: message.position.seq });
    else if (message.type === "prepared" || message.type === "promoted" || message.type === "declined") {
      this.#give({ type: "received", message });
    }
  }

  #arrivesThere(line: Line, message: Told): void {
    if (!line.followerEnd || this.#taking === null) return;
    switch (message.type) {
      case "entries":
        if (this.#keptThere.role !== "follower" || this.#promoting) return;
        this.#keptThere.held = message.position.seq;
        this.#takeIn({ type: "holds", position: message.position });
        return this.#tell(line, "leader", { type: "acked", position: message.position });
      case "prepare":
        this.#takeIn({ type: "prepare", id: message.id, position: message.position });
        return;
      case "commit":
      case "abort":
        this.#takeIn({ type: message.type, id: message.id });
    }
  }

  // --- the leader

  #startLeader(): void {
    this.#life++;
    this.#closed = false;
    this.#giving = handover({ nodeId: leaderNode.nodeId, epoch: () => epochOf(epoch) });
    this.#note("leader starts");
    if (this.#kept.role !== "leader") return;
    if (this.#kept.doubt !== null) this.#give({ type: "resumed", id: this.#kept.doubt, target });
  }

  #killLeader(): void {
    if (this.#giving === null) return;
    this.#giving = null;
    this.#life++;
    this.#unanswered = false;
    if (this.#line !== null) {
      this.#line.leaderEnd = false;
      this.#cut(this.#line);
    }
    this.#later(() => {
      if (this.#giving === null) this.#startLeader();
    });
  }

  #give(input: HandoverInput): void {
    const machine = this.#giving;
    if (machine === null) return;
    for (const effect of machine.step(input, monotonicMsOf(this.#now))) {
      if (this.#giving !== machine) return;
      this.#perform(effect);
      this.#note(`L ${effect.type}${effect.type === "fail" ? ` ${effect.error.code}` : ""} by ${input.type}`);
      if (this.#chance(3)) this.#killLeader();
    }
    this.#tickAt(machine);
  }

  #tickAt(machine: Handover): void {
    const at = machine.deadline;
    if (at === null) return;
    this.#later(() => {
      if (this.#giving === machine && machine.deadline === at) this.#give({ type: "tick" });
    }, Math.max(0, at - this.#now));
  }

  #perform(effect: HandoverEffect): void {
    const life = this.#life;
    const alive = (run: () => void) => (): void => void (life === this.#life && run());
    switch (effect.type) {
      case "close":
        this.#closed = true;
        return;
      case "open":
        this.#closed = false;
        return;
      case "drain": {
        const error = this.#chance(5) ? new DfdbError("disk_full", "says the disk") : null;
        const quiet = (): HandoverInput =>
          error === null
            ? { type: "quiet", position: positionAt(this.#seq) }
            : { type: "quietFailed", error };
        return this.#later(alive(() => this.#give(quiet())), 30);
      }
      case "send":
        if (effect.message.type === "commit") this.#committed = true;
        if (this.#line?.leaderEnd === true) this.#tell(this.#line, "follower", effect.message);
        return;
      case "store":
        this.#kept.doubt = effect.id;
        return;
      case "clear":
        this.#kept.doubt = null;
        return;
      case "follow":
        this.#kept.role = "follower";
        return;
      case "done":
      case "fail":
        if (!this.#unanswered) this.violations.push(`${this.#now}: a second answer`);
        this.#unanswered = false;
        return;
      case "ask":
        return this.#ask(effect.id, alive);
    }
  }

  #ask(id: string, alive: (run: () => void) => () => void): void {
    const nobody = (): void =>
      this.#later(alive(() => this.#give({ type: "asked", claim: null, outcome: null })));
    this.#later(() => {
      if (!this.#listens || this.#taking === null || this.#chance(20)) return nobody();
      const outcome = this.#takeIn({ type: "asked", id });
      if (outcome === null || this.#chance(20)) return nobody();
      const claim = this.#claim();
      this.#later(alive(() => this.#give({ type: "asked", claim, outcome })));
    });
  }

  // --- the target

  #claim(): Claim {
    const leads = this.#leads ? newTerm : null;
    return {
      peer: target,
      leads,
      newest: leads,
      leader: leaderNode,
      follows: this.#keptThere.role === "follower",
    };
  }

  #startTarget(): void {
    this.#lifeThere++;
    this.#taking = takeover({ mayLead: () => this.#keptThere.role === "leader" });
    this.#note("target starts");
    if (this.#keptThere.role === "leader") return this.#leadSoon();
    this.#takeIn({ type: "holds", position: positionAt(this.#keptThere.held) });
    this.#dialLater();
  }

  #killTarget(): void {
    if (this.#taking === null) return;
    this.#taking = null;
    this.#lifeThere++;
    this.#listens = this.#leads = this.#promoting = false;
    if (this.#line !== null) {
      this.#line.followerEnd = false;
      this.#cut(this.#line);
    }
    this.#later(() => {
      if (this.#taking === null) this.#startTarget();
    });
  }

  #leadSoon(): void {
    const life = this.#lifeThere;
    this.#listens = true;
    this.#later(() => {
      if (life !== this.#lifeThere) return;
      this.#leads = true;
      this.#note("target leads");
      this.#takeIn({ type: "promoted", term: newTerm });
      this.#announce();
    });
  }

  #announce(): void {
    const life = this.#lifeThere;
    this.#later(() => {
      if (life !== this.#lifeThere) return;
      if (this.#kept.role === "leader" && !this.#chance(70)) {
        this.#give({ type: "met", claim: this.#claim() });
      }
      this.#announce();
    }, 5_000);
  }

  #takeIn(input: TakeoverInput): "promoted" | "not_promoted" | "unknown" | null {
    const machine = this.#taking;
    if (machine === null) return null;
    let outcome: "promoted" | "not_promoted" | "unknown" | null = null;
    for (const effect of machine.step(input, monotonicMsOf(this.#now))) {
      if (this.#taking !== machine) return null;
      if (effect.type === "answer") outcome = effect.outcome;
      this.#performThere(effect);
      this.#note(`T ${effect.type}${outcome === null ? "" : ` ${outcome}`} by ${input.type}`);
      if (this.#chance(3)) this.#killTarget();
    }
    return outcome;
  }

  #performThere(effect: TakeoverEffect): void {
    const life = this.#lifeThere;
    const alive = (run: () => void) => (): void => void (life === this.#lifeThere && run());
    switch (effect.type) {
      case "bind":
        return this.#later(alive(() => {
          const error = new DfdbError("port_in_use", "says the net");
          this.#listens = !this.#chance(10);
          this.#takeIn(this.#listens ? { type: "bound", wireAddress: null } : { type: "bindFailed", error });
        }));
      case "unbind":
        this.#listens = false;
        return;
      case "send":
        if (this.#line?.followerEnd === true) this.#tell(this.#line, "leader", effect.message);
        return;
      case "dropSession":
        if (this.#line !== null) this.#followerEnds(this.#line);
        return;
      case "promote":
        this.#promoting = true;
        return this.#later(alive(() => this.#promoted()));
    }
  }

  #promoted(): void {
    if (this.#chance(15)) {
      this.#promoting = false;
      this.#takeIn({ type: "promotionFailed", error: new DfdbError("no_lease", "says the authority") });
      return this.#dialLater();
    }
    this.#keptThere.role = "leader";
    this.#leadSoon();
  }
}
