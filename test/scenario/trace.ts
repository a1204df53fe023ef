import type { Position } from "../../src/storage/log.ts";
import type { Message } from "../../src/wire/message.ts";

/** `epoch.run-seq`, with the run's first digit only. */
export function short(position: Position): string {
  return `${position.epoch}.${position.run.slice(0, 1)}-${position.seq}`;
}

/** A message in one line. */
export function line(message: Message): string {
  switch (message.type) {
    case "hello":
      return `hello at ${short(message.position)}, secret ${message.secret}, database ${
        message.databaseId?.slice(0, 1) ?? "none"
      }${message.resync ? ", resync" : ""}`;
    case "challenge":
    case "proof":
      return `${message.type}${message.proof === undefined ? "" : " with proof"}`;
    case "welcome":
      return `welcome to ${message.follow}, leader at ${short(message.position)}`;
    case "append":
      return `append ${message.entries[0]?.seq} to ${message.entries.at(-1)?.seq} after ${
        short(message.previous)
      }`;
    case "heartbeat":
      return `heartbeat at ${short(message.position)}${message.readOnly ? ", read-only" : ""}`;
    case "ack":
      return `ack ${short(message)}`;
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
      return `snapshotAck ${message.offset}`;
    case "part":
      return `part of ${message.bytes.length} at ${message.offset} of ${message.length} after ${
        short(message.previous)
      }`;
    case "goingAway":
      return `goingAway: ${message.message}`;
    case "refused":
      return `refused ${message.code}: ${message.message}`;
  }
}
