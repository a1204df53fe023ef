import type { ErrorCode } from "../../src/base/errors.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { monotonicMsOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { FollowerEffect, FollowerInput } from "../../src/replication/follower_events.ts";
import { followerSession } from "../../src/replication/follower_session.ts";
import { dialable, LeaderAddresses } from "../../src/replication/leader_addresses.ts";
import { formatWireAddress } from "../../src/replication/wire_address.ts";
import type { Challenge, Hello, KnownNode, Message, Probe, Welcome } from "../../src/wire/message.ts";
import { proofOf } from "../../src/wire/proof.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf, testCrypto, theDatabase, tuning } from "../tool/replication_rig.ts";
import type { Command, Storyteller } from "./interpreter.ts";
import { advance, followerContext } from "./leader_stories.ts";
import { line, short } from "./trace.ts";

/**
 * A follower whose leader is played by the story: `leader` makes the leader's log, of which the follower has the first entries. An apply
 * is answered at once, or by `applied` after `slow`; what a re-sync wants done is answered by commands.
 */
export function followerStory(): Storyteller {
  const leader = new FakeDatabase(), story = { now: 0 };
  let mine = new FakeDatabase(), secret: string | null = null;
  let known: readonly KnownNode[] = [], last: string | null = null;
  let session = make();
  let hello: Hello | null = null, probe: Probe | null = null, slow: (() => string[]) | null = null;
  let snapshot: FakeDatabase | null = null, beatMs: number = tuning.heartbeatMs;

  function make() {
    const bounds = { applyEntriesMax: 10, applyBytesMax: 1_000, applyMs: 50 };
    const addresses = new LeaderAddresses({
      configured: { hostname: "leader", port: 5500 },
      last,
      known: () => known,
      self: () => identityOf("b"),
    });
    return followerSession({
      ...followerContext(mine, secret),
      ...bounds,
      tuning,
      addresses,
      lastLeader: last === null ? null : nodeOf("a"),
    });
  }
  const step = (input: FollowerInput): string[] =>
    session.step(input, monotonicMsOf(story.now)).flatMap(perform);
  const message = (sent: Message): string[] => step({ type: "message", message: sent });
  function perform(effect: FollowerEffect): string[] {
    if (effect.type === "send" && effect.message.type === "hello") hello = effect.message;
    if (effect.type === "send" && effect.message.type === "probe") probe = effect.message;
    if (effect.type !== "apply") return [told(effect)];
    const lines = [`apply ${effect.entries[0]?.seq} to ${effect.entries.at(-1)?.seq}`];
    const slowly = slow !== null;
    const apply = (): string[] =>
      step(outcome(() => ({ type: "applied", position: mine.apply(effect.entries), slowly })));
    if (slow === null) return [...lines, ...apply()];
    slow = apply;
    return lines;
  }
  function outcome(run: () => FollowerInput): FollowerInput {
    try {
      return run();
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      return { type: "applyFailed", error: thrown };
    }
  }
  const entries = (from: number, to: number): Message => {
    const previous = leader.at(seqOf(from - 1));
    if (typeof previous !== "object") throw new Error("the leader has no such entry");
    return { type: "append", previous, entries: leader.kept.slice(from - 1, to) };
  };
  const commands: Record<string, (command: Command) => string[]> = {
    leader(
      { args, options: { mine: count = "0", secret: given = null, last: at = null, known: others = "" } },
    ) {
      leader.lead(1, runOf("1"));
      leader.write(Number(args[0]) - 1);
      mine = leader.copy(Number(count));
      secret = given;
      last = at;
      known = nodesOf(others);
      session = make();
      return [];
    },
    unreadable({ args: [code] }) {
      mine.unreadable = code === undefined ? null : new DfdbError(code as ErrorCode, "says the disk");
      return [];
    },
    beat({ args }) {
      beatMs = Number(args[0]);
      return [];
    },
    trim: ({ args: [whose, seq] }) => ((whose === "leader" ? leader : mine).trim(Number(seq)), []),
    promote: ({ args }) => (leader.lead(Number(args[0]), runOf(args[1] ?? "2")), []),
    diverge({ args: [epoch, count = "0"] }) {
      mine.lead(Number(epoch), runOf("9"));
      mine.write(Number(count));
      return [];
    },
    write: ({ args }) => (leader.write(Number(args[0])), []),
    start: () => step({ type: "start" }),
    connected: () => step({ type: "connected" }),
    challenge: ({ args, options }) => message(challengeFrom(hello, args[0] ?? "a", options.secret)),
    welcome: ({ args: [follow], options }) => message(welcomeFrom(leader, follow, beatMs, options)),
    join: ({ args: [follow], options }) => [
      ...step({ type: "connected" }),
      ...message(challengeFrom(hello, options.as ?? "a", undefined)),
      ...message(welcomeFrom(leader, follow, beatMs, options)),
    ],
    probed({ options }) {
      const asked = probe;
      probe = null;
      return message(probedFrom(leader, asked, options));
    },
    answers({ options }) {
      const lines: string[] = [];
      for (let asked = probe; asked !== null; asked = probe) {
        probe = null;
        lines.push(...message(probedFrom(leader, asked, options)));
      }
      return lines;
    },
    resumable: ({ args: [id, offset] }) =>
      step({ type: "resumable", resume: id === undefined ? null : { id: idOf(id), offset: mib(offset) } }),
    offer({ args: [id = "s", size, offset = "0"], options: { at = String(leader.last.seq) } }) {
      snapshot = leader.copy(Number(at));
      const { last: position } = snapshot;
      return message({ type: "snapshot", id: idOf(id), bytes: mib(size), position, offset: mib(offset) });
    },
    chunk: ({ args: [offset, length = "1"] }) =>
      message({ type: "snapshotChunk", offset: mib(offset), bytes: new Uint8Array(mib(length)) }),
    end: () => message({ type: "snapshotEnd", checksum: 7 }),
    rescued: () => step({ type: "rescued" }),
    begun: () => step({ type: "begun" }),
    written: ({ args }) => step({ type: "written", bytes: mib(args[0] ?? "1") }),
    installed() {
      if (snapshot !== null) mine.install(snapshot);
      return step({ type: "installed", position: mine.last });
    },
    failed: ({ args }) =>
      step({ type: "resyncFailed", error: new DfdbError(args[0] as ErrorCode, "says the disk") }),
    part: ({ args: [seq, offset, length], options }) =>
      message(partFrom(leader, Number(seq), Number(offset), Number(length), options)),
    big: ({ args }) => (leader.write(1, Number(args[0])), []),
    hold: ({ args }) => step({ type: "hold", seq: args[0] === undefined ? null : seqOf(Number(args[0])) }),
    resync: () => step({ type: "resync" }),
    reconnect: () => step({ type: "reconnect", reason: "auto-failover was switched on" }),
    try({ args: [text = ""] }) {
      const address = dialable(text);
      return address === null ? ["no address"] : step({ type: "tryFirst", address });
    },
    slow() {
      slow = () => ["nothing is being applied"];
      return [];
    },
    applied: () => slow?.() ?? [],
    append: ({ args }) => message(entries(Number(args[0]), Number(args[1]))),
    heartbeat: ({ options }) => message(beatFrom(leader, leader.last.chain, options)),
    damage: () => message(beatFrom(leader, leader.last.chain ^ 1, {})),
    refused: ({ args: [code = ""], options }) => message(refusedFrom(code, options)),
    goingAway: ({ options }) => message(goingAwayFrom(leader, options)),
    handover: ({ args: [type] }) => message(handoverFrom(type, leader)),
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
      }, ${session.stream.tail.count} waiting, applied ${session.stream.opsApplied}, ` +
      `gaps ${session.stream.gapsDetected}, connects ${session.connects}, last error ${
        session.lastError?.error.code ?? "none"
      }`,
    ],
    fit: () => [
      `${session.unfit ?? "fit to lead"}; ${
        session.leader.candidate ? "accepted as candidate" : "no candidate"
      }; ` +
      `peer: ${session.peer}`,
    ],
    more: () => [
      `snapshot ${
        session.snapshot === null
          ? "none"
          : `${session.snapshot.id.slice(0, 1)} ${session.snapshot.received} of ${session.snapshot.bytes}`
      }, ` +
      `installed ${session.copies.installed}, rescues ${session.copies.rescues}, ` +
      `${session.congested ? "congested" : "reading"}`,
    ],
  };
  return (command) => commands[command.name]?.(command) ?? [`no such command: ${command.name}`];
}

function challengeFrom(hello: Hello | null, node: string, secret: string | undefined): Challenge {
  const nonce = new Uint8Array(32).fill(2), { nodeId } = identityOf(node);
  const challenge: Challenge = { type: "challenge", version: 2, nodeId, databaseId: theDatabase, nonce };
  if (secret === undefined || hello === null) return challenge;
  const facts = {
    version: 2,
    followerNonce: hello.nonce,
    leaderNonce: nonce,
    followerNodeId: hello.nodeId,
    leaderNodeId: nodeId,
    databaseId: theDatabase,
  };
  return { ...challenge, proof: proofOf(testCrypto, secret, "leader", facts) };
}

const mib = (text: string | undefined): number => Math.round(Number(text) * limits.snapshotPieceBytes);
const idOf = (digit: string): string => digit.repeat(32);

/** The true answer to the last probe, with `changes`. */
function probedFrom(leader: FakeDatabase, probe: Probe | null, changes: Command["options"]): Message {
  const seq = seqOf(Number(changes.seq ?? probe?.seq ?? 0)), here = leader.at(seq);
  if (here === "ahead") return { type: "probed", seq, term: null, chain: null };
  const term = here === "compacted"
    ? leader.terms.findLast((record) => record.firstSeq <= seq) ?? leader.last
    : here;
  const chain = here === "compacted" ? null : (here.chain ^ Number(changes.damage ?? 0)) >>> 0;
  return { type: "probed", seq, term: { epoch: term.epoch, run: term.run }, chain };
}

function partFrom(
  leader: FakeDatabase,
  seq: number,
  offset: number,
  length: number,
  changes: Command["options"],
): Message {
  const previous = leader.at(seqOf(seq - 1)), entry = leader.kept[seq - leader.first];
  if (typeof previous !== "object" || entry === undefined) throw new Error("the leader has no such entry");
  const { chain, wallMs, payload, term: { epoch, run } } = entry;
  return {
    type: "part",
    previous,
    epoch,
    run,
    wallMs,
    chain: (chain ^ Number(changes.damage ?? 0)) >>> 0,
    length: Number(changes.of ?? payload.length),
    offset,
    bytes: payload.slice(offset, offset + length),
  };
}

function nodeOf(digit: string, wireAddress: string = `node-${digit}:5500`): KnownNode {
  const { nodeId, nodeName, httpUrl } = identityOf(digit);
  return { nodeId, nodeName, httpUrl, wireAddress };
}

/** `c,e@:5501`: nodes, with another wire address than `node-c:5500` after the `@`. */
function nodesOf(text: string | undefined): KnownNode[] {
  if (text === undefined || text === "") return [];
  return text.split(",").map((node) => {
    const [digit = "", address] = node.split("@");
    return nodeOf(digit, address);
  });
}

function welcomeFrom(
  leader: FakeDatabase,
  follow: string | undefined,
  heartbeatMs: number,
  { as = "a", candidate, knows }: Command["options"],
): Message {
  return {
    type: "welcome",
    nodeName: `node-${as}`,
    term: leader.terms.at(-1) ?? null,
    terms: leader.terms,
    position: leader.last,
    httpUrl: `http://node-${as}:5000`,
    wireAddress: null,
    readOnly: false,
    heartbeatMs,
    wallMs: wallMsOf(0),
    knownNodes: nodesOf(knows),
    follow: (follow ?? "stream") as Welcome["follow"],
    candidate: candidate === "true",
  };
}

function beatFrom(leader: FakeDatabase, chain: number, { ask, knows }: Command["options"]): Message {
  const term = leader.terms.at(-1) ?? null;
  return {
    type: "heartbeat",
    position: { ...leader.last, chain },
    term,
    readOnly: false,
    wallMs: wallMsOf(0),
    ...(ask === undefined ? {} : { ask: Number(ask) }),
    ...(knows === undefined ? {} : { knownNodes: nodesOf(knows) }),
  };
}

/** `leader`: the node that is named, as in {@linkcode nodesOf}. */
function refusedFrom(code: string, { leader, epoch, knows }: Command["options"]): Message {
  const [named] = nodesOf(leader);
  const details = named === undefined ? {} : {
    leaderNodeId: named.nodeId,
    leaderName: named.nodeName,
    leaderHttpUrl: named.httpUrl,
    leaderWireAddress: named.wireAddress === "none" ? null : named.wireAddress,
    epoch: epoch === undefined ? null : Number(epoch),
  };
  const refused = { type: "refused", code, message: "says the leader", details } as const;
  return knows === undefined ? refused : { ...refused, knownNodes: nodesOf(knows) };
}

function goingAwayFrom(log: FakeDatabase, { leader, knows }: Command["options"]): Message {
  return {
    type: "goingAway",
    message: "the leader is stopping",
    httpUrl: null,
    wireAddress: null,
    knownNodes: nodesOf(knows),
    leader: nodesOf(leader)[0] ?? null,
    term: log.terms.at(-1) ?? null,
  };
}

function handoverFrom(type: string | undefined, { last }: FakeDatabase): Message {
  const id = idOf("6");
  if (type === "prepare") return { type, id, position: last };
  if (type === "abort") return { type, id, message: "says the leader" };
  if (type === "declined") return { type, id, code: "conflict", message: "says the leader" };
  return { type: "commit", id };
}

function told(effect: Exclude<FollowerEffect, { type: "apply" }>): string {
  switch (effect.type) {
    case "send":
      return `send ${line(effect.message)}`;
    case "disconnect":
      return effect.last === null
        ? `cut: ${effect.error.code}: ${effect.error.message}`
        : `disconnect after ${line(effect.last)}`;
    case "rescue":
      return effect.common === null ? "rescue everything" : `rescue what is after ${effect.common}`;
    case "begin":
      return `begin ${effect.offer.id.slice(0, 1)} at ${effect.offer.offset}`;
    case "write":
      return `write ${effect.bytes.length} at ${effect.offset}`;
    case "connect": {
      const address = formatWireAddress(effect.address);
      return address === "leader:5500" ? "connect" : `connect ${address}`;
    }
    case "knownNodes":
      return `known nodes: ${
        effect.nodes.map(({ nodeName, wireAddress }) => `${nodeName} ${wireAddress}`).join(", ")
      }`;
    case "handover":
      return `handover: ${line(effect.message)}`;
    case "hint":
      return `hint ${effect.httpUrl}`;
    case "adopt":
      return `adopt database ${effect.databaseId.slice(0, 1)}`;
    default:
      return effect.type;
  }
}
