import assert from "node:assert/strict";
import test from "node:test";
import { handoverStory } from "./handover_stories.ts";
import { stories } from "./interpreter.ts";

for (const { title, told, expected } of stories("handover.txt", handoverStory)) {
  test(`handover ${title}`, () => assert.equal(told, expected));
}
