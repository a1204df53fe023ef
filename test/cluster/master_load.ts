/** Clients that write to the same documents on all masters, and what each of their writes must have left. */
import { setTimeout as pause } from "node:timers/promises";
import type { Prng } from "../../src/base/prng.ts";
import type { Member } from "./cluster.ts";
import type { Body } from "./master_mesh.ts";
import { ask, info } from "./master_mesh.ts";

export interface SharedWriters {
  /** Writes answered so far. */
  readonly acknowledged: number;
  /** Ends the writers after the write they are at. */
  stop(): Promise<void>;
  /** Sentences about answered writes that no version on `at` has seen. */
  ignored(at: Member): Promise<readonly string[]>;
}

/** One for each master; they write to the same `documents`, each as its chance says, and never delete. */
export async function sharedWriters(
  masters: readonly Member[],
  documents: number,
  chance: (writer: number) => Prng,
): Promise<SharedWriters> {
  /** Of each document, the highest seq that was answered, by database. Histories are lines: no master fails over. */
  const seen = new Map<string, Map<string, number>>();
  let running = true, acknowledged = 0;
  const databases = await Promise.all(masters.map(async (each) => String((await info(each))["databaseId"])));
  const write = async (master: Member, database: string, id: string, n: string): Promise<boolean> => {
    // It may be killed at any time.
    const answer = await ask(master, "PUT", `/collections/shared/${id}`, { n }).catch(() => null);
    if (answer === null || answer.status === 503) return false;
    const seq = Number(String(answer.body["etag"]).split("-").at(-1));
    if (answer.status > 299 || !Number.isSafeInteger(seq)) {
      throw new Error(`${id}: unexpected answer ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    const seqs = seen.get(id) ?? new Map<string, number>();
    seen.set(id, seqs);
    seqs.set(database, Math.max(seq, seqs.get(database) ?? 0));
    acknowledged++;
    return true;
  };
  const tasks = masters.map(async (master, i) => {
    const own = chance(i);
    for (let n = 0; running; n++) {
      const id = `s${own.below(documents)}`;
      if (!await write(master, databases[i] as string, id, `${i}-${n}`)) await pause(20);
    }
  });
  return {
    get acknowledged() {
      return acknowledged;
    },
    async stop() {
      running = false;
      await Promise.all(tasks);
    },
    async ignored(at) {
      const wrong: string[] = [];
      for (const [id, seqs] of seen) {
        const known = await vectorOf(at, `shared/${id}`);
        for (const [database, seq] of seqs) {
          if ((known.get(database) ?? 0) >= seq) continue;
          wrong.push(
            `${id} on ${at.name}: entry ${seq} of ${database} is not in what its versions have seen`,
          );
        }
      }
      return wrong;
    },
  };
}

/** What the versions of a key have seen together: the highest seq of each database. */
async function vectorOf(at: Member, key: string): Promise<ReadonlyMap<string, number>> {
  const answer = await fetch(`${at.url}/docs/${key}`, { signal: AbortSignal.timeout(30_000) });
  const body = await answer.json() as Body, one = answer.headers.get("raven-replication-vector");
  const texts = answer.status === 409
    ? (body["Versions"] as Body[]).map((version) => String(version["@metadata"]["Raven-Replication-Vector"]))
    : [one ?? ""];
  const highest = new Map<string, number>();
  for (const entry of texts.flatMap((text) => text.split(", "))) {
    const [database = "", , seq] = entry.split(":");
    highest.set(database, Math.max(Number(seq), highest.get(database) ?? 0));
  }
  return highest;
}
