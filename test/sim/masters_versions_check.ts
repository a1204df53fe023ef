/**
 * After each event, of every node: what its versions may be. Equal vectors mean equal bytes, wherever; no version is kept that another one has seen; what a
 * node had seen it does not forget, and what it had seen replaced does not come back; what is shown is what the versions and the policy say.
 */
import { seqOf } from "../../src/base/ids.ts";
import { termAt } from "../../src/storage/position_text.ts";
import type { ReadView, Storage } from "../../src/storage/storage.ts";
import type { KeySeen, PolicySeen, VersionSeen } from "./masters_keys.ts";
import {
  conflict,
  describeKey,
  dotsText,
  gone,
  keySeen,
  mayBePurged,
  naiveShown,
  vectorText,
} from "./masters_keys.ts";
import { type DotSeen, RunsSeen, textOf } from "./masters_runs.ts";
import { type Observed, Violation } from "./types.ts";

/** What was seen of one machine's versions last. */
interface Mirror {
  /** All that entries up to this one brought is in `keys`. */
  upTo: number;
  readonly run: string;
  /** End of the log when it was looked at. */
  readonly end: string;
  readonly keys: Map<string, KeySeen>;
}

export interface VersionsCheckOptions {
  /** What all nodes go by; null: it has changed, so what is shown may differ for a while. */
  readonly policy: () => PolicySeen | null;
  /** Deletions that are old by the clocks of the machines are purged. */
  readonly purges: boolean;
  /** Each key that has changed on a node, in the order in which it was seen. */
  readonly onKey?: (line: () => string) => void;
}

export const allKeys = { keysMax: 1_000_000, bytesMax: 2 ** 40 };

export class VersionsCheck {
  readonly runs = new RunsSeen();
  readonly counts = { keys: 0, versions: 0, conflicts: 0, forks: 0 };
  /** Sites whose history was seen to go another way: what was answered there may be gone. */
  readonly forked = new Set<string>();
  readonly #options: VersionsCheckOptions;
  /** Every version that was ever seen, by key and entry. */
  readonly #contents = new Map<string, Map<string, VersionSeen>>();
  readonly #sets = new Map<
    string,
    { readonly dots: string; readonly shown: string; readonly where: string }
  >();
  readonly #mirrors = new Map<string, Mirror>();

  constructor(options: VersionsCheckOptions) {
    this.#options = options;
  }

  /** A storage of this site has committed something. */
  committed(site: string, { log }: Storage): void {
    this.runs.learn(site, log.terms);
  }

  /** What entry `dot` made of `key`; null: it was replaced before anybody looked. */
  versionOf(key: string, { run, seq }: DotSeen): VersionSeen | null {
    return this.#contents.get(key)?.get(`${run}:${seq}`) ?? null;
  }

  /** All that were ever seen. */
  versionsOf(key: string): Iterable<VersionSeen> {
    return this.#contents.get(key)?.values() ?? [];
  }

  look(site: string, { machine, process, storage }: Observed): void {
    const { log } = storage, { seq, run } = log.last, end = `${run} ${seq}`;
    let mirror = this.#mirrors.get(machine);
    if (mirror?.end === end && mirror.upTo === seq) return;
    this.runs.learn(site, log.terms);
    const goesOn = mirror !== undefined && mirror.upTo <= seq &&
      (mirror.upTo === 0 || termAt(log.terms, seqOf(mirror.upTo)).run === mirror.run);
    if (mirror !== undefined && !goesOn) {
      this.forked.add(site);
      this.counts.forks++;
    }
    const before = goesOn ? mirror as Mirror : null, after = before?.upTo ?? 0;
    storage.read((view) => {
      if (view.versions === null) return;
      const page = view.versions.changedSince(seqOf(after), allKeys);
      const keys = before?.keys ?? new Map<string, KeySeen>();
      for (const each of page.keys) {
        const now = keySeen(this.runs, each);
        this.#options.onKey?.(() => `${process} ${describeKey(now)}`);
        this.#key(process, view, now, keys.get(now.key) ?? null);
        keys.set(now.key, now);
      }
      const upTo = page.upTo, at = upTo === 0 ? "" : termAt(log.terms, page.upTo).run;
      mirror = { upTo, run: at, end, keys };
      this.#mirrors.set(machine, mirror);
    });
  }

  #key(where: string, view: ReadView, now: KeySeen, before: KeySeen | null): void {
    const wrong = (checker: string, what: string): Violation =>
      new Violation(
        checker,
        `${where}: ${what}: ${describeKey(now)}${before === null ? "" : `, before: ${describeKey(before)}`}`,
      );
    const { key, versions, vector, shown } = now, { runs } = this;
    this.counts.keys++;
    this.counts.versions += versions.length;
    if (shown === conflict) this.counts.conflicts++;
    if (versions.length === 0) throw wrong("versions", "a key without versions");
    for (const version of versions) {
      const { dot } = version;
      if (!version.vector.some(({ run, seq }) => run === dot.run && seq === dot.seq)) {
        throw wrong("versions", `${textOf(dot)} has not seen itself`);
      }
      const known = this.#learn(key, version);
      if (known !== null) {
        throw wrong("bytes", `entry ${textOf(dot)} has two contents, the other is ${known}`);
      }
      const by = versions.find((other) => other !== version && runs.saw(other.vector, dot));
      if (by !== undefined) {
        throw wrong("versions", `${textOf(dot)} is kept, which ${textOf(by.dot)} has seen`);
      }
    }
    const dots = dotsText(versions), name = `${key} ${vectorText(vector)}`, policy = this.#options.policy();
    const same = this.#sets.get(name);
    if (same !== undefined && same.dots !== dots) {
      throw wrong("bytes", `other versions than at ${same.where} under the same vector: ${same.dots}`);
    }
    if (same !== undefined && policy !== null && same.shown !== shown) {
      throw wrong("bytes", `shown otherwise than at ${same.where} under the same vector: ${same.shown}`);
    }
    this.#sets.set(name, { dots, shown, where });
    if (policy !== null) {
      const expected = naiveShown(runs, versions, policy);
      if (shown !== expected) {
        throw wrong("policy", `it should show ${expected.slice(0, 100)} by ${policy.kind}`);
      }
    }
    const stored = documentOf(view, key);
    if (stored !== (shown === gone || shown === conflict ? null : shown.slice(3))) {
      throw wrong("documents", `the document is ${stored ?? "not there"}`);
    }
    if (before !== null) this.#since(now, before, wrong);
  }

  /** Null: it is what it was, wherever it was seen. */
  #learn(key: string, version: VersionSeen): string | null {
    const { run, seq } = version.dot, name = `${run}:${seq}`;
    let all = this.#contents.get(key);
    if (all === undefined) this.#contents.set(key, all = new Map());
    const known = all.get(name);
    if (known === undefined) all.set(name, version);
    return known === undefined || contentText(known) === contentText(version) ? null : contentText(known);
  }

  /** On one node, in one history. */
  #since(now: KeySeen, before: KeySeen, wrong: (checker: string, what: string) => Violation): void {
    const { runs } = this;
    const last = Math.max(...now.versions.map(({ modifiedMs }) => modifiedMs));
    const purged = this.#options.purges && before.versions.every((version) => mayBePurged(version, last));
    const lost = before.vector.find((dot) => !runs.saw(now.vector, dot));
    if (lost !== undefined && !purged) throw wrong("forgotten", `${textOf(lost)} was seen before`);
    const held = new Set(before.versions.map(({ dot }) => textOf(dot)));
    for (const { dot } of now.versions) {
      if (!held.has(textOf(dot)) && runs.saw(before.vector, dot)) {
        throw wrong("resurrected", `${textOf(dot)} had been replaced here`);
      }
    }
  }
}

/** The text of the document; null: there is none. `key` as in {@linkcode KeySeen}. */
export function documentOf(view: ReadView, key: string): string | null {
  const at = key.indexOf("/"), info = view.collection(key.slice(0, at));
  return info === null ? null : view.document(info.number, key.slice(at + 1) as never)?.body ?? null;
}

function contentText({ vector, modifiedMs, body }: VersionSeen): string {
  return `${vectorText(vector)} ${modifiedMs} ${body ?? gone}`;
}
