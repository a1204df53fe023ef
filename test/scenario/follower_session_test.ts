import assert from "node:assert/strict";
import test from "node:test";
import { followerStory } from "./follower_stories.ts";
import { stories } from "./interpreter.ts";

for (const { title, told, expected } of stories("follower_session.txt", followerStory)) {
  test(`follower ${title}`, () => assert.equal(told, expected));
}
