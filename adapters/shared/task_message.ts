import type { ErrorCode, ErrorDetails } from "../../src/base/errors.ts";
import { DfdbError, messageOf } from "../../src/base/errors.ts";

/** What a worker thread is started with. */
export interface TaskOrder {
  readonly dfdbTask: string;
  /** Only the module with this URL answers. */
  readonly entry: string;
  readonly input: unknown;
  readonly cell: Int32Array;
  /** It is the name of a resident: the thread stays. */
  readonly stays: boolean;
}

/** What a thread that stays is sent. */
export type ThreadMessage = { readonly type: "message"; readonly value: unknown } | { readonly type: "end" };

/** What a worker thread sends: any number of `progress` (what a resident posts), then one other. */
export type TaskMessage =
  | { readonly type: "progress"; readonly value: unknown }
  | { readonly type: "result"; readonly value: unknown }
  | TaskFailure;

export interface TaskFailure {
  readonly type: "failure";
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
  readonly stack: string;
}

/** A thrown value in the form that crosses threads: classes do not. */
export function failureOf(task: string, thrown: unknown): TaskFailure {
  const stack = thrown instanceof Error ? thrown.stack ?? "" : "";
  if (thrown instanceof DfdbError) {
    return { type: "failure", code: thrown.code, message: thrown.message, details: thrown.details, stack };
  }
  const message = `task ${task} failed: ${messageOf(thrown)}`;
  return { type: "failure", code: "internal", message, details: {}, stack };
}

/** The error that the caller gets; its cause has the stack of the worker thread. */
export function errorOf({ code, message, details, stack }: TaskFailure): DfdbError {
  const cause = new Error(message);
  cause.stack = stack;
  return new DfdbError(code, message, { details, cause });
}
