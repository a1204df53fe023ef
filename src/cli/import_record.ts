/** One document, or why there is none at that place. */
export type ImportRecord =
  & {
    /** From 1: the line (of CSV: the first one of the record), or the element of a JSON array. */
    readonly place: number;
  }
  & ({ readonly text: string } | { readonly error: string });
