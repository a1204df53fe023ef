/** What an operator asks of one node: its data file, a copy of it, its settings. Nothing here replicates. */
import * as v from "valibot";
import { DfdbError } from "../base/errors.ts";
import { collectionName } from "../document/names.ts";
import type { Clock } from "../runtime/runtime.ts";
import { json } from "./answers.ts";
import { bodyOf } from "./control_body.ts";
import type { Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const snapshotBody = v.strictObject({
  targetPath: v.pipe(v.string(), v.minLength(1, "must not be empty"), v.maxLength(4_096)),
});

export function adminRoutes(dependencies: HttpDependencies): readonly Route[] {
  const { admin, clock, storage } = dependencies;
  const checkpoint = timed(clock, async () => {
    const { pages, left } = await admin.checkpoint();
    return { success: true, pages, pagesLeft: left };
  });
  return [
    // What was answered is on the disk already; both bring it into the data file itself.
    { path: "/admin/flush", post: checkpoint },
    { path: "/admin/checkpoint", post: checkpoint },
    {
      path: "/admin/compact/:collection",
      post: timed(clock, async (c) => {
        const name = collectionName(parameter(c, "collection"));
        const collection = storage.read((view) => view.collection(name));
        if (collection === null) {
          throw new DfdbError("collection_not_found", `There is no collection "${name}"`);
        }
        const { pages, freedBytes } = await admin.compact();
        return {
          success: true,
          collection: collection.name,
          pagesCompacted: pages,
          bytesReclaimed: freedBytes,
        };
      }),
    },
    {
      path: "/admin/snapshot",
      post: timed(clock, async (c) => {
        const { targetPath } = await bodyOf(c.req.raw, snapshotBody);
        const { bytes } = await admin.snapshot(targetPath);
        return { success: true, targetPath, bytesCopied: bytes };
      }),
    },
  ];
}

/** Answers with what `run` resolves with, and how long that took. */
function timed(
  clock: Clock,
  run: (...given: Parameters<Handler>) => Promise<Readonly<Record<string, unknown>>>,
): Handler {
  return async (c) => {
    const begunMs = clock.monotonic(), done = await run(c);
    return json({ ...done, timeMs: Math.round(clock.monotonic() - begunMs) });
  };
}
