/** What `?violations=true` needs of the node: declared here, implemented by `node/`. */

/** Each count is of one state, and reads as much as it counts. Rejects with `busy`, `closing`, `io_error`. */
export interface Violations {
  /**
   * By the name of a unique index: documents with a key that one made earlier on this node has too. One that is being filled, or would have
   * taken too long, is not in it.
   */
  ofIndexes(collection: string): Promise<ReadonlyMap<string, number>>;
  /**
   * Documents that do not meet this schema, given as its JSON text. Null: it would have taken too long, or this version cannot
   * read the schema.
   */
  ofSchema(collection: string, schema: string): Promise<number | null>;
}
