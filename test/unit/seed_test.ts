import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { crc32 } from "../../src/base/crc32.ts";
import { documentBody } from "../../src/document/json_text.ts";
import { seedFlight, seedFlights, seedOrder, seedOrdersMax } from "../../src/engine/seed_data.ts";

const limits = { bytesMax: 1e6, nestingMax: 100 };

test("seed data: every order has its own id and pnr, its fields, and at least 500 bytes", () => {
  const ids = new Set<string>(), pnrs = new Set<string>(), states = new Map<string, number>();
  const some = 8_000;
  for (let i = 0; i < some; i++) {
    const index = i < some / 2 ? i : seedOrdersMax - 1 - (i - some / 2) * 97;
    const { id, text } = seedOrder(index), order = JSON.parse(text);
    assert.ok(text.length >= 500 && text.length < 2_000, `${text.length}`);
    assert.match(order.pnr, /^[0-9A-Z]{8}$/);
    assert.deepEqual(Object.keys(order), [
      "pnr",
      "status",
      "createdAt",
      "passenger",
      "flights",
      "tickets",
      "payment",
      "remarks",
    ]);
    assert.ok(order.flights.length === 1 || order.flights.length === 2);
    for (const { departureTime, arrivalTime, departureAirport, arrivalAirport } of order.flights) {
      assert.ok(departureTime < arrivalTime && departureAirport !== arrivalAirport);
    }
    ids.add(id);
    pnrs.add(order.pnr);
    states.set(order.status, (states.get(order.status) ?? 0) + 1);
  }
  assert.deepEqual([ids.size, pnrs.size], [some, some]);
  const share = (state: string): number => Math.round(8 * (states.get(state) ?? 0) / some);
  assert.deepEqual(["CONFIRMED", "TICKETED", "CANCELLED", "PENDING"].map(share), [4, 2, 1, 1]);
});

test("seed data: texts are stored as they are, and are the same ones on every runtime", () => {
  let sum = 0;
  const texts = [
    ...Array.from({ length: 500 }, (_, i) => seedOrder(i).text),
    ...Array.from({ length: seedFlights }, (_, i) => seedFlight(i).text),
  ];
  for (const text of texts) {
    const bytes = utf8(text);
    assert.equal(documentBody(bytes, limits).body, bytes);
    sum = crc32(bytes, sum);
  }
  assert.equal(sum, 2_594_454_734);
  const numbers = new Set(
    Array.from({ length: seedFlights }, (_, i) => JSON.parse(seedFlight(i).text).flightNumber),
  );
  assert.ok(numbers.size > 50);
});
