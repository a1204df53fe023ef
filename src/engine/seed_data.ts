/**
 * Sample data: airline orders and flights, the same ones in every run. The order of a number does not depend on how many there are, so that a
 * larger set holds the smaller ones.
 */
import { assert } from "../base/assert.ts";
import type { DocumentId } from "../base/ids.ts";
import { documentIdOf } from "../base/ids.ts";
import type { Prng } from "../base/prng.ts";
import { prng } from "../base/prng.ts";

export const seedOrdersMax = 1_000_000, seedOrdersDefault = 500, seedFlights = 100;

/** A sample document; `text` is compact JSON without `_id`. */
export interface SeedDocument {
  readonly id: DocumentId;
  readonly text: string;
}

/** Indexes that go with the data. */
export const seedIndexes = [
  { name: "idx_orders_pnr", collection: "orders", field: "pnr", unique: true },
  { name: "idx_orders_lastname", collection: "orders", field: "passenger.lastName", unique: false },
  { name: "idx_orders_status", collection: "orders", field: "status", unique: false },
  { name: "idx_flights_number", collection: "flights", field: "flightNumber", unique: false },
  { name: "idx_flights_departure", collection: "flights", field: "departureAirport", unique: false },
] as const;

const seed = 42;
const minute = 60_000, hour = 60 * minute, day = 24 * hour;
/** Every date comes from here. */
const start = Date.UTC(2026, 0, 1);

const statuses = [
  ...Array<string>(4).fill("CONFIRMED"),
  ...Array<string>(2).fill("TICKETED"),
  "CANCELLED",
  "PENDING",
];
const firstNames = [
  "Ada",
  "Amelia",
  "Ben",
  "Carla",
  "Chidi",
  "Elif",
  "Emma",
  "Farid",
  "Grace",
  "Hugo",
  "Ines",
  "Jonas",
  "Kaito",
  "Lena",
  "Liam",
  "Mei",
  "Nadia",
  "Oskar",
  "Priya",
  "Rosa",
  "Samir",
  "Tomas",
  "Yara",
  "Zoe",
];
const lastNames = [
  "Almeida",
  "Becker",
  "Costa",
  "Dubois",
  "Eriksen",
  "Fischer",
  "Garcia",
  "Haddad",
  "Ivanov",
  "Jansen",
  "Kowalski",
  "Larsen",
  "Martin",
  "Nakamura",
  "Okafor",
  "Petrov",
  "Quinn",
  "Rossi",
  "Sato",
  "Tanaka",
  "Ueda",
  "Vargas",
  "Weber",
  "Yilmaz",
];
const airports = [
  "AMS",
  "ATL",
  "BCN",
  "CDG",
  "CPH",
  "DXB",
  "FRA",
  "GRU",
  "HND",
  "IST",
  "JFK",
  "LAX",
  "LHR",
  "MAD",
  "MUC",
  "SIN",
  "SYD",
  "YYZ",
  "ZRH",
];
const airlines = ["AF", "BA", "DL", "EK", "IB", "KL", "LH", "SQ", "TK", "UA"];
const aircraft = ["A220-300", "A320neo", "A321neo", "A330-900", "A350-900", "B737-8", "B777-300ER", "B787-9"];
const cabins = ["ECONOMY", "ECONOMY", "ECONOMY", "BUSINESS", "FIRST"];
const seats = { FIRST: 8, BUSINESS: 40, ECONOMY: 220 };
const payments = ["CREDIT_CARD", "DEBIT_CARD", "BANK_TRANSFER", "VOUCHER"],
  cards = ["VISA", "MASTERCARD", "AMEX"];
const currencies = ["EUR", "USD", "GBP"];
const remarks = [
  "Vegetarian meal requested",
  "Window seat preferred",
  "Wheelchair assistance to the gate",
  "Travels with an infant",
  "Frequent flyer number to be added",
  "Extra baggage, one piece of 23 kg",
];

/** Order number `index`, from 0 to {@linkcode seedOrdersMax} - 1. */
export function seedOrder(index: number): SeedDocument {
  assert(Number.isInteger(index) && index >= 0 && index < seedOrdersMax, "an order has a number");
  const numbers = numbersOf(index + 1);
  const firstName = pick(numbers, firstNames), lastName = pick(numbers, lastNames);
  const status = pick(numbers, statuses), createdMs = start - numbers.below(90 * day);
  const flights = segments(numbers, index, status);
  const fare = fareOf(numbers, flights.length);
  const issued = status === "CONFIRMED" || status === "TICKETED";
  return {
    id: documentIdOf(`seed-order-${padded(index + 1, 7)}`),
    text: JSON.stringify({
      pnr: pnr(index),
      status,
      createdAt: iso(createdMs),
      passenger: {
        firstName,
        lastName,
        email: `${firstName}.${lastName}${index + 1}@example.com`.toLowerCase(),
        phone: `+1-555-${padded(numbers.below(10_000_000), 7)}`,
        dateOfBirth: iso(start - 18 * 365 * day - numbers.below(60 * 365) * day).slice(0, 10),
      },
      flights,
      tickets: [{
        ticketNumber: `220-${padded(index + 1, 10)}`,
        passengerName: `${lastName}/${firstName}`.toUpperCase(),
        fare,
      }],
      payment: {
        method: pick(numbers, payments),
        cardType: pick(numbers, cards),
        lastFour: padded(numbers.below(10_000), 4),
        amount: fare.total,
        currency: fare.currency,
        status: issued ? "CAPTURED" : status === "PENDING" ? "AUTHORIZED" : "REFUNDED",
        paidAt: iso(createdMs + (1 + numbers.below(30)) * minute),
      },
      remarks: remarks.filter(() => numbers.below(4) === 0),
    }),
  };
}

/** Flight number `index`, from 0 to {@linkcode seedFlights} - 1. */
export function seedFlight(index: number): SeedDocument {
  const numbers = numbersOf(-index - 1);
  const [departureAirport, arrivalAirport] = route(numbers), airline = pick(numbers, airlines);
  const departureMs = start + numbers.below(60 * 24) * hour, inHours = 2 + numbers.below(12);
  return {
    id: documentIdOf(`seed-flight-${padded(index + 1, 3)}`),
    text: JSON.stringify({
      flightNumber: `${airline}${100 + index}`,
      operatingDate: iso(departureMs).slice(0, 10),
      departureAirport,
      arrivalAirport,
      scheduledDeparture: iso(departureMs),
      scheduledArrival: iso(departureMs + inHours * hour),
      aircraft: { type: pick(numbers, aircraft), registration: `D-${letters(numbers, 4)}` },
      capacity: Object.fromEntries(
        Object.entries(seats).map(([cabin, total]) => {
          const sold = numbers.below(total + 1);
          return [cabin, { total, sold, available: total - sold }];
        }),
      ),
      status: pick(numbers, ["SCHEDULED", "SCHEDULED", "SCHEDULED", "DELAYED", "BOARDING"]),
    }),
  };
}

/** One way, or there and back. */
function segments(numbers: Prng, index: number, orderStatus: string): readonly unknown[] {
  const [from, to] = route(numbers), airline = pick(numbers, airlines), cabin = pick(numbers, cabins);
  let departureMs = start + numbers.below(180 * 24) * hour;
  return Array.from({ length: 1 + numbers.below(2) }, (_, leg) => {
    const arrivalMs = departureMs + (90 + numbers.below(600)) * minute;
    const segment = {
      segmentId: `S${padded(index + 1, 7)}-${leg + 1}`,
      flightNumber: `${airline}${100 + numbers.below(900)}`,
      airline,
      departureAirport: leg === 0 ? from : to,
      arrivalAirport: leg === 0 ? to : from,
      departureTime: iso(departureMs),
      arrivalTime: iso(arrivalMs),
      cabin,
      status: orderStatus === "CANCELLED" ? "CANCELLED" : "SCHEDULED",
      aircraft: pick(numbers, aircraft),
    };
    departureMs = arrivalMs + (2 + numbers.below(12)) * day;
    return segment;
  });
}

function fareOf(numbers: Prng, legs: number) {
  const baseCents = legs * (4_900 + numbers.below(90_000)), taxCents = Math.round(baseCents * 0.19);
  return {
    baseFare: baseCents / 100,
    taxes: taxCents / 100,
    total: (baseCents + taxCents) / 100,
    currency: pick(numbers, currencies),
  };
}

/** Eight characters, another one for every order: the factor has no divisor in common with 36. */
function pnr(index: number): string {
  return ((index * 7_346_291_159 + 1_234_567_891_011) % 36 ** 8).toString(36).toUpperCase().padStart(8, "0");
}

/** A generator of its own for each document; the factor is odd, so no two have the same seed. */
function numbersOf(number: number): Prng {
  return prng(Math.imul(number, 0x2545f491) ^ seed);
}

function route(numbers: Prng): readonly [from: string, to: string] {
  const from = numbers.below(airports.length), further = 1 + numbers.below(airports.length - 1);
  return [airports[from]!, airports[(from + further) % airports.length]!];
}

function pick<Item>(numbers: Prng, items: readonly Item[]): Item {
  return items[numbers.below(items.length)]!;
}

function letters(numbers: Prng, count: number): string {
  return Array.from({ length: count }, () => String.fromCharCode(0x41 + numbers.below(26))).join("");
}

function padded(number: number, digits: number): string {
  return String(number).padStart(digits, "0");
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
