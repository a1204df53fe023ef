import assert from "node:assert/strict";
import test from "node:test";
import { failoverStory } from "./failover_stories.ts";
import { stories } from "./interpreter.ts";

for (const { title, told, expected } of stories("failover.txt", failoverStory)) {
  test(`failover ${title}`, () => assert.equal(told, expected));
}
