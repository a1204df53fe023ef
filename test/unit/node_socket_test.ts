import assert from "node:assert/strict";
import type nodeNet from "node:net";
import { test } from "node:test";
import { nodeConnection } from "../../adapters/shared/node_socket.ts";

/** A socket that calls back when the test says so; `takes`: the system takes all of the next write at once. */
class FakeSocket {
  takes = true;
  destroyed = false;
  writableLength = 0;
  readonly callbacks: ((error?: Error | null) => void)[] = [];

  on(): void {}

  pause(): void {}

  write(bytes: Uint8Array, callback: (error?: Error | null) => void): void {
    this.callbacks.push(callback);
    this.writableLength = this.takes ? 0 : bytes.length;
  }
}

test("a write that waits is not answered by the callback of an earlier one", async () => {
  const socket = new FakeSocket();
  const { plain } = nodeConnection(socket as unknown as nodeNet.Socket, () => {});
  assert.ok(plain !== undefined);
  assert.equal(plain.write(Uint8Array.of(1)), null);
  socket.takes = false;
  let taken = false;
  const waiting = plain.write(Uint8Array.of(2))?.then(() => taken = true);
  assert.ok(waiting !== undefined);
  socket.callbacks[0]?.();
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(taken, false);
  socket.callbacks[1]?.();
  await waiting;
});
