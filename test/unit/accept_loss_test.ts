import assert from "node:assert/strict";
import test from "node:test";
import { acceptLoss } from "../../src/cli/accept_loss.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const status = {
  node: "a",
  position: "1.0a1b2c3d-7",
  readOnlyReason: "behind_followers",
  leader: {
    refused: [
      { nodeName: "b", code: "ahead", position: "1.0a1b2c3d-9" },
      { nodeName: "c", code: "wrong_database", position: "1.ffffffff-3" },
    ],
  },
};

/** A terminal, or none, before a leader that lacks entries. */
function rig(stdoutIsTerminal: boolean, refused = status.leader.refused) {
  const printed: string[] = [], asked: string[] = [];
  const real = currentRuntime();
  const process = {
    ...real.process,
    env: {},
    stdoutIsTerminal,
    stdout: (text: string) => void printed.push(text),
    stderr: (text: string) => void printed.push(text),
  };
  const fetch: Runtime["fetch"] = (url, init) => {
    asked.push(`${init?.method ?? "GET"} ${new URL(url).pathname}`);
    const body = init?.method === "POST"
      ? { success: true, term: { epoch: 2 } }
      : { ...status, leader: { refused } };
    return Promise.resolve(Response.json(body));
  };
  return { runtime: { ...real, process, fetch }, printed, asked };
}

test("accept-loss: on a terminal it shows what would be given up, and changes nothing without --yes", async () => {
  const { runtime, printed, asked } = rig(true);
  assert.equal(await acceptLoss(runtime, "localhost:5000", {}), 1);
  assert.deepEqual(asked, ["GET /replication/status"]);
  assert.match(
    printed.join(""),
    /a is at 1\.0a1b2c3d-7 .*behind_followers\)\n {2}b is at 1\.0a1b2c3d-9\nNothing/,
  );
  const unknown = rig(true, []);
  await acceptLoss(unknown.runtime, "localhost:5000", {});
  assert.match(unknown.printed.join(""), /no follower has said/);
});

test("accept-loss: with --yes, or where nobody looks, it is done", async () => {
  for (
    const { runtime, printed, asked, flags } of [
      { ...rig(true), flags: { yes: true } as const },
      { ...rig(false), flags: {} },
    ]
  ) {
    assert.equal(await acceptLoss(runtime, "localhost:5000", flags), 0);
    assert.deepEqual(asked, ["POST /replication/accept-loss"]);
    assert.match(printed.join(""), /takes writes again, in epoch 2/);
  }
});
