import assert from "node:assert/strict";
import test from "node:test";
import { fencingStory } from "./fencing_stories.ts";
import { stories } from "./interpreter.ts";

for (const { title, told, expected } of stories("fencing.txt", fencingStory)) {
  test(`fencing ${title}`, () => assert.equal(told, expected));
}
