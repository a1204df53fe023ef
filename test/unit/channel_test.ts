import assert from "node:assert/strict";
import test from "node:test";
import { clock } from "../../adapters/shared/clock.ts";
import type { Connection } from "../../src/runtime/net.ts";
import { channel } from "../../src/wire/channel.ts";
import type { Message } from "../../src/wire/message.ts";

const channelsCount = 20;
/** A conservative collector may still see some on the stack. */
const stragglersMax = 4;
const roundsMax = 200;
const pressureBytes = 16 * 1024 * 1024;

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

const macrotask = (): Promise<void> => new Promise((resolve) => clock.macrotask(resolve));

/** Makes garbage until no more than `max` are left; the rest of them. No runtime lets all collectors be called. */
async function leftAfterCollection(refs: readonly WeakRef<object>[], max: number): Promise<number> {
  let left = refs.length;
  for (let round = 0; round < roundsMax && left > max; round++) {
    // What `deref` gave lives until its macrotask ends.
    await macrotask();
    for (let i = 0; i < 4; i++) new Uint8Array(pressureBytes)[i] = 1;
    await macrotask();
    left = refs.filter((ref) => ref.deref() !== undefined).length;
  }
  return left;
}

test("a frame that waits for the system does not hold the message that it was made of", async () => {
  const waiting = Array.from({ length: channelsCount }, sendIntoStuck);
  assert.ok(waiting.every(({ sent }) => sent !== null), "all of them wait");
  const left = await leftAfterCollection(waiting.map(({ message }) => message), stragglersMax);
  assert.ok(left <= stragglersMax, `${left} of ${channelsCount} messages are held`);
  for (const { take } of waiting) take();
  await Promise.all(waiting.map(({ sent }) => sent));
});
