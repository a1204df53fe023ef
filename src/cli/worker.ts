/** What a worker thread of a dfdb program can do; the adapters take it from here. */
export { residents, tasks } from "../node/tasks.ts";
