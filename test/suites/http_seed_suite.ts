import assert from "node:assert/strict";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const counts = ({ ordersSeeded, flightsSeeded, indexesCreated }: Body) => [
  ordersSeeded,
  flightsSeeded,
  indexesCreated,
];

async function documents({ storage }: Pick<TestNode, "storage">): Promise<Body> {
  return Object.fromEntries(
    storage.read((view) => view.collections().map(({ name, documents }) => [name, documents])),
  );
}

/** Sample data. */
export function seedSuite(it: It): void {
  it("sample data, in the reference's shape", async ({ request, storage }) => {
    const answer = await request("POST", "/seed");
    assert.match(answer.headers.get("x-dfdb-position") ?? "", /./);
    const { status, body } = await told(answer);
    assert.deepEqual(Object.keys(body), [
      "success",
      "ordersSeeded",
      "flightsSeeded",
      "indexesCreated",
      "timeSeconds",
    ]);
    assert.deepEqual([status, body["success"], ...counts(body)], [200, true, 500, 100, 5]);
    assert.equal(typeof body["timeSeconds"], "number");
    assert.deepEqual(await documents({ storage }), { orders: 500, flights: 100 });
    const indexes = storage.read((view) =>
      view.collections().flatMap(({ number }) =>
        view.indexes(number).map(({ name, unique, ready, entries, paths }) =>
          `${name} ${paths[0]!.join(".")} ${unique} ${ready} ${entries}`
        )
      )
    );
    assert.deepEqual(indexes.sort(), [
      "idx_flights_departure departureAirport false true 100",
      "idx_flights_number flightNumber false true 100",
      "idx_orders_lastname passenger.lastName false true 500",
      "idx_orders_pnr pnr true true 500",
      "idx_orders_status status false true 500",
    ]);
    const order = (await told(request("GET", "/collections/orders/seed-order-0000001"))).body;
    for (const member of ["passenger", "flights", "tickets", "payment", "remarks", "createdAt"]) {
      assert.equal(typeof order[member], member === "createdAt" ? "string" : "object", member);
    }
    assert.match(order["pnr"], /^[0-9A-Z]{8}$/);
    const flight = (await told(request("GET", "/collections/flights/seed-flight-001"))).body;
    assert.deepEqual(Object.keys(flight["capacity"]), ["FIRST", "BUSINESS", "ECONOMY"]);
  });

  it("sample data again: nothing twice; more of it: only what is new", async ({ request, storage }) => {
    const seed = async (orders: number) => {
      const { status, body } = await told(
        request("POST", "/seed", { body: JSON.stringify({ orders }) }),
      );
      assert.equal(status, 200);
      return counts(body);
    };
    assert.deepEqual(await seed(20), [20, 100, 5]);
    assert.deepEqual(await seed(20), [0, 0, 0]);
    await request("DELETE", "/collections/orders/seed-order-0000003");
    await request("PUT", "/collections/orders/seed-order-0000004", { body: '{"own":true}' });
    assert.deepEqual(await seed(1_000), [981, 0, 0]);
    assert.deepEqual(await documents({ storage }), { orders: 1_000, flights: 100 });
    const { body } = await told(request("GET", "/collections/orders/seed-order-0000004"));
    assert.equal(body["own"], true, "what somebody changed stays");
    assert.deepEqual(await seed(0), [0, 0, 0]);
  });

  it("sample data: what is refused changes nothing", async ({ request, storage, state }) => {
    for (const orders of [-1, 1.5, 1_000_001, "500", null]) {
      await refused(
        request("POST", "/seed", { body: JSON.stringify({ orders }) }),
        400,
        "bad_request",
      );
    }
    await refused(request("POST", "/seed", { body: "[]" }), 400, "bad_request");
    state.readOnly = true;
    await refused(request("POST", "/seed"), 503, "read_only");
    state.readOnly = false;
    state.role = "follower";
    await refused(request("POST", "/seed"), 421, "not_leader");
    assert.deepEqual(await documents({ storage }), {});
  });
}
