import type { Position } from "../../src/storage/log.ts";
import type { KnownNode, Message } from "../../src/wire/message.ts";

/** `epoch.run-seq`, with the run's first digit only. */
export function short(position: Position): string {
  return `${position.epoch}.${position.run.slice(0, 1)}-${position.seq}`;
}

/** A message in one line. */
export function line(message: Message): string {
  switch (message.type) {
    case "hello":
      return `${message.mode === "logical" ? "" : `${message.mode} `}hello at ${
        short(message.position)
      }, secret ${message.secret}, database ${message.databaseId?.slice(0, 1) ?? "none"}${
        message.resync ? ", resync" : ""
      }`;
    case "challenge":
    case "proof":
      return `${message.type}${message.proof === undefined ? "" : " with proof"}`;
    case "welcome":
      return `welcome to ${message.follow}, leader at ${short(message.position)}${
        message.candidate ? ", candidate" : ""
      }${nodes(message)}`;
    case "state":
      return `state: ${message.role} at ${short(message.position)}${
        message.leads === null ? "" : `, leads ${message.leads.epoch}.${message.leads.run.slice(0, 1)}`
      }${message.handover === null ? "" : `, handover ${message.handover.outcome}`}${nodes(message)}`;
    case "append":
      return `append ${message.entries[0]?.seq} to ${message.entries.at(-1)?.seq} after ${
        short(message.previous)
      }`;
    case "heartbeat":
      return `heartbeat at ${short(message.position)}${message.readOnly ? ", read-only" : ""}${
        message.ask === undefined ? "" : `, ask ${message.ask}`
      }${message.knownNodes?.length === 0 ? ", knows nobody" : nodes(message)}`;
    case "ack":
      return `ack ${short(message)}${answers(message)}`;
    case "probe":
      return `probe ${message.seq}`;
    case "probed":
      return `probed ${message.seq}: ${
        message.term === null ? "not here" : `${message.term.epoch}.${message.term.run.slice(0, 1)}`
      }${message.term !== null && message.chain === null ? ", trimmed" : ""}`;
    case "wantSnapshot":
      return message.resume === null
        ? "wantSnapshot"
        : `wantSnapshot, resume ${message.resume.id.slice(0, 1)} at ${message.resume.offset}`;
    case "snapshot":
      return `snapshot ${message.id.slice(0, 1)} of ${message.bytes} bytes from ${message.offset}, ends at ${
        short(message.position)
      }`;
    case "snapshotChunk":
      return `snapshotChunk of ${message.bytes.length} at ${message.offset}`;
    case "snapshotEnd":
      return "snapshotEnd";
    case "snapshotAck":
      return `snapshotAck ${message.offset}${answers(message)}`;
    case "part":
      return `part of ${message.bytes.length} at ${message.offset} of ${message.length} after ${
        short(message.previous)
      }`;
    case "goingAway":
      return `goingAway: ${message.message}${nodes(message)}`;
    case "refused":
      return `refused ${message.code}: ${message.message}${nodes(message)}`;
    case "prepare":
      return `prepare ${message.id.slice(0, 1)} at ${short(message.position)}`;
    case "prepared":
      return `prepared ${message.id.slice(0, 1)} on ${message.wireAddress}`;
    case "promoted":
      return `promoted ${message.id.slice(0, 1)}, leads ${message.term.epoch}.${
        message.term.run.slice(0, 1)
      }`;
    case "commit":
    case "takeOver":
      return `${message.type} ${message.id.slice(0, 1)}`;
    case "abort":
      return `abort ${message.id.slice(0, 1)}: ${message.message}`;
    case "declined":
      return `declined ${message.id.slice(0, 1)}: ${message.code}: ${message.message}`;
  }
}

/** The nodes that a message names, if it does. */
function nodes({ knownNodes = [] }: { readonly knownNodes?: readonly KnownNode[] }): string {
  return knownNodes.length === 0 ? "" : `, knows ${knownNodes.map(({ nodeName }) => nodeName).join(" ")}`;
}

function answers({ answers }: { readonly answers?: number }): string {
  return answers === undefined ? "" : `, answers ${answers}`;
}
