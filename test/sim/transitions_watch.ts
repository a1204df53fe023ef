/** Tells why a node is about to begin a run, as it is carried out. */
import { DfdbError } from "../../src/base/errors.ts";
import { Transitions } from "../../src/node/transitions.ts";

/** `handover`: by agreement with the old leader. `failover`: by silence. `promoted`: by an operator alone. */
export type Cause = "handover" | "failover" | "promoted" | "raise" | "acceptLoss" | "forced" | "start";

export interface Begin {
  readonly cause: Cause;
  /** It goes above this epoch, of which it has heard. */
  readonly above?: number;
  /** Id of the leader that agreed. */
  readonly from?: string;
  /** It came to nothing. */
  over: boolean;
}

/** `look` is called in the event of the process, before anything is done. Returns what ends it. */
export function watchTransitions(look: (begin: Begin) => void): () => void {
  const own = Transitions.prototype, { promote, raise, acceptLoss } = own;
  const settle = <Value>(begin: Begin, run: () => Promise<Value>): Promise<Value> => {
    look(begin);
    const done = run();
    done.catch((thrown: unknown) => {
      // What the disk failed to say may be on it.
      if (!(thrown instanceof DfdbError) || thrown.code !== "outcome_unknown") begin.over = true;
    });
    return done;
  };
  own.promote = function (this: Transitions, promoting) {
    const cause = promoting.origin === "failover" || promoting.origin === "handover"
      ? promoting.origin
      : "promoted";
    const from = promoting.from?.nodeId;
    return settle(
      { cause, over: false, ...(from === undefined ? {} : { from }) },
      () => promote.call(this, promoting),
    );
  };
  own.raise = function (this: Transitions, ...args) {
    look({ cause: "raise", over: false, above: args[0] });
    return raise.apply(this, args);
  };
  own.acceptLoss = function (this: Transitions) {
    return settle({ cause: "acceptLoss", over: false }, () => acceptLoss.call(this));
  };
  return () => void Object.assign(own, { promote, raise, acceptLoss });
}
