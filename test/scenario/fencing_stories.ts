import { epochOf, monotonicMsOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import type { Claim } from "../../src/cluster/claim.ts";
import type { Fencing, FencingEffect, FencingInput } from "../../src/cluster/fencing.ts";
import { fencing } from "../../src/cluster/fencing.ts";
import type { TermRecord } from "../../src/storage/log.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import type { Command, Storyteller } from "./interpreter.ts";
import { advance } from "./leader_stories.ts";

/**
 * Node a, and what others say. A term is written epoch.run-firstSeq@node, with the run's digit; without a node it is the one that
 * speaks. A node in capitals has no address.
 */
export function fencingStory(): Storyteller {
  const story = { now: 0 }, known = new Map<string, KnownNode>();
  let machine: Fencing = make(true);
  function make(counts: boolean): Fencing {
    return fencing({ counts, known: (nodeId) => known.get(nodeId) ?? null });
  }
  const step = (input: FencingInput): string[] => machine.step(input, monotonicMsOf(story.now)).map(told);
  const commands: Record<string, (command: Command) => string[]> = {
    authority() {
      machine = make(false);
      return [];
    },
    knows({ args }) {
      for (const digit of args) known.set(node(digit).nodeId, node(digit));
      return [];
    },
    lead({ args: [text = ""], options: { ask = "", wait = "30000", higher, log, unfinished } }) {
      const { epoch, run, firstSeq, nodeId } = termOf(text, "a");
      return step({
        type: "lead",
        term: { epoch, run },
        firstSeq: firstSeq === 0 ? null : firstSeq,
        nodeId,
        ask: [...ask].map(node),
        waitMs: Number(wait),
        knowsHigher: higher === undefined ? null : epochOf(Number(higher)),
        unfinished: unfinished === "yes",
        ...(log === undefined ? {} : { logEpoch: epochOf(Number(log)) }),
      });
    },
    begun: ({ args }) => step({ type: "begun", firstSeq: seqOf(Number(args[0])) }),
    follow: () => step({ type: "follow" }),
    met: (command) => step({ type: "met", claim: claimOf(command) }),
    answer: (command) =>
      step({ type: "asked", nodeId: node(command.args[0] ?? "").nodeId, claim: claimOf(command) }),
    nobody: ({ args }) =>
      args.flatMap((digit) => step({ type: "asked", nodeId: node(digit).nodeId, claim: null })),
    hello: ({ args }) => args.flatMap((digit) => step({ type: "heardFollower", nodeId: node(digit).nodeId })),
    late: ({ args: [ask = ""], options: { wait = "1000" } }) =>
      step({ type: "late", ask: [...ask].map(node), waitMs: Number(wait) }),
    /** Without a tick in between. */
    stand({ args }) {
      story.now += Number(args[0]);
      return step({ type: "tick" });
    },
    advance: ({ args }) =>
      advance(story, () => machine.deadline, Number(args[0]), () => step({ type: "tick" })),
  };
  return (command) => commands[command.name]?.(command) ?? [`no such command: ${command.name}`];
}

function node(digit: string): KnownNode {
  const letter = digit.toLowerCase();
  return {
    nodeId: nodeIdOf(letter.repeat(32)),
    nodeName: `node-${letter}`,
    httpUrl: null,
    wireAddress: letter === digit ? `node-${letter}:5500` : null,
  };
}

/** `epoch.run-firstSeq`, or with the node that led: `epoch.run-firstSeq@node`. */
function termOf(text: string, speaker: string): TermRecord {
  const [, epoch, run = "0", firstSeq, by = speaker] = /^(\d+)\.(\w)-(\d+)(?:@(\w))?$/.exec(text) ?? [];
  return {
    epoch: epochOf(Number(epoch)),
    run: runIdOf(run.repeat(32)),
    firstSeq: seqOf(Number(firstSeq)),
    nodeId: node(by).nodeId,
  };
}

/** `b leads=4.2-9`, or `b has=4.2-9@c leader=c`. */
function claimOf({ args: [digit = ""], options: { leads, has, leader } }: Command): Claim {
  const term = leads === undefined ? null : termOf(leads, digit);
  return {
    peer: node(digit),
    leads: term,
    newest: has === undefined ? term : termOf(has, digit),
    leader: leader === undefined ? null : node(leader),
    follows: term === null,
  };
}

function told(effect: FencingEffect): string {
  switch (effect.type) {
    case "bar":
      return `${effect.on ? "bar" : "unbar"} ${effect.cause}`;
    case "ask":
      return `ask ${effect.peer.nodeName}`;
    case "follow":
      return `follow ${effect.leader.nodeName} at ${effect.leader.wireAddress}, epoch ${effect.epoch}: ${effect.why}`;
    case "raise":
      return `raise above ${effect.above}: ${effect.why}`;
    case "resign":
      return `resign: epoch ${effect.epoch}`;
    case "unconfirmed":
      return `unconfirmed by ${effect.nodes.map((id) => `node-${id.slice(0, 1)}`).join(", ")}`;
  }
}
