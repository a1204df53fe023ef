/**
 * Many followers in one process, at the level of the protocol: they complete the handshake, check that each append
 * continues the last, and acknowledge it, but store nothing. Arguments: wire port, number. Prints "ready" when all stream,
 * and at the end of its input one line of JSON: the last seq of each.
 */
import process from "node:process";
import { net } from "../../adapters/node/net.ts";
import { random } from "../../adapters/shared/random.ts";
import { limits } from "../../src/base/limits.ts";
import { hex } from "../../src/base/bytes.ts";
import { nodeIdOf } from "../../src/base/ids.ts";
import { origin, type Position } from "../../src/storage/log.ts";
import { type Channel, channel } from "../../src/wire/channel.ts";
import { type Message, nonceBytes, protocolVersions } from "../../src/wire/message.ts";

interface Follower {
  position: Position;
}

async function follow(port: number, number: number, onReady: () => void): Promise<Follower> {
  const follower: Follower = { position: origin };
  const connection = await net.connect({
    hostname: "127.0.0.1",
    port,
    tls: null,
    signal: new AbortController().signal,
  });
  const wire = channel({ connection, bodyBytesMax: limits.frameBytesMax, onBytes: () => {} });
  await wire.send({
    type: "hello",
    versions: [...protocolVersions],
    nodeId: nodeIdOf(hex(random.bytes(16))),
    instance: hex(random.bytes(16)),
    nodeName: `wire-${number}`,
    database: "default",
    databaseId: null,
    mode: "logical",
    position: origin,
    terms: [],
    httpUrl: null,
    wireAddress: null,
    autoFailover: false,
    silenceMs: null,
    leads: null,
    leader: null,
    handover: null,
    nonce: random.bytes(nonceBytes),
    secret: false,
    resync: false,
  });
  void run(wire, follower, onReady).catch((error: unknown) => {
    process.stderr.write(`follower ${number}: ${String(error)}\n`);
    process.exit(1);
  });
  return follower;
}

async function run(wire: Channel, follower: Follower, onReady: () => void): Promise<void> {
  for (let message = await wire.receive(); message !== null; message = await wire.receive()) {
    await take(wire, follower, message, onReady);
  }
}

async function take(wire: Channel, follower: Follower, message: Message, onReady: () => void): Promise<void> {
  switch (message.type) {
    case "challenge":
      return void await wire.send({ type: "proof" });
    case "welcome":
      if (message.follow !== "stream") throw new Error(`asked to ${message.follow}`);
      return onReady();
    case "append": {
      const { previous, entries } = message, last = entries[entries.length - 1];
      if (previous.seq !== follower.position.seq || previous.chain !== follower.position.chain) {
        throw new Error(`an append after ${previous.seq} came at ${follower.position.seq}`);
      }
      if (last === undefined) throw new Error("an append without entries");
      follower.position = { seq: last.seq, ...last.term, chain: last.chain };
      return await acknowledge(wire, follower);
    }
    case "heartbeat":
      return await acknowledge(wire, follower);
    case "goingAway":
      return;
    default:
      throw new Error(`unexpected ${JSON.stringify(message).slice(0, 200)}`);
  }
}

async function acknowledge(wire: Channel, { position: { seq, epoch, run, chain } }: Follower): Promise<void> {
  await wire.send({ type: "ack", seq, epoch, run, chain });
}

const port = Number(process.argv[2]), count = Number(process.argv[3]);
let ready = 0;
const followers = await Promise.all(
  Array.from({ length: count }, (_, number) =>
    follow(port, number, () => {
      if (++ready === count) process.stdout.write("ready\n");
    })),
);
process.stdin.on("end", () => {
  process.stdout.write(
    `${JSON.stringify(followers.map(({ position }) => position.seq))}\n`,
    () => process.exit(0),
  );
});
process.stdin.resume();
