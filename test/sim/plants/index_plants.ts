/** Mistakes in how indexes are kept. */
import { Indexes } from "../../../src/storage/sqlite/index_state.ts";
import { type Plant, wrap } from "./plant.ts";

function firstOfSliceLeftOut(): () => void {
  return wrap(Indexes.prototype, "with", (own) =>
    function (this: Indexes, index) {
      const { nextRow, endRow } = index;
      return own.call(this, nextRow + 1 < endRow ? { ...index, nextRow: nextRow + 1 } : index);
    });
}

export const indexPlants: Readonly<Record<string, Plant>> = {
  index_skips_document: {
    mistake: "the document at which a slice begins is left out when an index is filled",
    features: true,
    plant: firstOfSliceLeftOut,
  },
};
