/** Two masters on different runtimes: what is written on one is on the other, conflicts are the same on both, and one of them dies. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { freePorts } from "../tool/ports.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";
import type { Member } from "./cluster.ts";
import { eventually, json, member, runtimeAfter, status } from "./cluster.ts";

// deno-lint-ignore no-explicit-any -- answers of every shape
type Body = Record<string, any>;

interface Answer {
  readonly status: number;
  readonly body: Body;
}

async function ask(member: Member, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${member.url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  return { status: response.status, body: await response.json() as Body };
}

async function done(member: Member, method: string, path: string, body?: unknown): Promise<Body> {
  const answer = await ask(member, method, path, body);
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const get = (member: Member, id: string): Promise<Answer> => ask(member, "GET", `/collections/docs/${id}`);
const put = (member: Member, id: string, n: number): Promise<Body> =>
  done(member, "PUT", `/collections/docs/${id}`, { n });

/** Documents without their etags, which are each node's own. */
async function documents(member: Member): Promise<Body[]> {
  const { documents } = await json<{ documents: Body[] }>(`${member.url}/collections/docs?limit=5000`);
  for (const document of documents) delete document["_etag"];
  return documents.sort((a, b) => String(a["_id"]) < String(b["_id"]) ? -1 : 1);
}

for (const first of leaderRuntimes(2)) {
  const second = runtimeAfter(first);
  test(`masters on ${first} and ${second}`, async (t) => {
    const root = mkdtempSync(join(tmpdir(), "dfdb-masters-")), ports = await freePorts(2);
    // Machines of tests are busy: half a second is no sign of a death there.
    const flags = ["--replication-bundle", "--replication-request-timeout", "10000"];
    const [a, b] = [first, second].map((runtime, i) =>
      member(root, `master-${i + 1}`, { flags }, runtime, ports[i] as number, [])
    ) as [Member, Member];
    t.after(async () => {
      await Promise.all([a.stop(), b.stop()]);
      rmSync(root, { recursive: true, force: true });
    });
    await Promise.all([a.start(), b.start()]);
    const send = async (from: Member, to: Member, more: string): Promise<void> => {
      // As the seeds write it, with a comma after the last one.
      const text = `{ "Destinations": [ { "Url": "${to.url}/"${more} }, ] }`;
      await done(from, "PUT", "/docs/Raven/Replication/Destinations", text);
    };
    const bothSend = async (more = ""): Promise<void> => {
      await Promise.all([send(a, b, more), send(b, a, more)]);
    };
    const equal = async (what: string, count: number): Promise<void> => {
      await eventually(what, async () => {
        const [here, there] = await Promise.all([documents(a), documents(b)]);
        return here.length === count && JSON.stringify(here) === JSON.stringify(there) ? true : null;
      }).catch(async (error: unknown) => {
        const infos = await Promise.all([a, b].map((each) => ask(each, "GET", "/replication/info")));
        throw new Error(
          `${error}\n${JSON.stringify(infos, null, 1)}\n${a.process.output()}\n${b.process.output()}`,
        );
      });
    };
    const seqs = async (): Promise<readonly number[]> =>
      await Promise.all([a, b].map(async (each) => (await status(each)).log.lastSeq));

    await t.test("what was there before, and what is written on both", async () => {
      await done(
        a,
        "POST",
        "/collections/docs/bulk",
        Array.from({ length: 300 }, (_, n) => ({ _id: `a${n}`, n })),
      );
      await bothSend();
      await done(
        b,
        "POST",
        "/collections/docs/bulk",
        Array.from({ length: 300 }, (_, n) => ({ _id: `b${n}`, n })),
      );
      await equal("both have all", 600);
      await Promise.all([put(a, "b0", -1), put(b, "a0", -2), done(b, "DELETE", "/collections/docs/a1")]);
      await equal("edits and deletes of what the other one wrote", 599);
    });

    await t.test("masters that have nothing to say write nothing", async () => {
      const before = await seqs();
      for (let n = 0; n < 4; n++) {
        const [from, to] = n % 2 === 0 ? [a, b] : [b, a];
        await put(from, "ping", n);
        await eventually("it is there", async () => (await get(to, "ping")).body["n"] === n ? true : null);
      }
      const after = await seqs();
      // An echo of the first ones would be there by now.
      assert.deepEqual(after.map((seq, i) => seq - (before[i] as number)), [4, 4]);
    });

    await t.test("a conflict is one on both, and one person settles it for both", async () => {
      await bothSend(`, "Disabled": true`);
      await Promise.all([put(a, "both", 1), put(b, "both", 2)]);
      await bothSend();
      for (const each of [a, b]) {
        await eventually(
          "the conflict shows",
          async () => (await get(each, "both")).status === 409 ? true : null,
        );
        const { conflicts } = await done(each, "GET", "/conflicts");
        assert.deepEqual((conflicts as Body[]).map(({ key }) => key), ["docs/both"]);
      }
      const [here, there] = await Promise.all([get(a, "both"), get(b, "both")]);
      assert.deepEqual(here.body["Conflicts"], there.body["Conflicts"]);
      await put(b, "both", 3);
      await equal("settled", 601);
      for (const each of [a, b]) assert.equal((await get(each, "both")).body["n"], 3);
    });

    await t.test("one dies, and has everything soon after it is back", async () => {
      await b.kill9();
      for (let n = 0; n < 20; n++) await put(a, `while-away-${n}`, n);
      const failures = async (): Promise<number> =>
        (await done(a, "GET", "/replication/info"))["Stats"][0]["FailureCount"];
      await eventually("its failures are counted", async () => await failures() > 0 ? true : null);
      await b.start();
      // Nobody writes: it says that it is there.
      await equal("all that it missed", 621);
      await put(b, "back", 1);
      await equal("and what it wrote", 622);
      await eventually("and forgotten", async () => await failures() === 0 ? true : null);
    });
    assert.deepEqual(await Promise.all([a.stop(), b.stop()]), [0, 0]);
  });
}
