import type { QueryCatalog, QueryCollection } from "../query/catalog.ts";
import type { CollectionInfo, ReadView } from "../storage/storage.ts";

/** What a query has to know of a view: read as it is asked for, so it holds while the view does. */
export function catalogOf(view: ReadView): QueryCatalog {
  return {
    collection(name) {
      const info = view.collection(name);
      return info === null ? null : collectionOf(view, info);
    },
    names: () => view.collections().map(({ name }) => name).filter((name) => !name.startsWith("_")),
  };
}

function collectionOf(view: ReadView, { number, name, documents }: CollectionInfo): QueryCollection {
  const indexes = view.indexes(number).filter(({ ready, time }) => ready && !time);
  return {
    name,
    table: `docs_${number}`,
    documents,
    indexes: indexes.map((index) => ({
      name: index.name,
      table: `index_${index.number}`,
      paths: index.paths,
      unique: index.unique,
    })),
  };
}
