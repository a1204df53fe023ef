/** Handovers in one call: what they were answered must be so. */
import type { Machine } from "./cluster.ts";
import type { History } from "./history.ts";
import type { HandedOver } from "./operator.ts";
import { Violation } from "./types.ts";

export interface AskedHandover {
  /** `refusal`: the code. */
  answered(answer: HandedOver, refusal: string | null): void;
}

export class HandoverCheck {
  readonly #history: History;
  /** How they ended. */
  readonly counts: Record<string, number> = {};

  constructor(history: History) {
    this.#history = history;
  }

  /** The role is to go from one to the other. */
  begin(from: Machine, to: Machine): AskedHandover {
    const process = from.process, before = to.observed?.nodeId ?? null;
    const another = from.node?.replication.handoverProgress !== null;
    return {
      answered: (answer, refusal) => {
        const how = answer.kind === "refused" ? refusal ?? "nobody" : answer.kind;
        this.counts[how] = (this.counts[how] ?? 0) + 1;
        if (answer.kind === "done") {
          // One that was not up yet when the request was sent has an id by now.
          return this.#done(to.name, before ?? to.observed?.nodeId ?? null, answer);
        }
        if (answer.kind === "unknown" || refusal === null || refusal === "outcome_unknown") return;
        if (another || from.process !== process || from.node === null) return;
        const { role } = from.node, { reason } = role.readOnly;
        if (role.leadership === null || (reason !== "handover" && reason !== "handover_in_doubt")) return;
        throw new Violation(
          "handover",
          `${from.name} refused with ${refusal}, and is read-only still: ${reason}`,
        );
      },
    };
  }

  #done(name: string, nodeId: string | null, { epoch, finalSeq }: { epoch: number; finalSeq: number }): void {
    const run = this.#history.runOf(epoch, nodeId ?? "");
    if (run?.parent?.seq === finalSeq) return;
    const led = run === null ? "it never led in it" : `it took over after entry ${run.parent?.seq}`;
    throw new Violation(
      "handover",
      `${name} was to lead in epoch ${epoch} after entry ${finalSeq}; ${led}`,
    );
  }
}
