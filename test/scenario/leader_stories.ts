import type { ErrorCode } from "../../src/base/errors.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { databaseIdOf, epochOf, monotonicMsOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { type FollowerContext, helloOf } from "../../src/replication/follower_handshake.ts";
import type { LeaderEffect, LeaderInput } from "../../src/replication/leader_events.ts";
import { leaderSession } from "../../src/replication/leader_session.ts";
import { positionOf } from "../../src/replication/send_window.ts";
import { SharedReads } from "../../src/replication/shared_reads.ts";
import type { StandingBy } from "../../src/replication/types.ts";
import type { Position, TermRecord } from "../../src/storage/log.ts";
import type { Hello, KnownNode, Message } from "../../src/wire/message.ts";
import { proofOf } from "../../src/wire/proof.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf, stateOf, testCrypto, theDatabase, tuning } from "../tool/replication_rig.ts";
import type { Command, Storyteller } from "./interpreter.ts";
import { line } from "./trace.ts";

/**
 * One leader session against a follower played by the story: frames of 100 bytes, a window of 300, parts of 100; pieces of a
 * snapshot 100 bytes.
 */
export function leaderStory(): Storyteller {
  const log = new FakeDatabase(), story = { now: 0, asked: 0, secret: null as string | null };
  const surroundings = { standing: null as StandingBy | null, nodes: [] as KnownNode[] };
  const options = {
    identity: () => identityOf("a"),
    databaseId: () => theDatabase,
    crypto: testCrypto,
    log,
    tuning: {
      ...tuning,
      appendBytes: 100,
      windowBytes: 300,
      appendEntriesMax: 4,
      snapshotAboveEntries: 30,
      snapshotBytesPerSecond: 1_000_000_000,
      snapshotBusyBytesPerSecond: 1_000_000_000,
    },
    reads: new SharedReads(log, { bytesMax: 100, entriesMax: 4 }, 100),
    snapshotPieceBytes: 100,
    readOnly: () => false,
    epoch: () => log.last.epoch,
    wall: () => wallMsOf(story.now),
    standing: () => surroundings.standing,
    knownNodes: () => surroundings.nodes,
    asked: () => story.asked,
    nonce: new Uint8Array(32).fill(2),
  };
  let session = leaderSession({ ...options, secret: null }, monotonicMsOf(0));
  let hello: Hello | null = null, reading = 0;
  /** What the follower got stays with it, whatever the log loses. */
  const positions = new Map<number, Position>();
  const step = (input: LeaderInput): string[] =>
    session.step(input, monotonicMsOf(story.now)).map((effect) => {
      if (effect.type === "read") reading = effect.length;
      return told(effect);
    });
  const remember = (): void => {
    for (const entry of log.kept) positions.set(entry.seq, positionOf(entry));
  };
  const message = (sent: Message): string[] => step({ type: "message", message: sent });
  const commands: Record<string, (command: Command) => string[]> = {
    log({ args, options: { secret = null, rate } }) {
      log.lead(1, runOf("1"));
      log.write(Number(args[0]) - 1, 50);
      const snapshotBytesPerSecond = Number(rate ?? options.tuning.snapshotBytesPerSecond);
      session = leaderSession(
        { ...options, secret, tuning: { ...options.tuning, snapshotBytesPerSecond } },
        monotonicMsOf(0),
      );
      return [];
    },
    hello({ options: changes }) {
      hello = helloFrom(log, changes);
      return message(hello);
    },
    proof: ({ options: { secret } }) => message(proofFrom(hello, secret)),
    admit: () => step({ type: "admitted" }),
    refuse: ({ args }) =>
      step({ type: "refuse", error: new DfdbError(args[0] as ErrorCode, "says the roster") }),
    write({ args }) {
      log.write(Number(args[0]), Number(args[1] ?? 50));
      return step({ type: "committed" });
    },
    diverge({ args: [epoch = "2"] }) {
      log.lead(Number(epoch), runOf(epoch));
      return [];
    },
    trim({ args }) {
      remember();
      log.trim(Number(args[0]));
      return [];
    },
    unreadable({ args: [code] }) {
      remember();
      log.unreadable = code === undefined ? null : new DfdbError(code as ErrorCode, "says the disk");
      return [];
    },
    sent: () => step({ type: "sent" }),
    ack({ args, options: { chain, run, answers } }) {
      const seq = seqOf(Number(args[0])), position = positions.get(seq) ?? log.at(seq);
      const ack = typeof position === "object" ? position : { ...log.last, seq };
      return message({
        type: "ack",
        ...ack,
        ...(chain === undefined ? {} : { chain: Number(chain) }),
        ...(run === undefined ? {} : { run: runOf(run) }),
        ...(answers === undefined ? {} : { answers: Number(answers) }),
      });
    },
    probe: ({ args }) => message({ type: "probe", seq: seqOf(Number(args[0])) }),
    probes: ({ args }) => {
      for (let i = 0; i < Number(args[0]); i++) message({ type: "probe", seq: seqOf(1) });
      return [];
    },
    ended: () =>
      step({ type: "ended", error: new DfdbError("unreachable", "the peer closed the connection") }),
    want: ({ args: [id, offset] }) =>
      message({
        type: "wantSnapshot",
        resume: id === undefined ? null : { id: id.repeat(32), offset: Number(offset) },
      }),
    leased: ({ args: [id = "", bytes] }) =>
      step({ type: "leased", lease: { id: id.repeat(32), bytes: Number(bytes), position: log.last } }),
    piece: () => step({ type: "piece", bytes: new Uint8Array(reading) }),
    checksum: () => step({ type: "checksum", checksum: 7 }),
    got: ({ args, options: { answers } }) =>
      message({
        type: "snapshotAck",
        offset: Number(args[0]),
        ...(answers === undefined ? {} : { answers: Number(answers) }),
      }),
    stand({ args: [epoch], options: { leader } }) {
      surroundings.standing = {
        leader: leader === undefined ? null : nodeOf(leader),
        epoch: epoch === undefined ? null : epochOf(Number(epoch)),
      };
      return [];
    },
    know({ args }) {
      surroundings.nodes = args.map(nodeOf);
      return [];
    },
    statement: ({ args: [outcome] }) =>
      step({
        type: "statement",
        fields: {
          ...stateOf(log),
          knownNodes: surroundings.nodes,
          handover: outcome === undefined ? null : { id: handoverId, outcome: outcome as "unknown" },
        },
      }),
    ask() {
      story.asked++;
      return step({ type: "ask" });
    },
    say: ({ args: [type] }) => step({ type: "say", message: handoverMessage(type, log) }),
    tell: ({ args: [type] }) => message(handoverMessage(type, log)),
    heartbeat: () =>
      message({ type: "heartbeat", position: log.last, term: null, readOnly: false, wallMs: wallMsOf(0) }),
    refused: ({ args }) =>
      message({ type: "refused", code: args[0] ?? "", message: "says the follower", details: {} }),
    contact: () => step({ type: "contact" }),
    stop: ({ options: { leader } }) =>
      step({
        type: "stop",
        successor: leader === undefined ? null : { leader: nodeOf(leader), term: log.terms.at(-1) ?? null },
      }),
    advance: ({ args }) =>
      advance(story, () => session.deadline, Number(args[0]), () => step({ type: "tick" })),
    stall({ args }) {
      story.now += Number(args[0]);
      return step({ type: "tick" });
    },
    show: () => [
      `phase ${session.phase}, ${session.state}, sent ${session.window.sent.seq}, acked ${session.window.acked.seq}, ` +
      `${session.window.bytesInFlight} bytes in flight`,
      ...(session.snapshot === null
        ? []
        : [`snapshot ${session.snapshot.acked} of ${session.snapshot.bytes} acknowledged`]),
    ],
  };
  return (command) => commands[command.name]?.(command) ?? [`no such command: ${command.name}`];
}

/** Ticks at every deadline in the next `ms`, each line with its time. */
export function advance(
  story: { now: number },
  deadline: () => number | null,
  ms: number,
  tick: () => string[],
): string[] {
  const end = story.now + ms, lines: string[] = [];
  for (let at = deadline(); at !== null && at <= end; at = deadline()) {
    story.now = Math.max(story.now, at);
    lines.push(...tick().map((text) => `${story.now} ms: ${text}`));
  }
  story.now = end;
  return lines;
}

function helloFrom(log: FakeDatabase, changes: Command["options"]): Hello {
  const {
    seq = "0",
    secret,
    database = "default",
    databaseId = "d",
    versions = "2",
    node = "b",
    mode = "logical",
    resync = "false",
    candidate = "false",
    handover = "false",
    run,
    epoch,
  } = changes;
  const position = log.at(seqOf(Number(seq)));
  return {
    ...helloOf(followerContext(log, secret ?? null)),
    versions: versions.split(",").map(Number),
    nodeId: identityOf(node).nodeId,
    database,
    databaseId: databaseId === "none" ? null : databaseIdOf(databaseId.repeat(32)),
    mode,
    position: {
      ...(typeof position === "object" ? position : { ...log.last, seq: seqOf(Number(seq)) }),
      ...(run === undefined ? {} : { run: runOf(run) }),
      ...(epoch === undefined ? {} : { epoch: epochOf(Number(epoch)) }),
    },
    resync: resync === "true",
    autoFailover: candidate === "true",
    handover: handover === "true" ? handoverId : null,
  };
}

const handoverId = "6".repeat(32);

function nodeOf(digit: string): KnownNode {
  const { nodeId, nodeName, httpUrl, wireAddress } = identityOf(digit);
  return { nodeId, nodeName, httpUrl, wireAddress };
}

/** A message of a handover, whichever side sends it. */
function handoverMessage(type: string | undefined, log: FakeDatabase): Message {
  const id = handoverId, message = "a sentence";
  switch (type) {
    case "prepare":
      return { type, id, position: log.last };
    case "prepared":
      return { type, id, wireAddress: ":5501" };
    case "promoted":
      return { type, id, term: log.terms.at(-1) as TermRecord };
    case "abort":
      return { type, id, message };
    case "declined":
      return { type, id, code: "port_in_use", message };
    case "takeOver":
      return { type, id };
    default:
      return { type: "commit", id };
  }
}

function proofFrom(hello: Hello | null, secret: string | undefined): Message {
  if (hello === null || secret === undefined) return { type: "proof" };
  const facts = {
    version: 2,
    followerNonce: hello.nonce,
    leaderNonce: new Uint8Array(32).fill(2),
    followerNodeId: hello.nodeId,
    leaderNodeId: identityOf("a").nodeId,
    databaseId: theDatabase,
  };
  return { type: "proof", proof: proofOf(testCrypto, secret, "follower", facts) };
}

/** The surroundings of a follower whose choices are all the same. */
export function followerContext(log: FakeDatabase, secret: string | null): FollowerContext {
  return {
    identity: () => identityOf("b"),
    instance: "1".repeat(32),
    databaseId: () => theDatabase,
    secret,
    crypto: testCrypto,
    random: { bytes: (length: number) => new Uint8Array(length).fill(1), float: () => 0.5 },
    log,
  };
}

function told(effect: LeaderEffect): string {
  switch (effect.type) {
    case "claim":
      return `claim of ${effect.hello.nodeName}`;
    case "state":
      return `state?${effect.handover === null ? "" : ` what became of ${effect.handover.slice(0, 1)}?`}`;
    case "sign":
      return "sign of life";
    case "handover":
      return `handover: ${line(effect.message)}`;
    case "send":
      return `send ${line(effect.message)}`;
    case "admit":
      return `admit ${effect.hello.nodeName}?`;
    case "established":
      return effect.found ? "established, its last entry is in the history" : "established";
    case "acquire":
      return effect.resumeId === null
        ? "acquire a snapshot"
        : `acquire snapshot ${effect.resumeId.slice(0, 1)}`;
    case "read":
      return `read ${effect.length} bytes at ${effect.offset}`;
    case "checksum":
      return "checksum";
    case "close":
      return effect.last === null
        ? `cut: ${effect.error.code}: ${effect.error.message}`
        : `close after ${line(effect.last)}`;
  }
}
