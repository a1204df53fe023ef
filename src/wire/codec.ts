import { Decoder } from "cbor-x/decode";
import { Encoder } from "cbor-x/encode";
import * as v from "valibot";
import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { decodeAck, decodeAppend, encodeAppend } from "./append.ts";
import { badBody, bodyReader, checkBody } from "./cbor_body.ts";
import { encodeFrame, frameHeaderBytes } from "./frame.ts";
import {
  type ControlMessage,
  type Hello,
  type Message,
  messageSchemas,
  type Refused,
  type State,
  type Welcome,
} from "./message.ts";
import { decodeChunk, decodePart, encodeChunk, encodePart } from "./pieces.ts";

const options = { useRecords: false, variableMapSize: true, tagUint8Array: false };
const encoder = new Encoder(options);
const decoder = new Decoder(options);

/** The frame of `message`. */
export function encodeMessage(message: Message): Uint8Array {
  switch (message.type) {
    case "append":
      return encodeAppend(message);
    case "snapshotChunk":
      return encodeChunk(message);
    case "part":
      return encodePart(message);
    case "hello":
    case "welcome":
    case "state":
    case "refused":
      return encodeFitting(message);
    default:
      return encodeFrame(encoder.encode(typeFirst(message)));
  }
}

/** The message in `body`. Throws DfdbError `bad_frame`, or `version` for a type that this version does not know. */
export function decodeMessage(body: Uint8Array): Message {
  const reader = bodyReader(body);
  const pairs = reader.map();
  if (pairs === 0 || reader.text() !== "type") throw badBody("it does not begin with its type");
  const type = reader.text();
  if (type === "append") return decodeAppend(reader, pairs);
  if (type === "ack") return decodeAck(reader, pairs);
  if (type === "snapshotChunk") return decodeChunk(reader, pairs);
  if (type === "part") return decodePart(reader, pairs);
  if (!Object.hasOwn(messageSchemas, type)) {
    throw new DfdbError("version", `the peer sent a message of unknown type "${type.slice(0, 32)}"`);
  }
  // The lenient general decoder sees only what the strict walk has passed.
  checkBody(body);
  const result = v.safeParse(messageSchemas[type as keyof typeof messageSchemas], decodeLoosely(body));
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw badBody(`${type}.${v.getDotPath(issue) ?? ""} is not what the protocol says`);
}

function decodeLoosely(body: Uint8Array): unknown {
  try {
    return decoder.decode(body);
  } catch (thrown) {
    throw badBody(messageOf(thrown));
  }
}

/** What may travel before the handshake is complete, with lists of which some may stay away. */
type Fitted = Hello | Welcome | State | Refused;

/** Drops the oldest terms, then known nodes, then the details, until the frame fits the limit of the handshake. */
function encodeFitting(message: Fitted): Uint8Array {
  for (let fitting: Fitted | null = message, bytes = 0;; fitting = smaller(fitting)) {
    if (fitting === null) {
      throw new DfdbError(
        "setting_invalid",
        `node name, database name and URLs of this node need ${
          bytes + frameHeaderBytes
        } bytes in the handshake`,
      );
    }
    const body = encoder.encode(typeFirst(fitting));
    if (body.length <= limits.helloBytesMax) return encodeFrame(body);
    bytes = body.length;
  }
}

/** The same with less in it; null: all that is left must be told. */
function smaller(message: Fitted): Fitted | null {
  if ("terms" in message && message.terms.length > 1) return { ...message, terms: message.terms.slice(1) };
  if ("knownNodes" in message && message.knownNodes.length > 0) {
    return { ...message, knownNodes: message.knownNodes.slice(1) };
  }
  if (message.type === "refused" && Object.keys(message.details).length > 0) {
    return { ...message, details: {} };
  }
  return null;
}

function typeFirst(message: ControlMessage): ControlMessage {
  const { type, ...rest } = message;
  return { type, ...rest } as ControlMessage;
}
