/** Fills a server with numbered orders, over its own protocol. */
import { keyOf, numberedOrder, orders } from "./documents.ts";
import { httpConnection } from "./http_connection.ts";
import type { LoadConnection } from "./load_types.ts";
import { collection } from "./load_types.ts";
import type { Target } from "./measure.ts";
import { postgresConnection, postgresQuery } from "./postgres_connection.ts";
import { benchIndexes } from "./queries.ts";

/** Of the keys of numbered orders. */
export const orderPrefix = "order-";

const ordersMade = 20_000, batch = 1_000;

/** The `i`th order as JSON text, without its key. */
export function orderTexts(): (i: number) => string {
  const made = orders(ordersMade);
  return (i) => numberedOrder(made[i % ordersMade]!, i);
}

/** So many orders, numbered from 0; throws when one is not taken. */
export async function fill({ server, driver }: Target, count: number): Promise<void> {
  const order = orderTexts(); // before there is a connection: a server does not wait long for the first request
  const connection = await (driver === "http" ? httpConnection : postgresConnection)(server.port);
  try {
    for (let first = 0; first < count; first += batch) {
      const numbers = Array.from({ length: Math.min(batch, count - first) }, (_, i) => first + i);
      await bulk(connection, numbers.map((i) => keyOf(orderPrefix, i)), numbers.map(order));
    }
  } finally {
    connection.close();
  }
}

/** The indexes of the queries; what knows statistics gets them. */
export async function makeIndexes({ server, driver }: Target): Promise<void> {
  if (driver === "postgres") {
    const indexes = benchIndexes.map(({ unique, postgres }) =>
      `create ${unique ? "unique " : ""}index on ${collection}(${postgres})`
    );
    return await postgresQuery(server.port, [...indexes, `vacuum analyze ${collection}`]);
  }
  for (const { path, unique } of benchIndexes) {
    const response = await fetch(`http://127.0.0.1:${server.port}/index`, {
      method: "POST",
      body: JSON.stringify({ collection, path, unique }),
      signal: AbortSignal.timeout(120_000),
    });
    if (!response.ok) throw new Error(`no index on ${path}: ${await response.text()}`);
  }
}

function bulk(
  connection: LoadConnection,
  keys: readonly string[],
  documents: readonly string[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.bulk(keys, documents, (problem) => {
      if (problem === null) resolve();
      else reject(new Error(`Could not fill the server: ${problem}`));
    });
  });
}
