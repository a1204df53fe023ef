/** The authority on a real etcd: races, a frozen etcd, a handover, a restart, the sync set, a dead endpoint. */
import assert from "node:assert/strict";
import process from "node:process";
import test, { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { DfdbError } from "../../src/base/errors.ts";
import { databaseIdOf, epochOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { Authority } from "../../src/cluster/authority.ts";
import { etcdAuthority } from "../../src/cluster/authority/etcd.ts";
import { claimOf, idOf, nodeOf } from "../tool/authority_rig.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { type EtcdProcess, startEtcd, withoutEtcd } from "../tool/etcd.ts";
import { freePort } from "../tool/ports.ts";

const etcd = await startEtcd(), runtime = currentRuntime();
after(() => etcd?.stop());

let databases = 0;

/** Of a test that waits for the end of a lease, or past it. A busy machine may well be late by a second or two: that ends none. */
const leaseMs = 6_000;
/** A lease is relied on for so long, without an answer. */
const heldMs = 0.8 * leaseMs;

/** The nodes of one database on the etcd. */
class Nodes {
  readonly etcd: EtcdProcess;
  readonly #database = databaseIdOf(`${++databases}`.padStart(32, "0"));
  readonly #opened: Authority[] = [];

  constructor(started: EtcdProcess) {
    this.etcd = started;
  }

  open(letter: string, endpoints: readonly string[] = [this.etcd.url], silenceMs = leaseMs): Authority {
    const node = { nodeId: idOf(letter), databaseId: () => this.#database };
    const authority = etcdAuthority({ runtime, logger: silentLogger, ...node, endpoints, silenceMs });
    this.#opened.push(authority);
    return authority;
  }

  async close(): Promise<void> {
    for (const authority of this.#opened) {
      await authority.release();
      await authority.close();
    }
  }
}

function onEtcd(name: string, run: (nodes: Nodes) => Promise<void>): void {
  test(name, { timeout: 300_000 }, async () => {
    if (etcd === null) return withoutEtcd((text) => process.stdout.write(`${text}\n`));
    const nodes = new Nodes(etcd);
    try {
      await run(nodes);
    } finally {
      await nodes.close();
    }
  });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 60_000;
  while (!condition()) {
    assert.ok(performance.now() < end, `not within 60 s: ${what}`);
    await sleep(10);
  }
}

/** Looks all the time whether the authority is held. */
async function staysHeld(authority: Authority, ms: number): Promise<void> {
  const startedAt = performance.now();
  await until(() => {
    assert.equal(authority.check(), null);
    return performance.now() - startedAt > ms;
  }, `${ms} ms have passed`);
}

const reasonOf = ({ details }: DfdbError): unknown => details["reason"];

onEtcd("taken, kept for several times its length, given up, taken by the next at once", async (nodes) => {
  const a = nodes.open("a"), b = nodes.open("b");
  assert.equal(await a.take(claimOf("a", { above: epochOf(4) })), 5);
  await staysHeld(a, 2.5 * leaseMs);
  await assert.rejects(b.take(claimOf("b")), (thrown: DfdbError) => reasonOf(thrown) === "held");
  await a.release();
  assert.equal(await b.take(claimOf("b")), 6);
  assert.deepEqual(await a.holder(), { node: nodeOf("b"), epoch: 6 });
});

onEtcd("many that want it at once: one has it; the epochs rise", async (nodes) => {
  const all = [..."abcdef"].map((letter) => ({ letter, authority: nodes.open(letter) }));
  let last = 0;
  for (let round = 0; round < 5; round++) {
    const outcomes = await Promise.allSettled(
      all.map(({ letter, authority }) => authority.take(claimOf(letter))),
    );
    const won = outcomes.flatMap((outcome) => outcome.status === "fulfilled" ? [Number(outcome.value)] : []);
    assert.equal(won.length, 1);
    assert.ok(won[0]! > last, `${won[0]} after ${last}`);
    last = won[0]!;
    const holding = all.filter(({ authority }) => authority.check() === null);
    assert.equal(holding.length, 1);
    await holding[0]!.authority.release();
  }
});

onEtcd("an etcd that stands still: lost before its time is over; who waits takes it after", async (nodes) => {
  const a = nodes.open("a"), b = nodes.open("b");
  await a.take(claimOf("a"));
  let losses = 0, vacancies = 0;
  a.onLost(() => void losses++);
  const stop = b.watch(() => void vacancies++);
  await nodes.etcd.pause();
  const pausedAt = performance.now();
  try {
    // The time is taken before it is looked: a thread that gets no processor makes nothing later.
    let heldAt = pausedAt;
    await until(() => {
      const now = performance.now(), held = a.check() === null;
      if (held) heldAt = now;
      return !held;
    }, "the lease has ended");
    assert.ok(heldAt - pausedAt <= heldMs, `held ${heldAt - pausedAt} ms after the last answer`);
    await until(() => losses > 0, "it was told");
    assert.equal(vacancies, 0);
  } finally {
    nodes.etcd.goOn();
  }
  await until(() => vacancies > 0, "b is called");
  assert.equal(await b.take(claimOf("b")), 2);
  stop();
  assert.deepEqual([a.check()?.code, losses], ["no_lease", 1]);
});

onEtcd("an etcd that is killed and starts again: what it held is there", async (nodes) => {
  const ms = 2 * leaseMs, { etcd } = nodes, a = nodes.open("a", [etcd.url], ms);
  await a.take(claimOf("a"));
  const killedAt = performance.now();
  await etcd.kill();
  await etcd.start();
  const awayMs = performance.now() - killedAt, quick = awayMs < ms / 6;
  // Starting takes its time on a busy machine: then the lease may be lost before it is renewed, and is taken anew.
  if (!quick) {
    await until(
      () => a.check() !== null || performance.now() - killedAt > awayMs + ms,
      "it is renewed, or over",
    );
    if (a.check() !== null) await a.take(claimOf("a"));
  }
  await staysHeld(a, 1.5 * ms);
});

onEtcd("a handover: one transaction, and not after the leader took the place anew", async (nodes) => {
  const a = nodes.open("a"), b = nodes.open("b");
  const first = epochOf(Number(await a.take(claimOf("a"))));
  const again = epochOf(Number(await a.take(claimOf("a"))));
  assert.ok(again > first);
  const claim = (epoch: number) => claimOf("b", { from: { ...nodeOf("a"), epoch: epochOf(epoch) } });
  await assert.rejects(b.take(claim(first)), (thrown: DfdbError) => reasonOf(thrown) === "held");
  assert.equal(await b.take(claim(again)), again + 1);
  await until(() => a.check() !== null, "a learns it");
  await a.release();
  assert.equal(b.check(), null);
  assert.deepEqual(await a.holder(), { node: nodeOf("b"), epoch: again + 1 });
});

onEtcd("a holder that starts again has it at once, in a new epoch", async (nodes) => {
  const first = nodes.open("a");
  await first.take(claimOf("a"));
  await first.close();
  const second = nodes.open("a");
  assert.equal(await second.take(claimOf("a")), 2);
  assert.equal(second.check(), null);
});

onEtcd("only members of the sync set take it", async (nodes) => {
  const [a, b, c] = ["a", "b", "c"].map((letter) => nodes.open(letter)) as [Authority, Authority, Authority];
  const claim = (letter: string) => claimOf(letter, { syncRequired: 1 });
  await a.take(claim("a"));
  assert.equal(await a.syncSet?.enter(idOf("b")), true);
  assert.equal(await a.syncSet?.leave(idOf("b")), false);
  await a.release();
  await assert.rejects(c.take(claim("c")), (thrown: DfdbError) => reasonOf(thrown) === "not_member");
  assert.equal(await b.take(claim("b")), 2);
  assert.equal(await b.syncSet?.enter(idOf("c")), true);
  assert.equal(await b.syncSet?.leave(idOf("a")), true);
  assert.deepEqual(b.syncSet?.members(), [idOf("b"), idOf("c")]);
  await b.release();
  await assert.rejects(a.take(claim("a")), (thrown: DfdbError) => reasonOf(thrown) === "not_member");
  assert.equal(await c.take(claim("c")), 3);
});

onEtcd("an endpoint that is dead beside one that lives; none that lives", async (nodes) => {
  const dead = `http://127.0.0.1:${await freePort()}`;
  const a = nodes.open("a", [dead, nodes.etcd.url]), b = nodes.open("b", [dead]);
  assert.equal(await a.take(claimOf("a")), 1);
  await staysHeld(a, 1.5 * leaseMs);
  await assert.rejects(b.take(claimOf("b")), (thrown: DfdbError) => reasonOf(thrown) === "unreachable");
  await assert.rejects(b.holder(), { code: "unreachable" });
});
