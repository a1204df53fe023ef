/**
 * Who deleted what: each document that goes was asked to go by a client, or its time was over by the clock of the leader that deleted it, as
 * the setting of its collection had it then.
 */
import type { Delete } from "../../src/document/operation.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { parentOf, tokenOf } from "./history_tree.ts";
import type { Replay } from "./replay.ts";
import { type Json, rememberedName, settingsName, State, valueAt } from "./state.ts";
import { Violation, type Write } from "./types.ts";
import { isForgotten } from "./written_tags.ts";

export interface DeletionsCheckOptions {
  readonly history: History;
  readonly replay: Replay;
  /** By how much the wall clock of the machine that is committing went back lately, ms: what was due before it may be deleted after it. */
  readonly wentBackMs?: () => number;
}

interface Deletion {
  readonly entry: Entry;
  readonly collection: string;
  readonly id: string;
}

/** A write of which nobody knows for sure what it deleted. */
interface Asked {
  readonly sentAt: number;
  readonly documents: ReadonlySet<string>;
  /** Everything in it may be meant; "": in all collections; null: in none. */
  readonly within: string | null;
}

export class DeletionsCheck {
  readonly #options: DeletionsCheckOptions;
  /** Those that no rule explains. */
  readonly #open: Deletion[] = [];
  readonly #made = new Set<Entry>();
  readonly #asked: Asked[] = [];
  /** How many went because their time was over, and answers that were forgotten. */
  readonly counts = { expired: 0, forgotten: 0 };

  /** Follows `history`, after `replay`. */
  constructor(options: DeletionsCheckOptions) {
    this.#options = options;
    options.history.onEntry((entry) => {
      // The settings of a collection go with it.
      if (entry.operations.some(({ kind }) => kind === "dropCollection")) return;
      for (const operation of entry.operations) {
        if (operation.kind === "delete") this.#delete(entry, operation);
      }
    });
  }

  /** A client was told that it wrote `entry`: what that must be is for others to judge. */
  made(entry: Entry): void {
    this.#made.add(entry);
  }

  /** A client asked for `write`, and nobody told it which entry it is. */
  asked({ sentAt, documents, deletesIn }: Write): void {
    const gone = documents.filter(({ tag }) => tag === null);
    if (gone.length === 0 && deletesIn === undefined) return;
    const keys = gone.map(({ collection, id }) => keyOf(collection, id ?? ""));
    this.#asked.push({ sentAt, documents: new Set(keys), within: deletesIn?.toLowerCase() ?? null });
  }

  /** At the end, when every request is answered. */
  final(): void {
    for (const { entry, collection, id } of this.#open) {
      if (this.#made.has(entry)) continue;
      const key = keyOf(collection, id), name = collection.toLowerCase();
      const asked = this.#asked.some(({ sentAt, documents, within }) =>
        sentAt <= entry.seenAt && (documents.has(key) || within === "" || within === name)
      );
      if (asked) continue;
      throw new Violation(
        "deletions",
        `${
          tokenOf(entry)
        } deletes ${collection}/${id}, and nobody asked for that, nor was its time over at ${entry.wallMs}`,
      );
    }
  }

  #delete(entry: Entry, { collection: number, id, previous }: Delete): void {
    const { replay } = this.#options, before = new State(replay, parentOf(entry) as Entry);
    const collection = replay.everNameAt(entry, number) ?? "";
    if (collection === rememberedName) return this.#forgotten(entry, before, id);
    const document = before.document(collection, id);
    const setting = collection === settingsName ? null : before.setting(collection, "ttl");
    if (document !== null && setting !== null && previous === document.entry.seq) {
      const due = momentOf(document.json, String(setting["field"]));
      if (due !== null && due <= entry.wallMs + (this.#options.wentBackMs?.() ?? 0)) {
        this.counts.expired++;
        return;
      }
    }
    this.#open.push({ entry, collection, id });
  }

  /** What is remembered goes when nobody may ask for it any more. */
  #forgotten(entry: Entry, before: State, id: string): void {
    const note = before.document(rememberedName, id);
    this.counts.forgotten++;
    if (note !== null && isForgotten(note.entry, entry)) return;
    throw new Violation("deletions", `${tokenOf(entry)} forgets ${id} before its time`);
  }
}

/** When a document's time is over, wall ms: a number, or a text of a moment. Null: never. */
export function momentOf(json: Json, field: string): number | null {
  const value = valueAt(json, [field]);
  if (typeof value === "number") return value;
  const isMoment = typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value);
  return isMoment ? Date.parse(value) : null;
}

function keyOf(collection: string, id: string): string {
  return `${collection.toLowerCase()}/${id}`;
}
