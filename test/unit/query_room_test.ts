import assert from "node:assert/strict";
import { test } from "node:test";
import type { Tenant } from "../../src/engine/query_room.ts";
import { QueryRoom } from "../../src/engine/query_room.ts";

/** A database that wants `wanted` threads and has `running` at work and `idle` at rest. */
class Wants implements Tenant {
  running = 0;
  idle = 0;
  wanted = 0;
  readonly #room: QueryRoom;

  constructor(room: QueryRoom) {
    this.#room = room;
    room.enter(this);
  }

  ask(count = 1): void {
    this.wanted += count;
    this.next();
  }

  next(): void {
    while (this.wanted > 0 && this.#room.take(this)) {
      this.wanted--;
      this.running++;
    }
  }

  /** A statement is over: its thread ends where others wait, else it rests. */
  over(): void {
    this.running--;
    if (this.#room.wanted(this)) this.#room.give();
    else this.idle++;
  }

  spare(): boolean {
    if (this.idle === 0) return false;
    this.idle--;
    this.#room.give();
    return true;
  }
}

test("a thread that rests makes room for another database", () => {
  const room = new QueryRoom(2), a = new Wants(room), b = new Wants(room);
  a.ask(2);
  a.over();
  a.over();
  assert.deepEqual([a.running, a.idle], [0, 2]);
  b.ask();
  assert.deepEqual([a.idle, b.running, b.wanted], [1, 1, 0]);
});

test("who has waited longest comes first, and a busy database gives up what it has finished with", () => {
  const room = new QueryRoom(2), a = new Wants(room), b = new Wants(room), c = new Wants(room);
  a.ask(3);
  b.ask();
  c.ask();
  assert.deepEqual([a.running, b.running, c.running], [2, 0, 0]);
  a.over();
  assert.deepEqual([a.running, a.idle, b.running], [2, 0, 0], "it has waited longest itself");
  a.over();
  a.over();
  assert.deepEqual([a.running, b.running, c.running], [0, 1, 1]);
});

test("who leaves waits no more, and room goes to one that still wants it", () => {
  const room = new QueryRoom(1), a = new Wants(room), b = new Wants(room), c = new Wants(room);
  a.ask();
  b.ask();
  c.ask();
  room.leave(b);
  a.over();
  assert.deepEqual([b.running, c.running], [0, 1]);
  a.ask();
  a.wanted = 0;
  b.ask();
  c.over();
  assert.equal(b.running, 1, "one that changed its mind holds nobody up");
});
