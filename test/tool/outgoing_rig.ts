/** What tests of the outgoing task have in common. */
import { databaseIdOf, epochOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import type { DatabaseId, RunId } from "../../src/base/ids.ts";
import type { Destination } from "../../src/multimaster/destinations.ts";
import { readDestinations } from "../../src/multimaster/destinations.ts";
import type { Cursor, Place } from "../../src/multimaster/outgoing_events.ts";
import type { Term } from "../../src/storage/log.ts";

export const databaseOf = (digit: string): DatabaseId => databaseIdOf(digit.repeat(32));

/** A database has a run for each epoch. */
export function termOf(digit: string, epoch = 1): Term {
  return { epoch: epochOf(epoch), run: runOf(digit, epoch) };
}

export function placeOf(digit: string, seq: number, epoch = 1): Place {
  return { ...termOf(digit, epoch), seq: seqOf(seq) };
}

/** With nothing after it. */
export function cursorOf(digit: string, seq: number, epoch = 1): Cursor {
  const place = placeOf(digit, seq, epoch);
  return { ...place, asOf: place };
}

function runOf(digit: string, epoch: number): RunId {
  return runIdOf(digit + epoch.toString(16).padStart(31, "0"));
}

/** An entry as the document has it, read as the product reads it. */
export function destinationOf(entry: Readonly<Record<string, unknown>>): Destination {
  const { destinations, problems } = readDestinations(JSON.stringify({ Destinations: [entry] }));
  const [destination] = destinations;
  if (destination === undefined) throw new Error(problems[0]?.message ?? "no destination");
  return destination;
}

export const urlOf = (name: string): string => `http://${name}:5000`;
