/** The files in `rescued/`: whole, true to the history to the letter, and there before anything was given up. */
import { crc32 } from "../../src/base/crc32.ts";
import type { Operation } from "../../src/document/operation.ts";
import type { History, Rollback } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { ancestorAt, contains, entriesAfter, parentOf, tokenOf } from "./history_tree.ts";
import type { Replay } from "./replay.ts";
import { checkRescuedDatabase } from "./rescued_database.ts";
import { Violation } from "./types.ts";

/** A file in a machine's `rescued/`. */
export interface RescuedFile {
  readonly name: string;
  bytes(): Uint8Array;
}

/** Entries that a rescue file keeps: from seq `from` on up to `last`. */
export interface RescuedTail {
  readonly machine: string;
  readonly file: string;
  readonly from: number;
  readonly last: Entry;
}

export interface RescuedCheckOptions {
  readonly history: History;
  readonly replay: Replay;
  /** What lies in the `rescued/` of a machine now, temporary files too. */
  readonly rescued: (machine: string) => readonly RescuedFile[];
}

type Json = Readonly<Record<string, unknown>>;
type Wrong = (what: string) => Violation;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class RescuedCheck {
  readonly #options: RescuedCheckOptions;
  /** By machine and name: a file never changes, unless the disk was made older. */
  readonly #known = new Map<string, { readonly tail: RescuedTail; readonly crc: number }>();

  /** From now on what a node of `history` gives up must be in a rescue file of its machine at that moment. */
  constructor(options: RescuedCheckOptions) {
    this.#options = options;
    options.history.onRollback((rollback) => {
      if (rollback.why === "diverged") this.#checkKept(rollback);
    });
  }

  /** What the rescue files of these machines keep. Throws Violation for one that is not whole or not true. */
  read(machines: readonly string[]): readonly RescuedTail[] {
    return machines.flatMap((machine) => this.#tails(machine));
  }

  /** Checks at the end that what was given up is still in the rescue files; a disk that was made older excuses. */
  final(): void {
    const { rollbacks } = this.#options.history;
    for (const rollback of rollbacks) {
      const restored = rollbacks.some(({ machine, why, at }) =>
        machine === rollback.machine && why === "restored" && at >= rollback.at
      );
      if (rollback.why === "diverged" && !restored) this.#checkKept(rollback);
    }
  }

  #checkKept({ machine, process, from, to, common }: Rollback): void {
    const tails = this.#tails(machine);
    for (const entry of entriesAfter(from, common)) {
      if (tails.some((tail) => entry.seq >= tail.from && contains(tail.last, entry))) continue;
      throw new Violation(
        "rescue",
        `${process} gave up ${tokenOf(from)} for ${tokenOf(to)}, and ${
          tokenOf(entry)
        } is in no rescue file of it`,
      );
    }
  }

  #tails(machine: string): readonly RescuedTail[] {
    const files = this.#options.rescued(machine), tails: RescuedTail[] = [];
    for (const file of files) {
      if (!/\.(jsonl|dfdb)$/.test(file.name)) continue;
      const key = `${machine} ${file.name}`, known = this.#known.get(key), crc = crc32(file.bytes());
      if (known !== undefined && known.crc !== crc && !this.#isRestored(machine)) {
        throw new Violation("rescue", `${machine}: ${file.name}: it was written over`);
      }
      const tail = known?.crc === crc ? known.tail : this.#checked(machine, file, files);
      this.#known.set(key, { tail, crc });
      tails.push(tail);
    }
    return tails;
  }

  #isRestored(machine: string): boolean {
    return this.#options.history.rollbacks.some((each) =>
      each.machine === machine && each.why === "restored"
    );
  }

  #checked(machine: string, file: RescuedFile, files: readonly RescuedFile[]): RescuedTail {
    const wrong: Wrong = (what) => new Violation("rescue", `${machine}: ${file.name}: ${what}`);
    if (file.name.endsWith(".jsonl")) return this.#checkedTail(machine, file, wrong);
    const described = files.find(({ name }) => name === `${file.name}.json`);
    if (described === undefined) throw wrong("nothing tells what it is");
    const { last } = this.#header(decoder.decode(described.bytes()), "database", wrong);
    checkRescuedDatabase(file.bytes(), { ...this.#options, last, wrong });
    return { machine, file: file.name, from: 1, last };
  }

  #checkedTail(machine: string, file: RescuedFile, wrong: Wrong): RescuedTail {
    const [head = "", ...lines] = decoder.decode(file.bytes()).split("\n");
    const { header, last } = this.#header(head, "tail", wrong), from = Number(header["from"]);
    const common = ancestorAt(last, from - 1);
    if (lines.pop() !== "") throw wrong("it was cut");
    if (common === null || header["to"] !== last.seq || header["common"] !== common.seq) {
      throw wrong(`its header does not fit entry ${tokenOf(last)}`);
    }
    const expected = this.#expected(common, last);
    for (const [index, line] of lines.entries()) {
      const wanted = expected[index];
      if (wanted === undefined || !isSame(line, wanted)) {
        throw wrong(
          `line ${index + 2} is ${line.slice(0, 300)}, not ${JSON.stringify(wanted)?.slice(0, 300)}`,
        );
      }
    }
    if (lines.length !== expected.length) throw wrong(`it has ${lines.length} lines, not ${expected.length}`);
    return { machine, file: file.name, from, last };
  }

  #header(text: string, form: string, wrong: Wrong): { readonly header: Json; readonly last: Entry } {
    const header = parsed(text, wrong), { positions } = header as { positions?: { last?: Entry["run"] } };
    if (header["kind"] !== "dfdb-rescue" || header["version"] !== 1 || header["form"] !== form) {
      throw wrong(`not the header of a ${form}: ${text.slice(0, 300)}`);
    }
    const last = positions?.last as Parameters<History["byPosition"]>[0] | undefined;
    const entry = last === undefined ? null : this.#options.history.byPosition(last);
    if (entry === null) throw wrong(`no node ever had its last entry: ${text.slice(0, 300)}`);
    return { header, last: entry };
  }

  /** The lines after the header. */
  #expected(common: Entry, last: Entry): readonly Line[] {
    const lines: Line[] = [], documents = new Set<string>(), entries = entriesAfter(last, common);
    for (const entry of entries) {
      for (const operation of entry.operations) {
        lines.push(this.#line(entry, operation, last));
        if ("id" in operation && "collection" in operation) {
          documents.add(`${operation.collection}/${operation.id}`);
        }
      }
    }
    const end = { op: "end", entries: entries.length, operations: lines.length, documents: documents.size };
    return [...lines, { members: end, doc: null, nameless: false }];
  }

  #line(entry: Entry, operation: Operation, last: Entry): Line {
    const { replay } = this.#options, { seq, wallMs, run: { epoch, id: run }, operations } = entry;
    const place = { seq, term: { epoch, run }, op: operation.kind };
    const rest = { etag: tokenOf(entry), wallMs, ...(operations.length > 1 ? { group: seq } : {}) };
    if (operation.kind === "term") {
      return { members: { ...place, nodeId: operation.nodeId, ...rest }, doc: null, nameless: false };
    }
    if (!("collection" in operation)) {
      throw new Error(`${operation.kind}: databases of this check have no bundle`);
    }
    const { collection: number } = operation, nameless = replay.nameAt(last, number) === null;
    const where = { ...place, collection: replay.everNameAt(entry, number), number };
    const index = indexOf(operation);
    if (!("id" in operation)) return { members: { ...where, ...rest, ...index }, doc: null, nameless };
    const { id, previous: seqBefore } = operation;
    const before = seqBefore === 0 ? null : tokenOf(ancestorAt(parentOf(entry) as Entry, seqBefore) as Entry);
    const doc = operation.kind === "put" ? decoder.decode(operation.body) : null;
    return { members: { ...where, id, previous: before, ...rest }, doc, nameless };
  }
}

/** A line as it has to be; `nameless`: the name of its collection may be unknown, because it was dropped. */
interface Line {
  readonly members: Json;
  readonly doc: string | null;
  readonly nameless: boolean;
}

function isSame(line: string, { members, doc, nameless }: Line): boolean {
  const text = (own: Json): string => {
    const all = JSON.stringify(own);
    return doc === null ? all : `${all.slice(0, -1)},"doc":${doc}}`;
  };
  return line === text(members) || (nameless && line === text({ ...members, collection: null }));
}

/** What a line says of an index. */
function indexOf(operation: Operation): Json {
  if (operation.kind === "dropIndex") return { index: { name: operation.name } };
  if (operation.kind !== "createIndex") return {};
  const { name, unique, time, paths } = operation;
  return { index: { name, unique, time, paths } };
}

function parsed(text: string, wrong: Wrong): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw wrong(`not JSON: ${text.slice(0, 300)}`);
  }
}
