/** What a worker thread of a dfdb program can do; the adapters take it from here. */
export { tasks } from "../node/tasks.ts";
