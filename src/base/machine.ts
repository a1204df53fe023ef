import type { MonotonicMs } from "./ids.ts";

/** The input that the driver gives when a machine's `deadline` has come. */
export interface Tick {
  readonly type: "tick";
}

/**
 * Something that decides and does nothing: the same inputs at the same times give the same effects. Effects are to
 * be carried out in the order given, each finished before the next begins.
 */
export interface Machine<Input, Effect> {
  step(input: Input, now: MonotonicMs): readonly Effect[];
  /** When `step({ type: "tick" })` is wanted next; null: not at all. May change with every step. */
  readonly deadline: MonotonicMs | null;
}
