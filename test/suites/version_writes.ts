/** What other masters would send, written into a database as the operations that its leader makes of it. */
import { utf8 } from "../../src/base/bytes.ts";
import type { DatabaseId, RunId } from "../../src/base/ids.ts";
import { databaseIdOf, documentIdOf, epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { vectorOf } from "../../src/document/change_vector.ts";
import type { ConflictPolicy } from "../../src/document/judge.ts";
import type { Dot } from "../../src/document/run_tree.ts";
import type { Version } from "../../src/document/version_set.ts";
import { versionId } from "../../src/document/version_id.ts";
import type { WriteTransaction } from "../../src/storage/storage.ts";
import type { VersionView } from "../../src/storage/versions.ts";
import { received } from "../tool/receive_versions.ts";
import type { TestNode } from "./http_fixture.ts";

/** Another database; each digit is one, with one run. */
export const databaseOf = (digit: string): DatabaseId => databaseIdOf(`d${digit.repeat(31)}`);
export const runOf = (digit: string): RunId => runIdOf(digit.repeat(32));

/** One version of another database, not seen by anybody else's unless `seen` names it. */
export interface Sent {
  readonly digit: string;
  readonly seq: number;
  /** Null: a deletion. */
  readonly text: string | null;
  readonly modifiedMs?: number;
  readonly seen?: readonly Dot[];
}

export const idOf = (digit: string, seq: number): string => versionId({ run: runOf(digit), seq: seqOf(seq) });

/** Receives versions of a key as one batch, judged by `policy`; the collection is made where there is none. */
export async function receive(
  { engine }: Pick<TestNode, "engine">,
  [name, id]: readonly [collection: string, id: string],
  sent: readonly Sent[],
  policy: ConflictPolicy = { kind: "manual" },
): Promise<void> {
  await engine.submit({
    bytes: 0,
    run(tx, wallMs) {
      const runs = [...new Set(sent.map(({ digit }) => digit))].map((digit) => ({
        database: databaseOf(digit),
        run: runOf(digit),
        epoch: epochOf(1),
        firstSeq: seqOf(1),
        parent: null,
      }));
      tx.append([{ kind: "learnRuns", runs }], wallMs);
      if (tx.collection(name) === null) {
        tx.append([{ kind: "createCollection", collection: tx.newCollectionNumber(), name }], wallMs);
      }
      const versions = sent.map((one) => versionOf(tx, one))
        .sort((a, b) => a.dot.run < b.dot.run ? -1 : 1);
      const operation = received(tx, name, documentIdOf(id), versions, policy);
      if (operation !== null) tx.append([operation], wallMs);
    },
  });
}

function versionOf(
  tx: WriteTransaction,
  { digit, seq, text, modifiedMs = 1_700_000_000_000, seen = [] }: Sent,
): Version {
  const { tree } = tx.versions as VersionView, dot = { run: runOf(digit), seq: seqOf(seq) };
  const body = text === null ? null : utf8(text);
  return { dot, vector: vectorOf(tree, [...seen, dot]), modifiedMs: wallMsOf(modifiedMs), body };
}
