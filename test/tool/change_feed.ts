import assert from "node:assert/strict";
import type { Body } from "../suites/http_fixture.ts";

/** Reads an answer of `GET /changes` line by line, as NDJSON. */
export class ChangeFeed {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";
  /** Blank lines so far. */
  words = 0;

  constructor(answer: Response) {
    assert.equal(answer.status, 200);
    assert.ok(answer.body !== null);
    this.#reader = answer.body.getReader();
  }

  /** The next line that says something; null at the end. */
  async next(): Promise<Body | null> {
    for (;;) {
      const line = await this.line();
      if (line === null) return null;
      if (line !== "") return JSON.parse(line) as Body;
      this.words++;
    }
  }

  /** The next line as it came. */
  async line(): Promise<string | null> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  /** The rest, to the end. */
  async rest(): Promise<Body[]> {
    const lines: Body[] = [];
    for (let line = await this.next(); line !== null; line = await this.next()) lines.push(line);
    return lines;
  }

  async hangUp(): Promise<void> {
    await this.#reader.cancel();
  }
}
