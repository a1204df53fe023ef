import { monotonicMsOf, seqOf } from "../../src/base/ids.ts";
import type { TakeOverFacts } from "../../src/cluster/promotion.ts";
import { whyNotTakeOver } from "../../src/cluster/promotion.ts";
import type { SilenceInput } from "../../src/cluster/silence.ts";
import { silenceWatch } from "../../src/cluster/silence.ts";
import type { Command, Storyteller } from "./interpreter.ts";
import { advance } from "./leader_stories.ts";

/** A candidate with 10 s of silence, heartbeats every 2 s and 3 s of grace. Its facts are good until a command changes them. */
export function failoverStory(): Storyteller {
  const story = { now: 0 };
  let facts: TakeOverFacts = {
    armed: true,
    unfit: null,
    everInTouch: true,
    seq: seqOf(100),
    leaderSeq: seqOf(100),
    maxLagOps: 50,
    mirrorAhead: false,
    inHandover: false,
  };
  const watch = silenceWatch({ graceMs: 3_000, facts: () => whyNotTakeOver(facts) });
  const step = (input: SilenceInput): string[] =>
    watch.step(input, monotonicMsOf(story.now)).map(({ type }) => type);
  const change = (changes: Partial<TakeOverFacts>): string[] => {
    facts = { ...facts, ...changes };
    return [];
  };
  const tick = (): string[] => step({ type: "tick" });
  const commands: Record<string, (command: Command) => string[]> = {
    watch: ({ args: [silenceMs = "10000", heartbeatMs = "2000"] }) =>
      step({ type: "watch", silenceMs: Number(silenceMs), heartbeatMs: Number(heartbeatMs) }),
    unwatch: () => step({ type: "unwatch" }),
    heard: () => step({ type: "heard" }),
    answered: ({ args }) => step({ type: "answered", yes: args[0] === "yes" }),
    failed: () => step({ type: "failed" }),
    advance: ({ args }) => advance(story, () => watch.deadline, Number(args[0]), tick),
    stall({ args }) {
      story.now += Number(args[0]);
      return tick();
    },
    armed: ({ args }) => change({ armed: args[0] !== "no" }),
    touch: ({ args }) => change({ everInTouch: args[0] !== "no" }),
    unfit: ({ args }) => change({ unfit: args.length === 0 ? null : args.join(" ") }),
    mirror: ({ args }) => change({ mirrorAhead: args[0] === "ahead" }),
    handover: ({ args }) => change({ inHandover: args[0] !== "no" }),
    lag: ({ args }) => change({ leaderSeq: seqOf(100 + Number(args[0])) }),
    show() {
      const silentMs = watch.silentMs(monotonicMsOf(story.now));
      const why = watch.reason === null ? "" : `: ${watch.reason}`;
      return [`${watch.state}${silentMs === null ? "" : `, silent for ${silentMs} ms`}${why}`];
    },
  };
  return (command) => commands[command.name]?.(command) ?? [`no such command: ${command.name}`];
}
