/** What the files with routes share. */
import type { Context } from "hono";
import { assert } from "../base/assert.ts";

/** Answers one request or throws; synchronous where nothing is waited for, so that adapters need no promise. */
export type Handler = (c: Context) => Response | Promise<Response>;

/** One path with a handler for each of its methods; HEAD comes with GET. */
export interface Route {
  readonly path: string;
  readonly get?: Handler;
  readonly put?: Handler;
  readonly patch?: Handler;
  readonly post?: Handler;
  readonly delete?: Handler;
}

/** What stands before the handlers of data. */
export interface Gates {
  /** Makes a read one that waits for what its client has seen. */
  readonly onRead: (read: Handler) => Handler;
  /**
   * Makes a write one that a follower never runs, decided before its body is read; the commit path asks again, and its
   * answer is the one that counts.
   */
  readonly onWrite: (write: Handler) => Handler;
}

/** A parameter of the route's path, decoded. */
export function parameter(c: Context, name: string): string {
  const value = c.req.param(name);
  assert(value !== undefined, `the route has a parameter ${name}`);
  return value;
}
