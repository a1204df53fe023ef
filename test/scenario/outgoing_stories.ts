import type { ErrorCode } from "../../src/base/errors.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { monotonicMsOf } from "../../src/base/ids.ts";
import type { Destination, DestinationProblem } from "../../src/multimaster/destinations.ts";
import { outgoing } from "../../src/multimaster/outgoing.ts";
import type { Cursor, OutgoingEffect, OutgoingInput } from "../../src/multimaster/outgoing_events.ts";
import { cursorOf, databaseOf, destinationOf, termOf, urlOf } from "../tool/outgoing_rig.ts";
import type { Command, Storyteller } from "./interpreter.ts";
import { advance } from "./leader_stories.ts";

/** What a destination was asked last. */
interface Asked {
  readonly request: number;
  readonly what: string;
  /** What its cursor becomes when it does as it is asked. */
  readonly cursor: Cursor | null;
}

/**
 * Master a and its destinations, each at `http://{name}:5000` with a database whose id is made of its name. Who answers what is said by commands; a
 * receiver answers with the cursor that it was given last, in term 1, unless an option says otherwise.
 */
export function outgoingStory(): Storyteller {
  const story = { now: 0 };
  const machine = outgoing({ databaseId: databaseOf("a"), batchItems: 8, cursorVersions: 100 });
  const asked = new Map<string, Asked>(), givenUp = new Map<string, Asked>();
  const held = new Map<string, Cursor | null>(), upTo = new Map<number, Cursor>();

  const step = (input: OutgoingInput): string[] =>
    machine.step(input, monotonicMsOf(story.now)).map((effect) => {
      note(effect);
      return told(effect);
    });
  function note(effect: OutgoingEffect): void {
    if (effect.type === "giveUp") {
      for (const [name, one] of asked) {
        if (one.request !== effect.request) continue;
        asked.delete(name);
        givenUp.set(name, one);
      }
    }
    if (!("request" in effect) || !("destination" in effect)) return;
    const name = nameOf(effect.destination), { request, type: what } = effect;
    let cursor = held.get(name) ?? null;
    if (effect.type === "post") cursor = upTo.get(effect.batch) ?? null;
    if (effect.type === "putCursor") cursor = effect.cursor;
    asked.set(name, { request, what, cursor });
  }
  const request = (name: string): Asked => {
    const one = asked.get(name);
    if (one === undefined) throw new Error(`${name} was asked nothing`);
    asked.delete(name);
    return one;
  };
  function answer(name: string, { request, cursor }: Asked, options: Command["options"]): string[] {
    const { cursor: said, term = "1", database = name } = options;
    const stored = said === undefined ? cursor : said === "none" ? null : cursorOf("a", Number(said));
    held.set(name, stored);
    const answered = {
      databaseId: databaseOf(database),
      term: termOf(database, Number(term)),
      cursor: stored,
    };
    return step({ type: "answered", request, answer: answered });
  }
  const commands: Record<string, (command: Command) => string[]> = {
    start: ({ args, options: { sources = "", failures = "" } }) =>
      step({
        type: "start",
        ...listOf(args),
        sources: wordsOf(sources).map(urlOf),
        failures: new Map(
          wordsOf(failures).map((word) => {
            const [name = "", count] = word.split(":");
            return [urlOf(name), Number(count)];
          }),
        ),
      }),
    destinations: ({ args }) => step({ type: "destinations", ...listOf(args) }),
    commit: () => step({ type: "committed" }),
    commits({ args: [count] }) {
      const lines: string[] = [];
      for (let i = 1; i <= Number(count); i++) {
        lines.push(...step({ type: "committed" }).map((line) => `commit ${i}: ${line}`));
      }
      return lines;
    },
    answer: ({ args: [name = ""], options }) => answer(name, request(name), options),
    late({ args: [name = ""], options }) {
      const one = givenUp.get(name);
      return one === undefined ? ["nothing was given up"] : answer(name, one, options);
    },
    common: ({ args: [name = "", seq] }) =>
      step({ type: "common", request: request(name).request, after: cursorOf("a", Number(seq)) }),
    read({ args: [name = "", ...words], options: { count = "0", skipped = "0", upto = "0" } }) {
      const { request: number } = request(name), cursor = cursorOf("a", Number(upto));
      upTo.set(number, cursor);
      const sizes = { count: Number(count), skipped: Number(skipped) };
      return step({ type: "read", request: number, ...sizes, upTo: cursor, more: words.includes("more") });
    },
    fail({ args: [name = "", code], options: { leader, database } }) {
      const error = new DfdbError(code as ErrorCode, "says the world");
      const databaseId = database === undefined ? null : databaseOf(database);
      const named = leader === undefined ? {} : { leader: { url: leader, databaseId } };
      return step({ type: "failed", request: request(name).request, error, ...named });
    },
    heartbeat: ({ args: [url = ""], options: { database = "f" } }) =>
      step({ type: "heartbeat", url, databaseId: databaseOf(database) }),
    advance: ({ args }) =>
      advance(story, () => machine.deadline, Number(args[0]), () => step({ type: "tick" })),
    stop: () => step({ type: "stop" }),
    show: () => [
      ...machine.status.map((one) => {
        const at = one.leaderUrl === null ? "" : ` at ${one.leaderUrl}`;
        const error = one.lastError === null ? "" : `, ${one.lastError.code}: ${one.lastError.message}`;
        return `${nameOf(one)}: ${one.state}${at}, sent up to ${one.lastReplicated?.seq ?? "?"}, ` +
          `next ${one.batchItems}, failures ${one.failureCount}${error}`;
      }),
      ...machine.problems.map(({ message }) => message),
    ],
  };
  return (command) => {
    const name = command.args[0] ?? "";
    if (needsRequest.has(command.name) && !asked.has(name)) return [`${name} was asked nothing`];
    return commands[command.name]?.(command) ?? [`no such command: ${command.name}`];
  };
}

const needsRequest: ReadonlySet<string> = new Set(["answer", "common", "read", "fail"]);
const wordsOf = (text: string): string[] => text.split(",").filter((word) => word !== "");

/** `b`, `b:off`, `b:transitive`, `b:only:users`, `b:key:secret`; `bad` is an entry without a URL. */
function listOf(
  names: readonly string[],
): { destinations: readonly Destination[]; problems: readonly DestinationProblem[] } {
  const destinations: Destination[] = [], problems: DestinationProblem[] = [];
  names.forEach((word, index) => {
    const [name = "", flag, value = ""] = word.split(":");
    if (name === "bad") return void problems.push({ index, message: `Destinations[${index}] is skipped` });
    destinations.push(destinationOf({
      Url: urlOf(name),
      Disabled: flag === "off",
      ...(flag === "transitive" ? { TransitiveReplicationBehavior: "Replicate" } : {}),
      ...(flag === "only" ? { SpecifiedCollections: [value] } : {}),
      ...(flag === "key" ? { ApiKey: value } : {}),
    }));
  });
  return { destinations, problems };
}

function nameOf({ url }: { readonly url: string }): string {
  return new URL(url).hostname;
}

function told(effect: OutgoingEffect): string {
  switch (effect.type) {
    case "askLastEtag":
    case "post":
    case "putCursor": {
      const name = nameOf(effect.destination),
        at = effect.url === effect.destination.url ? "" : ` at ${effect.url}`;
      const key = effect.destination.apiKey === null ? "" : `, key ${effect.destination.apiKey}`;
      const what = effect.type === "putCursor" ? ` ${effect.cursor.seq}` : "";
      return `${name}: ${effect.type}${what}${at}${key}`;
    }
    case "findCommon": {
      const { cursor, receiver, before } = effect;
      return `${nameOf(effect.destination)}: findCommon of ${
        cursor?.seq ?? "none"
      } in term ${receiver.term.epoch}` +
        ` of ${receiver.databaseId.slice(0, 1)}, before ${before?.epoch ?? "none"}`;
    }
    case "readBatch":
      return `${nameOf(effect.destination)}: readBatch after ${effect.after.seq}, ${effect.items} documents`;
    case "noteFailure":
      return `${nameOf(effect.destination)}: noteFailure ${effect.count}, ${effect.error.code}`;
    case "clearFailure":
      return `${nameOf(effect.destination)}: clearFailure`;
    case "heartbeat":
      return `heartbeat to ${effect.url}`;
    case "log":
      return `log ${effect.level}: ${effect.message} (${
        Object.values(effect.fields).filter((value) => value !== undefined).join("; ")
      })`;
    default:
      return effect.type;
  }
}
