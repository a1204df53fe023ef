import { keywordOf } from "./parse_words.ts";
import { echo, syntaxError } from "./syntax_error.ts";

export type TokenKind = "word" | "quoted" | "string" | "number" | "symbol" | "parameter" | "end";

const space = 0x20, doubleQuote = 0x22, singleQuote = 0x27, star = 0x2a, minus = 0x2d;
const point = 0x2e, slash = 0x2f, zero = 0x30, nine = 0x39, colon = 0x3a, equals = 0x3d, backslash = 0x5c;
const openBrace = 0x7b, closeBrace = 0x7d;
const signs = '()[]{},;.*=<>+-/%?!"';

/** For each ASCII code: 1 in a word, also its first; 2 a digit, in a word but not first; 0 neither. */
const wordCodes = new Uint8Array(128);
for (let code = 0; code < 128; code++) {
  if (code >= zero && code <= nine) wordCodes[code] = 2;
  else if (/[A-Za-z_]/.test(String.fromCharCode(code))) wordCodes[code] = 1;
}
const symbols: readonly string[] = Array.from({ length: 128 }, (_, code) => {
  const sign = String.fromCharCode(code);
  return signs.includes(sign) ? sign : "";
});

/** Reads a statement token by token. The fields tell the current token; nothing is read before it is asked for. */
export class Lexer {
  readonly text: string;
  kind: TokenKind = "end";
  /** Word or number as written, content of a string or quoted name, sign, name of a parameter ("" for `?`). */
  value = "";
  /** A word that is one of the language: in upper case. Else "". */
  keyword = "";
  /** Where the token begins and ends in the text. */
  start = 0;
  end = 0;
  /** Where the token before it ended. */
  previousEnd = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Goes on to the next token; throws `bad_request` for what is none. */
  next(): void {
    this.previousEnd = this.end;
    const start = this.start = this.#afterSpace(this.end);
    const code = this.text.charCodeAt(start);
    this.keyword = "";
    if (code >= 128) this.#wordBeyondAscii();
    else if (wordCodes[code] === 1) this.#word();
    else if (wordCodes[code] === 2) this.#number();
    else if (code === singleQuote) this.#string();
    else if (code === doubleQuote) this.#quoted();
    else if (start >= this.text.length) this.#set("end", "", start);
    else this.#sign(code);
  }

  /**
   * The text of the JSON object that begins with the current token, a `{`; goes on to the token after it. That braces
   * and quotes match is all that is looked at.
   */
  json(): string {
    const { text, start } = this;
    let depth = 0, inString = false;
    for (let at = start; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (inString) {
        if (code === backslash) at++;
        else if (code === doubleQuote) inString = false;
      } else if (code === doubleQuote) inString = true;
      else if (code === openBrace) depth++;
      else if (code === closeBrace && --depth === 0) {
        this.end = at + 1;
        const found = text.slice(start, at + 1);
        this.next();
        return found;
      }
    }
    throw syntaxError(text, start, `the JSON object that begins here is not closed`, inString ? '"' : "}");
  }

  #set(kind: TokenKind, value: string, end: number): void {
    this.kind = kind;
    this.value = value;
    this.end = end;
  }

  /** The first place from `at` on that is neither white space nor a comment. */
  #afterSpace(at: number): number {
    const { text } = this;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === space || (code >= 0x09 && code <= 0x0d)) at++;
      else if (code === minus && text.charCodeAt(at + 1) === minus) {
        const end = text.indexOf("\n", at);
        if (end < 0) return text.length;
        at = end + 1;
      } else if (code === slash && text.charCodeAt(at + 1) === star) {
        const end = text.indexOf("*/", at + 2);
        if (end < 0) throw syntaxError(text, at, "the comment that begins here is not closed", "*/");
        at = end + 2;
      } else return at;
    }
  }

  #word(): void {
    const { text, start } = this;
    let at = start + 1, code;
    while ((code = text.charCodeAt(at)) < 128 && wordCodes[code] !== 0) at++;
    if (code >= 128) return this.#wordBeyondAscii();
    const word = text.slice(start, at);
    this.#set("word", word, at);
    this.keyword = keywordOf(word);
  }

  #wordBeyondAscii(): void {
    const { text, start } = this;
    const pattern = /[\p{ID_Start}_][\p{ID_Continue}]*/uy;
    pattern.lastIndex = start;
    const word = pattern.exec(text)?.[0];
    if (word === undefined) return this.#strange();
    this.#set("word", word, start + word.length);
    if (/^\w+$/.test(word)) this.keyword = keywordOf(word);
  }

  #number(): void {
    const { text, start } = this;
    let at = afterDigits(text, start);
    const whole = at - start;
    if (text.charCodeAt(at) === point && isDigit(text, at + 1)) at = afterDigits(text, at + 1);
    if ((text.charCodeAt(at) | 0x20) === 0x65) {
      const sign = text.charCodeAt(at + 1), first = sign === 0x2b || sign === minus ? at + 2 : at + 1;
      if (isDigit(text, first)) at = afterDigits(text, first);
    }
    const code = text.charCodeAt(at);
    if (code >= 128 || (code < 128 && wordCodes[code] !== 0)) {
      const end = text.slice(at).search(/[^\w]/);
      const piece = text.slice(start, end < 0 ? undefined : at + end);
      throw syntaxError(text, start, `${echo(piece)} is neither a number nor a name`);
    }
    if (whole > 1 && text.charCodeAt(start) === zero) {
      throw syntaxError(text, start, `the number ${echo(text.slice(start, at))} begins with a needless 0`);
    }
    this.#set("number", text.slice(start, at), at);
  }

  #string(): void {
    const end = this.#closing(singleQuote, "'", "the string");
    const content = this.text.slice(this.start + 1, end);
    this.#set("string", content.includes("'") ? content.replaceAll("''", "'") : content, end + 1);
  }

  #quoted(): void {
    const end = this.#closing(doubleQuote, '"', "the quoted name");
    const content = this.text.slice(this.start + 1, end);
    this.#set("quoted", content.includes('"') ? content.replaceAll('""', '"') : content, end + 1);
  }

  /** Where the quote stands that closes what begins at the current token; two of them stand for one. */
  #closing(code: number, mark: string, what: string): number {
    const { text, start } = this;
    for (let at = text.indexOf(mark, start + 1); at >= 0; at = text.indexOf(mark, at + 2)) {
      if (text.charCodeAt(at + 1) !== code) return at;
    }
    throw syntaxError(text, start, `${what} that begins here is not closed`, mark);
  }

  #sign(code: number): void {
    const { text, start } = this;
    const sign = symbols[code] ?? "", after = text.charCodeAt(start + 1);
    if (code === colon) return this.#parameterName();
    if (sign === "" || (sign === "!" && after !== equals)) return this.#strange();
    if (sign === "?") return this.#set("parameter", "", start + 1);
    if (sign === "!") return this.#set("symbol", "!=", start + 2);
    if (sign === "<" && after === 0x3e) return this.#set("symbol", "!=", start + 2);
    if ((sign === "<" || sign === ">") && after === equals) {
      return this.#set("symbol", sign === "<" ? "<=" : ">=", start + 2);
    }
    if (sign === "=" && after === equals) throw syntaxError(text, start, "found ==", "one =");
    this.#set("symbol", sign, start + 1);
  }

  #parameterName(): void {
    const { text, start } = this;
    const first = text.charCodeAt(start + 1);
    if (!(first < 128 && wordCodes[first] === 1)) {
      throw syntaxError(text, start, "found :", "the name of a parameter right after it");
    }
    let at = start + 2;
    for (let code; (code = text.charCodeAt(at)) < 128 && wordCodes[code] !== 0;) at++;
    this.#set("parameter", text.slice(start + 1, at), at);
  }

  /** Refuses a character that begins no token. */
  #strange(): never {
    const { text, start } = this;
    const char = String.fromCodePoint(text.codePointAt(start) ?? 0);
    const code = (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const shown = /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char) ? `${char} (U+${code})` : `U+${code}`;
    const hint = char === "$" || char === "@"
      ? "; a parameter is written ? or :name, a name with this character in double quotes"
      : char === "`"
      ? "; a name is quoted with double quotes"
      : "";
    throw syntaxError(text, start, `the character ${shown} has no meaning here${hint}`);
  }
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= zero && code <= nine;
}

function afterDigits(text: string, at: number): number {
  while (isDigit(text, at)) at++;
  return at;
}

/** A piece of a statement without its white space and comments, but for those in strings and quoted names. */
export function withoutSpace(text: string, from: number, to: number): string {
  let at = from;
  for (; at < to; at++) {
    const code = text.charCodeAt(at);
    if (code <= space || code === slash || code === minus) break;
  }
  if (at === to) return text.slice(from, to);
  const lexer = new Lexer(text.slice(from, to));
  let kept = "";
  for (lexer.next(); lexer.kind !== "end"; lexer.next()) kept += lexer.text.slice(lexer.start, lexer.end);
  return kept;
}
