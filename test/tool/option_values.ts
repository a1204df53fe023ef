/** Values of commander's options: each throws the sentence that is shown for a wrong one. */
import { InvalidArgumentError } from "commander";

export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("A number above 0 is expected.");
  return value;
}

export function positiveWhole(text: string): number {
  const value = positive(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError("A whole number is expected.");
  return value;
}

/** Reads names of `all`, with commas between them; they come in the order of `all`. `what`: one of them is a ... */
export function someOf<Name extends string>(all: readonly Name[], what: string): (text: string) => Name[] {
  return (text) => {
    const names = text.split(",").map((name) => name.trim());
    const unknown = names.find((name) => !all.some((known) => known === name));
    if (unknown !== undefined) throw new InvalidArgumentError(`There is no ${what} "${unknown}".`);
    return all.filter((name) => names.includes(name));
  };
}
