/** Mistakes in what feeds of changes tell. */
import { LogPieces } from "../../../src/engine/log_pieces.ts";
import { type Plant, wrap } from "./plant.ts";

function entryBetweenPieces(): () => void {
  return wrap(LogPieces.prototype, "after", (after) =>
    function (this: LogPieces, seq, entriesMax) {
      const entries = after.call(this, seq, entriesMax);
      return entries === "compacted" || seq === 0 || entries.length < 2 ? entries : entries.slice(1);
    });
}

export const feedPlants: Readonly<Record<string, Plant>> = {
  feed_skips_entry: {
    mistake: "a feed that goes on behind the end of the log begins one entry too far",
    plant: entryBetweenPieces,
  },
};
