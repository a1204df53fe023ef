import assert from "node:assert/strict";
import test from "node:test";
import type { Connection } from "../../src/runtime/net.ts";
import { channel } from "../../src/wire/channel.ts";
import type { Message } from "../../src/wire/message.ts";
import { leftAfterCollection } from "../tool/collect_garbage.ts";

const channelsCount = 20;
/** A conservative collector may still see some on the stack. */
const stragglersMax = 4;

/** A connection whose system takes nothing until `take`. */
function stuckConnection(): { readonly connection: Connection; take(): void } {
  const { promise, resolve } = Promise.withResolvers<void>(), never = new Promise<null>(() => {});
  const none = (): never => assert.fail("the channel uses the plain form");
  const connection: Connection = {
    remote: { hostname: "peer", port: 1 },
    plain: { read: () => never, write: () => promise, close: () => promise },
    abort: () => {},
    get readable() {
      return none();
    },
    get writable() {
      return none();
    },
  };
  return { connection, take: resolve };
}

interface Waiting {
  readonly message: WeakRef<Message>;
  readonly sent: Promise<void> | null;
  take(): void;
}

function sendIntoStuck(): Waiting {
  const { connection, take } = stuckConnection(), message: Message = { type: "proof" };
  const encode = (): Uint8Array => new Uint8Array(100);
  const sent = channel({ connection, bodyBytesMax: 1_000, onBytes: () => {}, encode }).send(message);
  return { message: new WeakRef(message), sent, take };
}

test("a frame that waits for the system does not hold the message that it was made of", async () => {
  const waiting = Array.from({ length: channelsCount }, sendIntoStuck);
  assert.ok(waiting.every(({ sent }) => sent !== null), "all of them wait");
  const left = await leftAfterCollection(waiting.map(({ message }) => message), stragglersMax);
  assert.ok(left <= stragglersMax, `${left} of ${channelsCount} messages are held`);
  for (const { take } of waiting) take();
  await Promise.all(waiting.map(({ sent }) => sent));
});
