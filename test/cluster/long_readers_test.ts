/** Clients that stop in the middle of a request hold no read transaction: the write-ahead log stays bounded while others write. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { statSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import test from "node:test";
import type { Member } from "./cluster.ts";
import { cluster, eventually, json } from "./cluster.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";

const MiB = 1024 * 1024;
/** Far more than is moved into the data file at a time, far less than what is written below. */
const walBytesMax = 64 * MiB;

/** Inserts `count` documents of 10 KB: about 30 KB each in the WAL, with the log's copy and its page. */
async function fill(leader: Member, prefix: string, count: number): Promise<void> {
  const padding = "y".repeat(10_000);
  const list = Array.from({ length: count }, (_, i) => ({ _id: `${prefix}${i}`, padding }));
  const answer = await json<{ count: number }>(`${leader.url}/collections/filled/bulk`, {
    method: "POST",
    body: JSON.stringify(list),
  });
  assert.equal(answer.count, count);
}

/** Sends the text and reads nothing of the answer but its beginning. */
async function stalled(member: Member, text: string): Promise<Socket> {
  const socket = connect(member.httpPort, "127.0.0.1");
  socket.on("error", () => {}); // it may be cut at the end
  await once(socket, "connect");
  socket.write(text);
  return socket;
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

for (const runtime of leaderRuntimes(1)) {
  test(`${runtime}: a stalled list, a stalled bulk and a verification that was left do not make the WAL grow`, async (t) => {
    const c = await cluster({ leader: runtime, followers: [], flags: ["--log-bytes-max", String(MiB)] });
    t.after(() => c.stop());
    const { leader } = c, wal = join(leader.dataDir, "data.dfdb-wal");
    await fill(leader, "first", 1_500);

    // Half of its answer is read, then the client goes.
    const abort = new AbortController();
    const left = await fetch(`${leader.url}/verify?collection=filled&documents=true`, {
      signal: abort.signal,
    });
    const reader = (left.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    abort.abort();
    await reader.read().catch(() => {});

    const list = await stalled(leader, get("/collections/filled?limit=1500"));
    list.pause();
    const body =
      `POST /collections/filled/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n[{"_id":"half"},`;
    const bulk = await stalled(leader, body);
    const verifying = await stalled(leader, get("/verify?collection=filled&documents=true"));
    verifying.pause();
    verifying.destroy();
    await eventually("no verification runs", async () => {
      const answer = await fetch(`${leader.url}/verify?collection=filled`);
      const lines = (await answer.text()).trim().split("\n");
      return answer.status === 200 && lines.at(-1)?.includes('"done":true') === true ? true : null;
    });

    let largest = 0, written = 0;
    for (let round = 0; round < 10; round++) {
      await fill(leader, `round${round}-`, 800);
      written += 800 * 10_000;
      largest = Math.max(largest, statSync(wal).size);
    }
    assert.ok(2 * written > 2 * walBytesMax, "more was written than the bound");
    assert.ok(largest < walBytesMax, `the WAL grew to ${(largest / MiB).toFixed(0)} MiB`);
    assert.equal(list.destroyed, false, "the list was still waiting");
    for (const socket of [list, bulk]) socket.destroy();
    assert.deepEqual(await c.stop(), [0]);
  });
}
