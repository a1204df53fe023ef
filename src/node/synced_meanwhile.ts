import type { Files, WritableFile } from "../runtime/files.ts";
import type { Clock } from "../runtime/runtime.ts";

const everyMs = 100;

/**
 * Runs `work`, in which a thread writes much into the file at `path`, and syncs that file again and again meanwhile. Else the one
 * sync at the end of the work would have all of it to write, and every commit on the same disk would wait as long.
 * Settles as `work` does, when the file is closed here. Not for files that SQLite holds locks on: closing them here would drop
 * those.
 */
export async function syncedMeanwhile<Result>(
  { files, clock }: { readonly files: Files; readonly clock: Clock },
  path: string,
  work: () => Promise<Result>,
): Promise<Result> {
  let ended = false, wake = (): void => {};
  const syncing = (async (): Promise<void> => {
    let file: WritableFile | null = null;
    try {
      while (!ended) {
        await new Promise<void>((resolve) => {
          const timer = clock.timer(everyMs, resolve);
          wake = () => {
            timer.cancel();
            resolve();
          };
        });
        if (ended || (await files.size(path) ?? 0) === 0) continue;
        file ??= await files.openWrite(path, { truncate: false });
        await file.sync();
      }
    } finally {
      await file?.close();
    }
  })().catch(() => {}); // it only helps: what has to be durable, `work` syncs itself
  try {
    return await work();
  } finally {
    ended = true;
    wake();
    await syncing;
  }
}
