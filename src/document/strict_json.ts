import stripJsonComments from "strip-json-comments";

/** `text` as strict JSON: with the comma after the last entry, and the comments, that a document written by hand may have. */
export function strictJson(text: string): string {
  return stripJsonComments(text.replace(/^\uFEFF/, ""), { trailingCommas: true });
}
