import { Lexer } from "./lexer.ts";
import { reserved, unsupported, upperAscii } from "./parse_words.ts";
import { echo, queryLimits, syntaxError } from "./syntax_error.ts";

/** A lexer with what the productions share: tests of the current token, errors about it, and the depth of nesting. */
export class Parser extends Lexer {
  /** How many operators lie on top of each other in the expression that was just read; a path or a literal is 1. */
  height = 0;
  /** The clause that is being read: for messages. */
  clause = "";
  /** Whether an aggregate may stand here. */
  aggregates = false;
  #depth = 0;
  #positional = 0;
  #named = false;

  atEnd(): boolean {
    return this.kind === "end";
  }

  isSign(sign: string): boolean {
    return this.kind === "symbol" && this.value === sign;
  }

  /** Passes `sign` if it is the current token. */
  tookSign(sign: string): boolean {
    if (!this.isSign(sign)) return false;
    this.next();
    return true;
  }

  /** Passes the keyword if it is the current token. */
  took(keyword: string): boolean {
    if (this.keyword !== keyword) return false;
    this.next();
    return true;
  }

  needSign(sign: string, expected = `"${sign}"`): void {
    if (!this.tookSign(sign)) this.unexpected(expected);
  }

  need(keyword: string): void {
    if (!this.took(keyword)) this.unexpected(keyword);
  }

  /** A word that is a name, or a name in double quotes; goes on. */
  name(expected: string): string {
    if (this.kind !== "quoted" && (this.kind !== "word" || reserved.has(this.keyword))) {
      this.unexpected(expected);
    }
    const name = this.value;
    this.next();
    return name;
  }

  /** A name where a word of the language can be nothing else: after a dot or AS. */
  anyName(expected: string): string {
    if (this.kind !== "quoted" && this.kind !== "word") this.unexpected(expected);
    const name = this.value;
    this.next();
    return name;
  }

  /** One level deeper: throws where that is one too many. Every recursion passes here. */
  enter(): void {
    if (++this.#depth > queryLimits.nestingMax) this.tooDeep(this.start);
  }

  leave(): void {
    this.#depth--;
  }

  /** The operator at `at` lies on top of an expression of that height. */
  operatorOn(height: number, at: number): void {
    this.height = height + 1;
    if (this.height > queryLimits.nestingMax) this.tooDeep(at);
  }

  tooDeep(at: number): never {
    throw syntaxError(
      this.text,
      at,
      `nests deeper than ${queryLimits.nestingMax} levels of parentheses, operators and calls`,
    );
  }

  /** Throws if a list that already has `count` entries may not have another one. */
  room(count: number, max: number, what: string): void {
    if (count >= max) throw syntaxError(this.text, this.start, `there are more than ${max} ${what}`);
  }

  /** The current token as a parameter; goes on. */
  parameter(): number | string {
    const named = this.value !== "";
    if (named ? this.#positional > 0 : this.#named) {
      throw syntaxError(this.text, this.start, "? and :name cannot be used in one statement");
    }
    const name = named ? this.value : this.#positional++;
    this.#named = named;
    this.next();
    return name;
  }

  /** The current token is not what may stand here. */
  unexpected(expected: string): never {
    const { text, start, keyword } = this;
    if (this.kind === "word") {
      if (keyword === "SELECT") {
        throw syntaxError(text, start, "sub-queries are not supported");
      }
      const foreign = unsupported.get(upperAscii(this.value));
      if (foreign !== undefined) throw syntaxError(text, start, `${foreign} is not supported`, expected);
    }
    const hint = reserved.has(keyword) && / name|path/.test(` ${expected}`)
      ? ` ("${echo(this.value)}" in double quotes is a name)`
      : "";
    throw syntaxError(text, start, `found ${this.found()}${hint}`, expected);
  }

  /** The current token for a message. */
  found(): string {
    if (this.kind === "end") return "the end of the statement";
    const piece = echo(this.text.slice(this.start, this.end));
    return this.kind === "symbol" ? `"${piece}"` : piece;
  }
}
