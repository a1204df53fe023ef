/** Indexes of nodes at rest: made over HTTP, followed, and seen when they are spoiled. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { History } from "./history.ts";
import { checkIndexes } from "./index_check.ts";
import { inQuietWorld } from "./quiet_world.ts";
import { Replay } from "./replay.ts";
import { type Observed, Violation } from "./types.ts";

function violates(run: () => void, message: RegExp): void {
  assert.throws(run, (thrown) => {
    assert.ok(thrown instanceof Violation, `${thrown}`);
    assert.equal(thrown.checker, "indexes");
    assert.match(thrown.message, message);
    return true;
  });
}

test("two nodes have the same whole indexes; a spoiled, a missing and another one are seen", async () => {
  await inQuietWorld({ seed: 5, machines: 2 }, async ({ world, cluster, start, until, ask }) => {
    const { leader, followers: [follower] } = cluster;
    assert.ok(follower !== undefined);
    const now = (): number => world.now, history = new History(now), replay = new Replay(history);
    await start();
    const nodes = (): readonly Observed[] => [leader.observed as Observed, follower.observed as Observed];
    const observe = (): void => nodes().forEach((node) => history.observe(node));
    const send = async (method: "PUT" | "POST" | "DELETE", path: string, body: unknown): Promise<void> => {
      const { status, text } = await ask(leader, { method, path, body: JSON.stringify(body) });
      assert.ok(status < 300, text);
    };
    const rest = async (): Promise<void> => {
      await until(
        "the follower has all",
        () => follower.node?.storage.log.last.seq === leader.node?.storage.log.last.seq,
      );
      await world.pass(1_000);
      observe();
    };
    for (let i = 0; i < 5; i++) await send("PUT", `/collections/orders/${i}`, { n: i, tags: ["a", `b${i}`] });
    await rest();
    assert.equal(checkIndexes(nodes(), { history, replay }), 0);
    await send("POST", "/index", { collection: "orders", name: "byN", path: "n", unique: true });
    await send("POST", "/index", { collection: "orders", name: "byTag", path: "tags[*]" });
    await send("PUT", "/collections/orders/9", { n: 9 });
    await rest();
    assert.equal(checkIndexes(nodes(), { history, replay }), 4);

    const { storage } = follower.observed as Observed, path = storage.stats().path;
    const number = storage.read((view) => {
      const [orders] = view.collections();
      assert.ok(orders !== undefined);
      return view.indexes(orders.number)[0]?.number;
    });
    const db = new DatabaseSync(path);
    db.exec(`DELETE FROM index_${number} WHERE row IN (SELECT row FROM index_${number} LIMIT 1)`);
    db.close();
    violates(
      () => checkIndexes(nodes(), { history, replay }),
      /^indexes: n2#0 .*not what the documents say.*"missing":1/,
    );

    const [whole] = nodes() as [Observed, Observed];
    const lying = (indexes: readonly object[]): Observed => ({
      ...whole,
      storage: {
        stats: () => whole.storage.stats(),
        log: whole.storage.log,
        read: (run: (view: object) => unknown) =>
          whole.storage.read((view) =>
            run({ collections: () => view.collections(), indexes: () => indexes })
          ),
      } as unknown as Observed["storage"],
    });
    const [first, second] = whole.storage.read((view) =>
      view.indexes(view.collections()[0]?.number as never)
    );
    assert.ok(first !== undefined && second !== undefined);
    violates(
      () => checkIndexes([lying([first])], { history, replay }),
      /its indexes are .*byN.*, not .*byN.*byTag/,
    );
    violates(() => checkIndexes([lying([first, { ...second, unique: true }])], { history, replay }), /not /);
    violates(
      () => checkIndexes([lying([first, { ...second, ready: false }])], { history, replay }),
      /byTag is not filled/,
    );
    assert.equal(checkIndexes([lying([first, second])], { history, replay }), 2);
  });
});
