/** Writes the sample data: what is there already is left as it is, so that whatever ended a run, another one makes it whole. */
import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { fieldSteps } from "../document/field_path.ts";
import type { Position } from "../storage/log.ts";
import type { IndexParts } from "./build_index.ts";
import { createIndex } from "./build_index.ts";
import { bulkInsert } from "./commands.ts";
import type { NewDocument } from "./commands.ts";
import type { Engine } from "./engine.ts";
import type { SeedDocument } from "./seed_data.ts";
import { seedFlight, seedFlights, seedIndexes, seedOrder } from "./seed_data.ts";

export interface SeedParts extends IndexParts {
  readonly engine: Pick<Engine, "submit" | "committed">;
}

/** What was not there before. */
export interface Seeded {
  readonly orders: number;
  readonly flights: number;
  readonly indexes: number;
  /** The end of the log that holds all of it. */
  readonly position: Position;
}

/**
 * The first `orders` orders, all flights, then the indexes; a slice at a time. Rejects with what a write rejects with, and where orders of
 * others have the same `pnr` with `duplicate_key`: what was written by then is kept.
 */
export async function seed(parts: SeedParts, orders: number): Promise<Seeded> {
  const ordersMade = await insertMissing(parts, "orders", orders, seedOrder);
  const flightsMade = await insertMissing(parts, "flights", seedFlights, seedFlight);
  let indexes = 0;
  for (const { name, collection, field, unique } of seedIndexes) {
    const definition = { name, unique, time: false, paths: [fieldSteps(field)] };
    try {
      await createIndex(parts, collection, definition, { createsCollection: true });
      indexes++;
    } catch (error) {
      if (!(error instanceof DfdbError) || error.code !== "conflict") throw error;
    }
  }
  return { orders: ordersMade, flights: flightsMade, indexes, position: parts.engine.committed.value };
}

/** Returns how many were not there. While one slice commits the next one is made. */
async function insertMissing(
  { engine, storage, clock }: SeedParts,
  collection: string,
  count: number,
  make: (index: number) => SeedDocument,
): Promise<number> {
  let inserted = 0, committing: Promise<number> = Promise.resolve(0);
  for (let at = 0; at < count; at += sliceDocuments) {
    const end = Math.min(count, at + sliceDocuments), documents: NewDocument[] = [];
    for (let index = at; index < end; index++) {
      const { id, text } = make(index);
      documents.push({ id, body: utf8(text) });
    }
    inserted += await committing;
    const missing = storage.read((view) => {
      const info = view.collection(collection);
      return info === null
        ? documents
        : documents.filter(({ id }) => view.documentSeq(info.number, id) === 0);
    });
    if (missing.length === 0) {
      committing = Promise.resolve(0);
      await new Promise<void>((resolve) => clock.macrotask(resolve));
      continue;
    }
    committing = engine.submit(bulkInsert(collection, missing)).then(({ value }) => {
      const refused = value.find((outcome) => "error" in outcome && outcome.error.code !== "duplicate_key");
      if (refused !== undefined && "error" in refused) throw refused.error;
      return value.filter((outcome) => "seq" in outcome).length;
    });
    committing.catch(() => {}); // it is waited for with the next slice
  }
  return inserted + await committing;
}

/** Made and looked up in one turn. */
const sliceDocuments = limits.bulkSliceDocuments / 2;
