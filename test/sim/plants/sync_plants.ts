/** Mistakes in what counts as confirmed. */
import { DfdbError } from "../../../src/base/errors.ts";
import { seqOf } from "../../../src/base/ids.ts";
import { FollowerLink } from "../../../src/replication/follower_link.ts";
import type { SyncAcks } from "../../../src/replication/sync_acks.ts";
import { all, type Plant, wrap } from "./plant.ts";
import { acks, leaderSessions, windowFrom } from "./prototypes.ts";

function staleAck(): () => void {
  return wrap(acks, "wait", (wait) =>
    function (this: SyncAcks, position) {
      return wait.call(this, { ...position, seq: seqOf(position.seq - 1) });
    });
}

function timeoutIsSuccess(): () => void {
  return wrap(acks, "wait", (wait) =>
    function (this: SyncAcks, position) {
      return wait.call(this, position)?.catch((error: unknown) => {
        if (!(error instanceof DfdbError) || error.code !== "replication_timeout") throw error;
      }) ?? null;
    });
}

/** A follower that takes a snapshot counts with what it has of another run, too. */
function ackOfOldRun(): () => void {
  return all(
    wrap(leaderSessions, "step", (step) =>
      function (this: typeof leaderSessions, input, now) {
        const effects = step.call(this, input, now), { hello } = this;
        if (input.type === "admitted" && this.phase === "resync" && hello !== null) {
          this.window = windowFrom(hello.position);
        }
        return effects;
      }),
    wrap(FollowerLink.prototype, "durable", (durable) =>
      function (this: FollowerLink) {
        const { hello, phase, window } = this.session;
        if (phase !== "resync" || hello === null) return durable.call(this);
        const { nodeId, nodeName, autoFailover: candidate } = hello;
        return { nodeId, nodeName, seq: window.acked.seq, candidate };
      }),
  );
}

export const syncPlants: Readonly<Record<string, Plant>> = {
  stale_ack: { mistake: "an acknowledgement of the entry before counts", plant: staleAck },
  timeout_is_success: {
    mistake: "a write is answered 200 when followers did not confirm in time",
    plant: timeoutIsSuccess,
  },
  ack_of_old_run: { mistake: "what a follower has of an old run counts as held", plant: ackOfOldRun },
};
