/**
 * What a worker thread loads. It names itself, so no file name is written anywhere: `import.meta.url` is the source
 * file, the compiled file in `dist/`, or the bundle inside an executable.
 */
import { residents, tasks } from "../../src/cli/worker.ts";
import { answerTask } from "./task_thread.ts";

/** URL of this module, or of the bundle it is in. */
export const workerMain: string = import.meta.url;

void answerTask(tasks, workerMain, residents);
