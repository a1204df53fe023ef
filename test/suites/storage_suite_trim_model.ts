import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Seq } from "../../src/base/ids.ts";
import { runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import type { BeginTerm } from "../../src/document/operation.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import type { Storage, TrimPolicy } from "../../src/storage/storage.ts";
import { beginTerm, inFolder, patient, put, start, testOptions, wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

const all = { bytesMax: 2 ** 30, entriesMax: 1e6 };
const day = 86_400_000;

/** The log as a plain array. */
class NaiveLog {
  entries: { seq: number; bytes: number; wallMs: number; chain: number }[] = [];
  before = { seq: 0, chain: 0 };

  trim({ bytesMax, age, hold }: TrimPolicy): void {
    const sum = () => this.entries.reduce((bytes, entry) => bytes + entry.bytes, 0);
    const goalOf = (most: number) => sum() > most ? most - Math.floor(most / 8) : Infinity;
    const goal = goalOf(bytesMax), heldGoal = goalOf(Math.max(bytesMax, hold?.bytesMax ?? 0));
    const newest = this.entries.at(-1)?.wallMs ?? 0;
    const oldBefore = age === null ? -Infinity : Math.min(age.now, newest) - age.msMax;
    while (this.entries.length > 1) {
      const first = this.entries[0] as NaiveLog["entries"][number];
      const held = first.seq >= (hold?.from ?? Infinity), old = first.wallMs < oldBefore && !held;
      if (sum() <= (held ? heldGoal : goal) && !old) break;
      this.before = { seq: first.seq, chain: first.chain };
      this.entries.shift();
    }
  }
}

/** Random appends, trims and reopenings beside a plain array. */
export function trimModelSuite({ openStorage }: StorageOpeners): void {
  test(
    "trim: random appends, trims and reopenings agree with a plain array",
    patient,
    () =>
      inFolder(async (folder) => {
        for (let seed = 1; seed <= 5; seed++) {
          const random = prng(seed), pick = (below: number) => Math.floor(random.float() * below);
          const options = testOptions(join(folder, `${seed}.dfdb`)), naive = new NaiveLog();
          let storage = await openStorage(options), clock = wall as number, seen = 0;
          const c = start(storage);
          for (let step = 0; step < 60; step++) {
            clock += pick(3) === 0 ? pick(2 * day) - day / 2 : 1_000;
            storage.write((tx) => {
              for (let i = pick(6); i > 0; i--) {
                const pad = `{"pad":"${"p".repeat(pick(2_000))}"}`;
                tx.append([put(c, `d${tx.position.seq}`, 0, pad)], wallMsOf(clock));
              }
            });
            if (pick(15) === 0) storage.write((tx) => tx.append([newRun(step)], wallMsOf(clock)));
            for (
              const entry of storage.log.entries(
                seqOf(Math.max(seen, storage.log.first - 1)),
                all,
              ) as readonly LogEntry[]
            ) {
              const { seq, payload, wallMs, chain } = entry;
              naive.entries.push({ seq, bytes: payload.length, wallMs, chain });
              seen = seq;
            }
            const policy: TrimPolicy = {
              bytesMax: pick(4) === 0 ? pick(20_000) : 2 ** 30,
              age: pick(2) === 0 ? null : { msMax: day, now: wallMsOf(clock + pick(2 * day) - day) },
              ...(pick(3) === 0 ? { hold: { from: seqOf(pick(seen + 2)), bytesMax: pick(30_000) } } : {}),
            };
            if (pick(3) === 0) {
              naive.trim(policy);
              while (storage.trimLog(policy));
            }
            if (pick(12) === 0) {
              storage.close();
              storage = await openStorage(options);
            }
            agree(storage, naive);
          }
          storage.close();
        }
      }),
  );
}

/** A new run of the same leader. */
function newRun(step: number): BeginTerm {
  return { ...beginTerm(1, "1"), run: runIdOf((step + 100).toString(16).repeat(16)) };
}

/** Everything that a reader can see is what the plain array says. */
function agree(storage: Storage, naive: NaiveLog): void {
  const { log } = storage, entries = log.entries(seqOf(log.first - 1), all) as readonly LogEntry[];
  assert.deepEqual(
    entries.map(({ seq, payload, wallMs, chain }) => ({ seq, bytes: payload.length, wallMs, chain })),
    naive.entries,
  );
  assert.equal(log.first, naive.before.seq + 1);
  const edge = log.at(naive.before.seq as Seq) as Position;
  assert.deepEqual([edge.seq, edge.chain], [naive.before.seq, naive.before.chain]);
  let { chain } = edge;
  for (const entry of entries) {
    chain = chainAfter(chain, entry.term, entry.seq, entry.wallMs, entry.payload);
    assert.equal(entry.chain, chain);
    assert.equal((log.at(entry.seq) as Position).chain, chain);
  }
  for (let seq = 1; seq < naive.before.seq; seq += 7) {
    assert.equal(log.at(seqOf(seq)), "compacted");
    assert.equal(log.entries(seqOf(seq), all), "compacted");
  }
  const { logEntries, logBytes } = storage.stats();
  assert.deepEqual([logEntries, logBytes], [
    entries.length,
    entries.reduce((n, e) => n + e.payload.length, 0),
  ]);
}
