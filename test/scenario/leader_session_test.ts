import assert from "node:assert/strict";
import test from "node:test";
import { stories } from "./interpreter.ts";
import { leaderStory } from "./leader_stories.ts";

for (const { title, told, expected } of stories("leader_session.txt", leaderStory)) {
  test(`leader ${title}`, () => assert.equal(told, expected));
}
