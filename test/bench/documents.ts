/** The bench's documents: airline orders, 500 bytes of ASCII JSON each, the same ones in every run. */
import { prng } from "../../src/base/prng.ts";

export const documentBytes = 500;

const given = ["Amelia", "Bessie", "Charles", "Hanna", "Igor", "Louis", "Otto", "Wilbur"];
const family = ["Bleriot", "Coleman", "Earhart", "Lilienthal", "Reitsch", "Sikorsky", "Wright", "Zeppelin"];
const airports = ["AMS", "CGN", "DXB", "GRU", "ICN", "LIS", "NBO", "YYZ"];
const cabins = ["economy", "business", "first"];
export const states = ["confirmed", "ticketed", "pending", "cancelled"] as const;
const letters = "abcdefghijklmnopqrstuvwxyz      ";

/** `count` JSON texts. Numbers are whole: their text survives any parser. */
export function orders(count: number): string[] {
  const { below } = prng(20_261_121);
  const pick = (list: readonly string[]): string => list[below(list.length)]!;
  const flight = () => ({
    flightNumber: `DF${100 + below(900)}`,
    departureAirport: pick(airports),
    arrivalAirport: pick(airports),
    departureTime: new Date(1_790_000_000_000 + below(1e9) * 60).toISOString(),
    cabin: pick(cabins),
  });
  return Array.from({ length: count }, () => {
    const order = {
      pnr: below(36 ** 6).toString(36).toUpperCase().padStart(6, "0"),
      status: pick(states),
      passenger: { firstName: pick(given), lastName: pick(family) },
      flights: [flight(), flight()],
      fareCents: below(200_000),
      remarks: "",
    };
    const missing = documentBytes - JSON.stringify(order).length;
    order.remarks = Array.from({ length: missing }, () => letters[below(letters.length)]).join("");
    return JSON.stringify(order);
  });
}

/** The order with the locator of number `i`: no two orders of a collection that is filled with these have the same. */
export function numberedOrder(document: string, i: number): string {
  return `{"pnr":"${locatorOf(i)}"${document.slice(locatorEnd)}`;
}

/** The locator of number `i`. */
export function locatorOf(i: number): string {
  return i.toString(36).toUpperCase().padStart(6, "0");
}

const locatorEnd = '{"pnr":"000000"'.length;

/** The `i`th key of a run: as long for the first as for the last. */
export function keyOf(prefix: string, i: number): string {
  return prefix + String(i).padStart(9, "0");
}
