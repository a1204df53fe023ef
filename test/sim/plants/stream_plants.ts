/** Mistakes in the stream of entries: what is sent, applied, acknowledged. */
import { DfdbError } from "../../../src/base/errors.ts";
import { wallMsOf } from "../../../src/base/ids.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import type {
  FollowerEffect,
  FollowerInput,
  FollowerSession,
} from "../../../src/replication/follower_events.ts";
import { LeaderStream } from "../../../src/replication/leader_stream.ts";
import { positionOf, SendWindow } from "../../../src/replication/send_window.ts";
import { Apply } from "../../../src/storage/sqlite/apply.ts";
import type { LogEntry, Position } from "../../../src/storage/log.ts";
import { all, every, type Plant, wrap } from "./plant.ts";
import { engines, followerSessions } from "./prototypes.ts";

/** `change` makes other effects out of those of a step of a follower's machine. */
function changed(
  change: (effects: readonly FollowerEffect[], input: FollowerInput) => readonly FollowerEffect[],
): () => void {
  return wrap(followerSessions, "step", (step) =>
    function (this: FollowerSession, input, now) {
      return change(step.call(this, input, now), input);
    });
}

function ackOf({ seq, epoch, run, chain }: Position): FollowerEffect {
  return { type: "send", message: { type: "ack", seq, epoch, run, chain } };
}

function isAck(effect: FollowerEffect): boolean {
  return effect.type === "send" && effect.message.type === "ack";
}

function ackBeforeApply(): () => void {
  return changed((effects, input) => {
    if (input.type !== "message" || input.message.type !== "append") return effects;
    const last = input.message.entries.at(-1);
    if (last === undefined || effects.some(({ type }) => type === "disconnect")) return effects;
    return [...effects, ackOf(positionOf(last))];
  });
}

function resumeOneTooFar(): () => void {
  const begun = new WeakSet<LeaderStream>();
  return wrap(LeaderStream.prototype, "next", (next) =>
    function (this: LeaderStream) {
      const message = next.call(this);
      if (message === null || message instanceof DfdbError || begun.has(this)) return message;
      begun.add(this);
      if (message.type !== "append" || message.previous.seq === 0) return message;
      const [first, ...rest] = message.entries;
      return rest.length === 0
        ? null
        : { ...message, previous: positionOf(first as LogEntry), entries: rest };
    });
}

function skipGap(): () => void {
  const due = every(7);
  return all(
    wrap(engines, "apply", (apply) =>
      function (this: Engine, entries) {
        return due() ? positionOf(entries.at(-1) as LogEntry) : apply.call(this, entries);
      }),
    changed((effects, input) => {
      if (input.type !== "applied") return effects;
      return effects.map((effect) => isAck(effect) ? ackOf(input.position) : effect);
    }),
  );
}

function operationLost(): () => void {
  const due = every(20);
  return wrap(
    Apply.prototype,
    "operation",
    (operation) =>
      function (this: Apply, draft, change, seq, wallMs) {
        // A first version that is missing would be noticed by the next change.
        if (change.kind === "put" && change.previous === 0 && due()) return;
        operation.call(this, draft, change, seq, wallMs);
      },
  );
}

function timeOfApply(): () => void {
  const due = every(20);
  return wrap(
    Apply.prototype,
    "operation",
    (operation) =>
      function (this: Apply, draft, change, seq, wallMs) {
        operation.call(this, draft, change, seq, due() ? wallMsOf(wallMs + 1) : wallMs);
      },
  );
}

function sentIsHeld(): () => void {
  const own = Object.getOwnPropertyDescriptor(SendWindow.prototype, "acked") as PropertyDescriptor;
  Object.defineProperty(SendWindow.prototype, "acked", {
    ...own,
    get(this: SendWindow) {
      return this.sent;
    },
  });
  return () => void Object.defineProperty(SendWindow.prototype, "acked", own);
}

export const streamPlants: Readonly<Record<string, Plant>> = {
  ack_before_apply: { mistake: "a follower acknowledges entries when they come in", plant: ackBeforeApply },
  resume_one_too_far: {
    mistake: "a leader begins to stream one entry after the follower's position",
    plant: resumeOneTooFar,
  },
  skip_gap: { mistake: "every seventh batch is acknowledged and not applied", plant: skipGap },
  operation_lost: { mistake: "now and then a new document is in the log only", plant: operationLost },
  time_of_apply: {
    mistake: "now and then a document gets a time of its own where it is applied",
    plant: timeOfApply,
  },
  sent_is_held: { mistake: "a leader believes that what it sent is held", plant: sentIsHeld },
};
