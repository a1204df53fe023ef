import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf, epochOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { activateReplication } from "../../src/engine/activate_bundle.ts";
import { deleteDocument, dropCollection, putDocument } from "../../src/engine/commands.ts";
import type {
  QueryAnswer,
  QueryMatch,
  SubmitOnce,
  WriteContext,
  Writing,
} from "../../src/engine/query_types.ts";
import type { KeptAnswer, MakeAnswer } from "../../src/engine/remembered.ts";
import { remembered } from "../../src/engine/remembered.ts";
import { writeStatements } from "../../src/engine/query_writes.ts";
import { catalogOf } from "../../src/engine/view_catalog.ts";
import { compileMatches } from "../../src/query/compile.ts";
import type { QueryParameters } from "../../src/query/compile_slots.ts";
import { parse } from "../../src/query/parse.ts";
import type { SqlValue } from "../../src/storage/storage.ts";
import type { DatabaseRig } from "../tool/database_rig.ts";
import { withDatabase } from "../tool/database_rig.ts";
import { receive } from "../suites/version_writes.ts";

interface Asked {
  readonly parameters?: QueryParameters;
  readonly signal?: AbortSignal;
  /** Runs after the search, before the transaction. */
  readonly between?: () => Promise<void>;
  /** Runs before the search looks at the collection, which was there when the statement began. */
  readonly before?: () => Promise<void>;
  /** There is no search: it is little. */
  readonly little?: boolean;
  readonly readOnly?: boolean;
  /** Its answer is remembered under this. */
  readonly key?: string;
}

const matchOf = ([, id, seq, body]: readonly SqlValue[]): QueryMatch => ({
  id: documentIdOf(String(id)),
  seq: seqOf(Number(seq)),
  body: String(body),
});

/** Carries out a statement as the queries of a node do. */
function run(rig: DatabaseRig, sql: string, asked: Asked = {}): Promise<QueryAnswer> {
  const { storage } = rig, { parameters = [], signal = new AbortController().signal } = asked;
  let ids = 0;
  const newId = (): string => `id${++ids}`;
  const inputs = { parameters, now: "2026-01-01T00:00:00.000Z", newId };
  const context: WriteContext = {
    sql,
    inputs,
    readOnly: asked.readOnly ?? false,
    once: asked.key === undefined ? null : once(rig, asked.key),
    timeoutMs: 1_000,
    signal,
    catalog: () => ({
      collection: (name) => storage.read((view) => catalogOf(view).collection(name)),
      names: () => storage.read((view) => catalogOf(view).names()),
    }),
    async *matches(where, collection) {
      await asked.before?.();
      const rows = storage.read((view) => {
        const { sql, values } = compileMatches(where, collection, catalogOf(view), parameters);
        return [...view.select(sql, values(inputs))];
      });
      yield rows.map(matchOf);
      await asked.between?.();
    },
    matchesAtOnce(view, where, collection) {
      if (asked.little !== true) return null;
      const { sql, values } = compileMatches(where, collection, catalogOf(view), parameters);
      return { plan: "LITTLE", documents: [...view.select(sql, values(inputs))].map(matchOf) };
    },
  };
  const write = writeStatements({
    ...rig,
    newId: () => documentIdOf(newId()),
    documentLimits: { bytesMax: 16 * 2 ** 20, nestingMax: 100 },
  });
  return write(parse(sql) as Writing, context).catch((error) => {
    if (error instanceof Remembered) return error.answer;
    throw error;
  });
}

class Remembered extends Error {
  readonly answer: QueryAnswer;

  constructor(answer: QueryAnswer) {
    super("the statement is answered");
    this.answer = answer;
  }
}

function once({ engine }: DatabaseRig, key: string): SubmitOnce {
  return async (plan, finish) => {
    const answer = (...[value, _, operations]: Parameters<MakeAnswer<unknown>>): KeptAnswer => ({
      status: 200,
      headers: {},
      body: JSON.stringify(finish(value as Parameters<typeof finish>[0], operations)),
    });
    const { value } = await engine.submit(remembered(plan, { key: documentIdOf(key), request: "" }, answer));
    throw new Remembered(JSON.parse(value.body) as QueryAnswer);
  };
}

const fails = (promise: Promise<unknown>, code: string, message?: RegExp): Promise<void> =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof DfdbError, String(error));
    assert.equal(error.code, code, error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  });

const put = async ({ engine }: DatabaseRig, id: string, body: unknown): Promise<void> => {
  await engine.submit(putDocument("c", { id: documentIdOf(id), body: utf8(JSON.stringify(body)) }, () => {}));
};

const remove = async ({ engine }: DatabaseRig, id: string): Promise<void> => {
  await engine.submit(deleteDocument("c", documentIdOf(id), () => {}));
};

const many = (count: number, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`d${i}`, { n: 1, ...more }]));

/** In one slice, and in several. */
const sizes = [20, 2 * limits.sliceOperations] as const;

for (const size of sizes) {
  test(`UPDATE of ${size}: what was changed after the search is as it is then`, () =>
    withDatabase(async (rig) => {
      await rig.insert("c", { ...many(size), later: { n: 2 }, other: { n: 3 } });
      const before = rig.storage.log.last.seq;
      const between = async (): Promise<void> => {
        await put(rig, "d0", { n: 9 });
        await put(rig, "d1", { n: 1, was: "changed" });
        await remove(rig, "d2");
        await put(rig, "later", { n: 1 });
        await put(rig, "new", { n: 1 });
        await rig.insert("elsewhere", { d3: { n: 1 } });
      };
      const { affected, position } = await run(rig, "UPDATE c SET n = n + 100 WHERE n = 1", { between });
      assert.equal(affected, size);
      assert.deepEqual([position?.seq, rig.storage.log.last.seq], [before + 7, before + 7]);
      assert.equal(rig.body("c", "d0"), '{"n":9}');
      assert.equal(rig.body("c", "d1"), '{"n":101,"was":"changed"}');
      assert.equal(rig.body("c", "d2"), null);
      assert.equal(rig.body("c", "d3"), '{"n":101}');
      assert.equal(rig.body("elsewhere", "d3"), '{"n":1}');
      assert.equal(rig.body("c", "later"), '{"n":101}');
      assert.equal(rig.body("c", "new"), '{"n":101}');
      assert.equal(rig.body("c", "other"), '{"n":3}');
    }));

  test(`DELETE of ${size}: what was changed after the search is as it is then`, () =>
    withDatabase(async (rig) => {
      await rig.insert("c", many(size));
      const between = async (): Promise<void> => {
        await put(rig, "d0", { n: 9 });
        await remove(rig, "d1");
        await put(rig, "new", { n: 1 });
      };
      const { affected, message } = await run(rig, "DELETE FROM c WHERE n = 1", { between });
      assert.deepEqual([affected, message], [size - 1, `Deleted ${size - 1} document(s)`]);
      const documents = rig.storage.read((view) => view.collection("c")?.documents);
      assert.deepEqual([documents, rig.body("c", "d0")], [1, '{"n":9}']);
    }));

  test(`UPDATE of ${size}: nothing is begun any more when the time is over, or the node may not write`, () =>
    withDatabase(async (rig) => {
      await rig.insert("c", many(size));
      const before = rig.storage.log.last.seq;
      for (const reason of [new DfdbError("query_timeout", "late"), new Error("gone")]) {
        const abort = new AbortController(), between = async () => abort.abort(reason);
        await assert.rejects(run(rig, "UPDATE c SET n = 2", { between, signal: abort.signal }), reason);
      }
      const between = async (): Promise<void> => {
        rig.refusal = new DfdbError("read_only", "read-only");
      };
      await fails(run(rig, "UPDATE c SET n = 2", { between }), "read_only");
      rig.refusal = null;
      await fails(run(rig, "UPDATE c SET n = 2", { readOnly: true }), "forbidden");
      assert.equal(rig.storage.log.last.seq, before);
    }));

  test(`UPDATE of ${size}: a collection that went is not changed, nor one that came in its place`, () =>
    withDatabase(async (rig) => {
      await rig.insert("c", many(size));
      const drop = async (): Promise<void> => void await rig.engine.submit(dropCollection("c"));
      const again = async (): Promise<void> => {
        await drop();
        await rig.insert("c", { x: { n: 1 } });
      };
      await fails(run(rig, "UPDATE c SET n = 2", { between: again }), "conflict", /dropped/);
      assert.equal(rig.body("c", "x"), '{"n":1}');
      assert.equal((await run(rig, "UPDATE c SET n = 2 WHERE n = 77", { between: drop })).affected, 0);
      assert.equal((await run(rig, "UPDATE c SET n = 2")).affected, 0);
    }));
}

test("what another master's versions made of documents while they were searched is looked at again", () =>
  withDatabase(async (rig) => {
    await rig.engine.submit(activateReplication(false));
    for (const id of ["a", "b"]) await put(rig, id, { n: 1 });
    let seq = 1;
    const between = async (): Promise<void> => {
      await receive(rig, ["C", "a"], [{ digit: "5", seq: seq++, text: '{"n":1,"theirs":1}' }]);
      await receive(rig, ["c", "new"], [{ digit: "5", seq: seq++, text: '{"n":1}' }]);
    };
    assert.equal(
      (await run(rig, "UPDATE c SET n = 2", { between })).affected,
      2,
      "a is in conflict, new is there",
    );
    assert.deepEqual(["a", "b", "new"].map((id) => rig.body("c", id)), [null, '{"n":2}', '{"n":2}']);
    assert.equal(
      (await run(rig, "DELETE FROM c WHERE n = 2", { between })).affected,
      1,
      "new is in conflict, too",
    );
  }));

test("a collection that goes while it is searched: a conflict, and nothing is written", () =>
  withDatabase(async (rig) => {
    await put(rig, "a", { n: 1 });
    const before = async (): Promise<void> => {
      await rig.engine.submit(dropCollection("c"));
    };
    for (const sql of ["UPDATE c SET n = 5", "DELETE FROM c WHERE n = 1"]) {
      await fails(run(rig, sql, { before }), "conflict", /^The collection "c" was dropped meanwhile/);
      await put(rig, "a", { n: 1 });
    }
    assert.equal((await run(rig, "UPDATE other SET n = 5", { before })).message, "Updated 0 document(s)");
  }));

test("little is found inside a transaction that others share, and sees what they have written", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(3));
    const before = rig.storage.log.last.seq;
    const add = (where: string) => run(rig, `UPDATE c SET n = n + 1 WHERE ${where}`, { little: true });
    const answers = await Promise.all([add("n = 1"), put(rig, "new", { n: 2 }), add("n = 2"), add("n = 9")]);
    assert.deepEqual(answers.map((answer) => answer?.affected), [3, undefined, 4, 0]);
    assert.deepEqual([answers[2].plan, answers[3].position], ["LITTLE", null]);
    assert.deepEqual([rig.body("c", "new"), rig.body("c", "d0")], ['{"n":3}', '{"n":3}']);
    assert.equal(rig.storage.log.last.seq, before + 3);
    await fails(run(rig, "UPDATE c SET n = ?", { little: true }), "bad_request");
    await fails(run(rig, "UPDATE c SET x = 1 WHERE n = ?", { little: true }), "bad_request");
    assert.equal((await run(rig, "DELETE FROM none", { little: true })).affected, 0);
  }));

test("_etag is the document's own, also of a document that was written in the same first transaction of a run", () =>
  withDatabase(async (rig) => {
    const sql = "UPDATE c SET was = _etag";
    for (const [i, digit] of ["a", "b"].entries()) {
      rig.leadership = { ...rig.leadership, epoch: epochOf(i + 1), run: runIdOf(digit.repeat(32)) };
      const writes = [
        put(rig, "a", {}),
        run(rig, sql, { little: true }),
        put(rig, "b", {}),
        run(rig, `${sql} WHERE _id = 'b'`, { little: true, key: `key${i}` }),
      ];
      await Promise.all(writes);
      const begun = rig.storage.log.terms.at(-1)!.firstSeq;
      const was = (after: number): string => `{"was":"${i + 1}.${digit.repeat(8)}-${begun + after}"}`;
      assert.equal(rig.storage.log.last.seq, begun + writes.length);
      assert.deepEqual([rig.body("c", "a"), rig.body("c", "b")], [was(1), was(3)]);
      await run(rig, sql);
      assert.deepEqual([rig.body("c", "a"), rig.body("c", "b")], [was(2), was(4)]);
    }
  }));

test("little that becomes large gets a transaction of its own", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(4));
    const parameters = ["x".repeat(limits.sliceBytes / 2)];
    const { affected } = await run(rig, "UPDATE c SET x = ?", { little: true, parameters });
    assert.deepEqual([affected, rig.body("c", "d3")?.length], [4, limits.sliceBytes / 2 + 14]);
  }));

test("many changes while it searched are asked again, also those of large entries", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(1_000));
    const between = async (): Promise<void> => {
      await Promise.all(Array.from({ length: 600 }, (_, i) => put(rig, `d${i}`, { n: i % 2 })));
      await rig.insert("c", Object.fromEntries(Object.keys(many(1_200)).map((id) => [`y${id}`, { n: 1 }])));
    };
    const { affected } = await run(rig, "UPDATE c SET n = 5 WHERE n = 1", { between });
    assert.equal(affected, 300 + 400 + 1_200);
  }));

test("when the log does not tell any more what was written the statement is refused", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(1_000));
    const between = async (): Promise<void> => {
      await put(rig, "d0", { n: 2 });
      await put(rig, "d1", { n: 2 });
      let more = true;
      while (more) more = rig.storage.trimLog({ bytesMax: 1, age: null });
    };
    await fails(run(rig, "UPDATE c SET n = 5", { between }), "busy", /Try again/);
    assert.equal(rig.body("c", "d2"), '{"n":1}');
  }));

test("more than an entry holds is refused before anything is written, and says what to do", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(70));
    const before = rig.storage.log.last.seq, text = "x".repeat(2 ** 20);
    await fails(
      run(rig, "UPDATE c SET text = ?", { parameters: [text] }),
      "payload_too_large",
      /narrower WHERE/,
    );
    const rows = Array.from({ length: 70 }, () => "(?)").join();
    const parameters = Array.from({ length: 70 }, () => text);
    await fails(
      run(rig, `INSERT INTO c (t) VALUES ${rows}`, { parameters }),
      "payload_too_large",
      /fewer rows/,
    );
    await fails(
      run(rig, "UPDATE c SET t = ?", { parameters: ["x".repeat(17 * 2 ** 20)] }),
      "payload_too_large",
    );
    assert.equal(rig.storage.log.last.seq, before);
  }));

test("NOW() is one for the statement, NEWID() one for each row", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", many(3));
    await run(rig, "UPDATE c SET at = NOW(), id = NEWID()");
    const bodies = ["d0", "d1", "d2"].map((id) =>
      JSON.parse(rig.body("c", id) ?? "") as Record<string, string>
    );
    assert.deepEqual(new Set(bodies.map(({ at }) => at)), new Set(["2026-01-01T00:00:00.000Z"]));
    assert.equal(new Set(bodies.map(({ id }) => id)).size, 3);
  }));

test("values keep their texts; parameters are values of every kind", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", { a: '{"x":1.50,"y":{"z":"\\u00e9"}}' });
    await run(rig, "UPDATE c SET a = 2.50, b = ?, c = ?, d = ?, e = ?, f = ?, g = x, h = y", {
      parameters: [1e21, null, true, { k: [1, "é"] }, 'q"\n'],
    });
    assert.equal(
      rig.body("c", "a"),
      '{"x":1.50,"y":{"z":"\\u00e9"},"a":2.50,"b":1e+21,"c":null,"d":true,"e":{"k":[1,"é"]},"f":"q\\"\\n","g":1.50,"h":{"z":"\\u00e9"}}',
    );
    await run(rig, "UPDATE c SET x = :p, y.z = :__proto__", {
      parameters: JSON.parse('{"p":[],"__proto__":-0.5}') as QueryParameters,
    });
    assert.match(rig.body("c", "a") ?? "", /^\{"x":\[\],"y":\{"z":-0\.5\}/);
    await fails(run(rig, "UPDATE c SET x = :q", { parameters: { p: 1 } }), "bad_request");
    await fails(run(rig, "UPDATE c SET x = :constructor", { parameters: {} }), "bad_request");
  }));

test("one document that cannot be changed so refuses the statement", () =>
  withDatabase(async (rig) => {
    await rig.insert("c", { ...many(5), odd: { n: { deep: 1 } } });
    const before = rig.storage.log.last.seq;
    await fails(run(rig, "UPDATE c SET n.deep = 2"), "bad_request", /document "d0"/);
    assert.equal(rig.storage.log.last.seq, before);
  }));
