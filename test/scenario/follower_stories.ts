import type { ErrorCode } from "../../src/base/errors.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { monotonicMsOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { FollowerEffect, FollowerInput } from "../../src/replication/follower_events.ts";
import { followerSession } from "../../src/replication/follower_session.ts";
import type { Challenge, Hello, Message } from "../../src/wire/message.ts";
import { proofOf } from "../../src/wire/proof.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf, testCrypto, theDatabase, tuning } from "../tool/replication_rig.ts";
import type { Command, Storyteller } from "./interpreter.ts";
import { advance, followerContext } from "./leader_stories.ts";
import { line, short } from "./trace.ts";

/** A follower whose leader is played by the story: `log` is the leader's, the follower's begins as its first entries. */
export function followerStory(): Storyteller {
  const leader = new FakeDatabase(), story = { now: 0 };
  let mine = new FakeDatabase(), secret: string | null = null;
  let session = make();
  let hello: Hello | null = null;

  function make() {
    const limits = { applyEntriesMax: 10, applyBytesMax: 1_000, applyMs: 50 };
    return followerSession({ ...followerContext(mine, secret), tuning, ...limits });
  }
  const step = (input: FollowerInput): string[] =>
    session.step(input, monotonicMsOf(story.now)).flatMap(perform);
  const message = (sent: Message): string[] => step({ type: "message", message: sent });
  function perform(effect: FollowerEffect): string[] {
    if (effect.type === "send" && effect.message.type === "hello") hello = effect.message;
    if (effect.type !== "apply") return [told(effect)];
    const lines = [`apply ${effect.entries[0]?.seq} to ${effect.entries.at(-1)?.seq}`];
    try {
      return [...lines, ...step({ type: "applied", position: mine.apply(effect.entries) })];
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      return [...lines, ...step({ type: "applyFailed", error: thrown })];
    }
  }
  const entries = (from: number, to: number): Message => {
    const previous = leader.at(seqOf(from - 1));
    if (typeof previous !== "object") throw new Error("the leader has no such entry");
    return { type: "append", previous, entries: leader.kept.slice(from - 1, to) };
  };
  const commands: Record<string, (command: Command) => string[]> = {
    leader({ args, options: { mine: count = "0", secret: given = null } }) {
      leader.lead(1, runOf("1"));
      leader.write(Number(args[0]) - 1);
      mine = leader.copy(Number(count));
      secret = given;
      session = make();
      return [];
    },
    promote: ({ args }) => (leader.lead(Number(args[0]), runOf(args[1] ?? "2")), []),
    diverge: ({ args }) => (mine.lead(Number(args[0]), runOf("9")), []),
    write: ({ args }) => (leader.write(Number(args[0])), []),
    start: () => step({ type: "start" }),
    connected: () => step({ type: "connected" }),
    challenge: ({ args, options }) => message(challengeFrom(hello, args[0] ?? "a", options.secret)),
    welcome: () => message(welcomeFrom(leader)),
    append: ({ args }) => message(entries(Number(args[0]), Number(args[1]))),
    heartbeat: () => message(beatFrom(leader, leader.last.chain)),
    damage: () => message(beatFrom(leader, leader.last.chain ^ 1)),
    refused: ({ args }) =>
      message({ type: "refused", code: args[0] ?? "", message: "says the leader", details: {} }),
    goingAway: () =>
      message({
        type: "goingAway",
        message: "the leader is stopping",
        httpUrl: null,
        wireAddress: null,
        knownNodes: [],
      }),
    ack: () => message({ type: "ack", ...leader.last }),
    fail({ args }) {
      mine.failure = new DfdbError(args[0] as ErrorCode, "says the storage");
      return [];
    },
    apply: () => step({ type: "applyNow" }),
    ended: ({ args }) => step({ type: "ended", error: new DfdbError(args[0] as ErrorCode, "says the net") }),
    contact: () => step({ type: "contact" }),
    stop: () => step({ type: "stop" }),
    advance: ({ args }) =>
      advance(story, () => session.deadline, Number(args[0]), () => step({ type: "tick" })),
    stall({ args }) {
      story.now += Number(args[0]);
      return step({ type: "tick" });
    },
    show: () => [
      `${session.state} at ${
        short(mine.last)
      }, ${session.tail.count} waiting, applied ${session.opsApplied}, ` +
      `gaps ${session.gapsDetected}, connects ${session.connects}, last error ${
        session.lastError?.error.code ?? "none"
      }`,
    ],
  };
  return (command) => commands[command.name]?.(command) ?? [`no such command: ${command.name}`];
}

function challengeFrom(hello: Hello | null, node: string, secret: string | undefined): Challenge {
  const nonce = new Uint8Array(32).fill(2), { nodeId } = identityOf(node);
  const challenge: Challenge = { type: "challenge", version: 1, nodeId, databaseId: theDatabase, nonce };
  if (secret === undefined || hello === null) return challenge;
  const facts = {
    version: 1,
    followerNonce: hello.nonce,
    leaderNonce: nonce,
    followerNodeId: hello.nodeId,
    leaderNodeId: nodeId,
    databaseId: theDatabase,
  };
  return { ...challenge, proof: proofOf(testCrypto, secret, "leader", facts) };
}

function welcomeFrom(leader: FakeDatabase): Message {
  return {
    type: "welcome",
    nodeName: "node-a",
    term: leader.terms.at(-1) ?? null,
    terms: leader.terms,
    position: leader.last,
    httpUrl: "http://node-a:5000",
    wireAddress: null,
    readOnly: false,
    heartbeatMs: tuning.heartbeatMs,
    wallMs: wallMsOf(0),
    knownNodes: [],
  };
}

function beatFrom(leader: FakeDatabase, chain: number): Message {
  const term = leader.terms.at(-1) ?? null;
  return {
    type: "heartbeat",
    position: { ...leader.last, chain },
    term,
    readOnly: false,
    wallMs: wallMsOf(0),
  };
}

function told(effect: Exclude<FollowerEffect, { type: "apply" }>): string {
  switch (effect.type) {
    case "send":
      return `send ${line(effect.message)}`;
    case "disconnect":
      return effect.last === null
        ? `cut: ${effect.error.code}: ${effect.error.message}`
        : `disconnect after ${line(effect.last)}`;
    case "hint":
      return `hint ${effect.httpUrl}`;
    case "adopt":
      return `adopt database ${effect.databaseId.slice(0, 1)}`;
    default:
      return effect.type;
  }
}
