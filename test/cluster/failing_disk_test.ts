/** The disk fails in a COMMIT: who waits is told that the outcome is unknown, the process ends with 1, and nothing promised is lost. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";

const entry = fileURLToPath(new URL("./failing_disk_entry.ts", import.meta.url));

for (const runtime of leaderRuntimes(0)) {
  test(`${runtime}: an I/O error in COMMIT is outcome_unknown, and the node ends with 1`, async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "dfdb-disk-")), [port] = await freePorts(1);
    const url = `http://127.0.0.1:${port}`, args = ["serve", "--port", String(port), "--data-dir", dataDir];
    const put = async (id: string): Promise<{ status: number; code?: string }> => {
      const answer = await fetch(`${url}/collections/c/${id}`, { method: "PUT", body: `{"of":"${id}"}` });
      return { ...await answer.json() as { code?: string }, status: answer.status };
    };
    try {
      const failing = startNodeProcess({ runtime, entry, args, env: { FAIL_AT_COMMIT: "4" } });
      await waitForHealth(failing, url);
      for (const id of ["a", "b", "c"]) assert.equal((await put(id)).status, 201);
      const lost = await put("last");
      assert.deepEqual([lost.status, lost.code], [504, "outcome_unknown"], failing.output());
      assert.equal(await failing.exited, 1, failing.output());
      assert.match(failing.output(), /the disk failed in a commit; ending.*io_error/);
      const again = startNodeProcess({ runtime, args });
      await waitForHealth(again, url);
      for (const id of ["a", "b", "c"]) {
        const kept = await fetch(`${url}/collections/c/${id}`);
        assert.equal((await kept.json() as { of: string }).of, id);
      }
      assert.equal((await put("more")).status, 201);
      assert.equal(await again.stop(), 0);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
}
