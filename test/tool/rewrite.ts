import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

/** True when expected outputs are to be written anew instead of compared: `DFDB_REWRITE=1`. */
export const rewriting: boolean = process.env.DFDB_REWRITE === "1";

/** The text of a file beside `base`, "" when it does not exist. */
export function readBeside(base: string, name: string): string {
  try {
    return readFileSync(new URL(name, base), "utf8");
  } catch {
    return "";
  }
}

export function writeBeside(base: string, name: string, text: string): void {
  writeFileSync(new URL(name, base), text);
}
