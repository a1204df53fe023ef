/** `POST /seed`: sample data, the same ones in every database. */
import * as v from "valibot";
import { seed } from "../engine/seed.ts";
import { seedOrdersDefault, seedOrdersMax } from "../engine/seed_data.ts";
import { json, positionHeader } from "./answers.ts";
import { optionalBodyOf } from "./control_body.ts";
import type { Gates, Handler, Route } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const seedBody = v.strictObject({
  orders: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(seedOrdersMax)),
    seedOrdersDefault,
  ),
});

export function seedRoute(dependencies: HttpDependencies, { onWrite }: Gates): Route {
  const { clock } = dependencies;
  const post: Handler = async (c) => {
    const { orders } = await optionalBodyOf(c.req.raw, seedBody);
    const startedMs = clock.monotonic();
    const made = await seed(dependencies, orders);
    return json(
      {
        success: true,
        ordersSeeded: made.orders,
        flightsSeeded: made.flights,
        indexesCreated: made.indexes,
        timeSeconds: Math.round(clock.monotonic() - startedMs) / 1000,
      },
      200,
      positionHeader(made.position),
    );
  };
  return { path: "/seed", post: onWrite(post) };
}
