/** What the files with routes share. */
import type { Context } from "hono";
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { NodeView } from "./types.ts";

/** Answers one request or throws; synchronous where nothing is waited for, so that adapters need no promise. */
export type Handler = (c: Context) => Response | Promise<Response>;

/** One path with a handler for each of its methods; HEAD comes with GET. */
export interface Route {
  readonly path: string;
  readonly get?: Handler;
  readonly put?: Handler;
  readonly post?: Handler;
  readonly delete?: Handler;
}

/** A parameter of the route's path, decoded. */
export function parameter(c: Context, name: string): string {
  const value = c.req.param(name);
  assert(value !== undefined, `the route has a parameter ${name}`);
  return value;
}

/** Refuses a write before its body is read; the commit path asks again, and its answer is the one that counts. */
export function refuseOnFollower(node: NodeView): void {
  if (node.role() !== "follower") return;
  throw new DfdbError("not_leader", "This node follows a leader; send writes there");
}
