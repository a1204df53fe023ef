import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import type { Precondition } from "../engine/commands.ts";
import { etagText } from "../storage/position_text.ts";
import { PreconditionFailed } from "./failures.ts";

const anything: Precondition = () => {};
/** One entity tag and the comma or end after it: quoted or bare, with or without `W/`. */
const tag = /[ \t]*(?:W\/)?(?:"([\x21\x23-\x7e]*)"|([\x21\x23-\x2b\x2d-\x7e]+))[ \t]*(?:,|$)/y;

/** What `If-Match` and `If-None-Match` of a write to one document demand; throws `bad_request` when they cannot be read. */
export function precondition(headers: Headers): Precondition {
  const match = headers.get("if-match");
  const noneMatch = headers.get("if-none-match");
  if (match === null && noneMatch === null) return anything;
  if (match !== null && noneMatch !== null) {
    throw new DfdbError("bad_request", "If-Match and If-None-Match exclude each other");
  }
  if (match !== null) return ifMatch(match);
  if (noneMatch?.trim() !== "*") throw new DfdbError("bad_request", "If-None-Match takes * only");
  return mustNotExist;
}

function mustNotExist(current: Seq): void {
  if (current === 0) return;
  throw new PreconditionFailed("The document exists", null, current);
}

function ifMatch(header: string): Precondition {
  const tags = header.trim() === "*" ? null : entityTags(header);
  return (current, { terms }) => {
    if (tags === null) {
      if (current === 0) throw new DfdbError("not_found", "There is no such document");
      return;
    }
    if (current !== 0 && tags.includes(etagText(terms, current))) return;
    throw new PreconditionFailed(
      current === 0 ? "There is no such document" : "The document was changed in between",
      tags.join(", "),
      current,
    );
  };
}

function entityTags(header: string): readonly string[] {
  const tags: string[] = [];
  tag.lastIndex = 0;
  while (tag.lastIndex < header.length) {
    const found = tag.exec(header);
    if (found === null) throw new DfdbError("bad_request", 'If-Match is not "*" or a list of etags');
    tags.push(found[1] ?? found[2] ?? "");
  }
  if (tags.length === 0 || tags.includes("*")) {
    throw new DfdbError("bad_request", 'If-Match is not "*" or a list of etags');
  }
  return tags;
}
