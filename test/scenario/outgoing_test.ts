import assert from "node:assert/strict";
import test from "node:test";
import { stories } from "./interpreter.ts";
import { outgoingStory } from "./outgoing_stories.ts";

for (const { title, told, expected } of stories("outgoing.txt", outgoingStory)) {
  test(`outgoing ${title}`, () => assert.equal(told, expected));
}
