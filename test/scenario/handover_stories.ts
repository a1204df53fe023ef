import type { ErrorCode } from "../../src/base/errors.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, monotonicMsOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import type { Claim } from "../../src/cluster/claim.ts";
import { handover } from "../../src/cluster/handover.ts";
import type {
  HandoverEffect,
  HandoverInput,
  HandoverOutcome,
  TakeoverEffect,
  TakeoverInput,
} from "../../src/cluster/handover_events.ts";
import { takeover } from "../../src/cluster/takeover.ts";
import type { Position, TermRecord } from "../../src/storage/log.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import type { Command, Storyteller } from "./interpreter.ts";
import { advance } from "./leader_stories.ts";

const node = (letter: string): KnownNode => ({
  nodeId: nodeIdOf(letter.repeat(32)),
  nodeName: `node-${letter}`,
  httpUrl: null,
  wireAddress: `node-${letter}:5500`,
});
const target = node("b");
const newTerm: TermRecord = {
  epoch: epochOf(4),
  run: runIdOf("f".repeat(32)),
  nodeId: target.nodeId,
  firstSeq: seqOf(11),
};
const positionAt = (seq: string): Position => ({
  seq: seqOf(Number(seq)),
  epoch: epochOf(3),
  run: runIdOf("e".repeat(32)),
  chain: Number(seq),
});
type Sent = Extract<HandoverEffect | TakeoverEffect, { type: "send" }>["message"];

/**
 * Leader a in epoch 3 and its follower b, with both machines. What one sends waits on the line until `deliver` (all of it),
 * `received` (the next one) or `cut` (none of it); what they ask the world for is answered by commands.
 */
export function handoverStory(): Storyteller {
  const story = {
    now: 0,
    id: 0,
    stored: null as { readonly id: string; readonly target: KnownNode } | null,
    leads: false,
  };
  let line: { readonly to: "a" | "b"; readonly message: Sent }[] = [];
  const makeA = () => handover({ nodeId: node("a").nodeId, epoch: () => epochOf(3) });
  const makeB = () => takeover({ mayLead: () => story.leads });
  let giving = makeA(), taking = makeB(), asked: string | null = null;
  let outcome: HandoverOutcome | null = null;

  const a = (input: HandoverInput): string[] =>
    giving.step(input, monotonicMsOf(story.now)).map((effect) => {
      if (effect.type === "send") line.push({ to: "b", message: effect.message });
      if (effect.type === "store") story.stored = effect;
      if (effect.type === "clear") story.stored = null;
      if (effect.type === "ask") asked = effect.id;
      return `a: ${toldOfA(effect)}`;
    });
  const b = (input: TakeoverInput): string[] =>
    taking.step(input, monotonicMsOf(story.now)).map((effect) => {
      if (effect.type === "send") line.push({ to: "a", message: effect.message });
      if (effect.type === "dropSession") line = [];
      if (effect.type === "answer") outcome = effect.outcome;
      return `b: ${toldOfB(effect)}`;
    });
  const deliver = ({ to, message }: { to: "a" | "b"; message: Sent }): string[] => {
    switch (message.type) {
      case "prepare":
        return b({ type: "prepare", id: message.id, position: message.position });
      case "commit":
      case "abort":
        return b({ type: message.type, id: message.id });
      default:
        return to === "a" ? a({ type: "received", message }) : [];
    }
  };
  const claim = (): Claim => ({
    peer: { ...target, wireAddress: "node-b:6500" },
    leads: story.leads ? newTerm : null,
    newest: story.leads ? newTerm : null,
    leader: node("a"),
    follows: !story.leads,
  });
  const error = (code: string): DfdbError => new DfdbError(code as ErrorCode, "Says the world");
  const commands: Record<string, (command: Command) => string[]> = {
    start({ options: { timeout = "10000" } }) {
      const id = String(++story.id).repeat(32);
      return a({ type: "start", id, target, timeoutMs: Number(timeout) });
    },
    quiet: ({ args: [seq = "10"] }) => a({ type: "quiet", position: positionAt(seq) }),
    quietFailed: ({ args }) => a({ type: "quietFailed", error: error(args[0] ?? "") }),
    holds: ({ args: [seq = "10"] }) => [
      ...b({ type: "holds", position: positionAt(seq) }),
      ...a({ type: "holds", seq: seqOf(Number(seq)) }),
    ],
    deliver() {
      const lines: string[] = [];
      for (let next = line.shift(); next !== undefined; next = line.shift()) lines.push(...deliver(next));
      return lines;
    },
    received: () => line.splice(0, 1).flatMap(deliver),
    cut({ args: [side] }) {
      line = [];
      return [...(side === "b" ? [] : a({ type: "left" })), ...(side === "a" ? [] : b({ type: "left" }))];
    },
    hello: () => a({ type: "returned" }),
    bound: () => b({ type: "bound", wireAddress: "node-b:6500" }),
    bindFailed: ({ args }) => b({ type: "bindFailed", error: error(args[0] ?? "port_in_use") }),
    promoted() {
      story.leads = true;
      return b({ type: "promoted", term: newTerm });
    },
    promotionFailed: ({ args }) => b({ type: "promotionFailed", error: error(args[0] ?? "") }),
    announce: () => a({ type: "met", claim: claim() }),
    answered({ args: [how] }) {
      outcome = null;
      const lines = how === "nobody" || asked === null ? [] : b({ type: "asked", id: asked });
      const answer = outcome === null ? null : claim();
      return [...lines, ...a({ type: "asked", claim: answer, outcome })];
    },
    cancel: () => a({ type: "cancel" }),
    force: () => a({ type: "forced" }),
    restart({ args: [side] }) {
      line = [];
      if (side === "b") {
        taking = makeB();
        return [];
      }
      giving = makeA();
      return story.stored === null
        ? []
        : a({ type: "resumed", id: story.stored.id, target: story.stored.target });
    },
    advance: ({ args }) => advance(story, () => giving.deadline, Number(args[0]), () => a({ type: "tick" })),
    show() {
      const { progress } = giving;
      const giver = progress === null
        ? "nothing"
        : `${progress.step}, ${progress.targetSeq ?? "?"} of ${progress.finalSeq ?? "?"}`;
      return [`a: ${giver}${story.stored === null ? "" : ", doubt stored"}; b: ${taking.state}`];
    },
  };
  return (command) => commands[command.name]?.(command) ?? [`no such command: ${command.name}`];
}

function sent(message: Sent): string {
  switch (message.type) {
    case "prepare":
      return `send prepare at ${message.position.seq}`;
    case "declined":
      return `send declined: ${message.code}: ${message.message}`;
    case "abort":
      return `send abort: ${message.message}`;
    case "promoted":
      return `send promoted, epoch ${message.term.epoch}`;
    default:
      return `send ${message.type}`;
  }
}

function toldOfA(effect: HandoverEffect): string {
  switch (effect.type) {
    case "send":
      return sent(effect.message);
    case "fail":
      return `fail ${effect.error.code}: ${effect.error.message}`;
    case "done":
      return `done: final ${effect.finalSeq}, epoch ${effect.epoch}, paused ${effect.pausedMs} ms`;
    case "follow":
      return `follow ${effect.target.nodeName} at ${effect.target.wireAddress}, epoch ${effect.term.epoch}`;
    case "ask":
      return `ask ${effect.target.nodeName} at ${effect.target.wireAddress}`;
    default:
      return effect.type;
  }
}

function toldOfB(effect: TakeoverEffect): string {
  if (effect.type === "send") return sent(effect.message);
  return effect.type === "answer" ? `answer ${effect.outcome}` : effect.type;
}
