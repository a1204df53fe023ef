// Measures the row layouts that src/storage/DESIGN.md chooses between: documents and one log row each, one
// transaction with fsync per batch. Plain JavaScript without imports from src/, so that it can be kept and repeated.
//   <runtime> test/bench/layouts.mjs [folder] [documents] [repeats] [layout,layout...]
// Prints one line per layout and order: thousands of operations a second, the median of the repeats.
import { DatabaseSync } from "node:sqlite";
import fs from "node:fs";
import process from "node:process";

const runtime = globalThis.Deno ? "deno" : globalThis.Bun ? "bun" : "node";
const args = process.argv.slice(2);
const folder = args[0] ?? "/tmp", documents = Number(args[1] ?? 60_000), repeats = Number(args[2] ?? 3);
const batch = 1_000;
const encoder = new TextEncoder(), decoder = new TextDecoder();

const columns = "seq INTEGER NOT NULL, created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, " +
  "flags INTEGER NOT NULL DEFAULT 0, vector BLOB";
const rowid = (type) =>
  `CREATE TABLE docs (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body ${type} NOT NULL, ${columns})`;
const bytesOf = (body) => body, textOf = (body) => decoder.decode(body);
const layouts = {
  textString: { table: rowid("TEXT"), body: "?", bind: textOf, select: "body" },
  textCast: { table: rowid("TEXT"), body: "CAST(? AS TEXT)", bind: bytesOf, select: "body" },
  textCastTail: {
    // The body last: short columns are read without stepping over it.
    table:
      `CREATE TABLE docs (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ${columns}, body TEXT NOT NULL)`,
    body: "CAST(? AS TEXT)",
    bind: bytesOf,
    select: "body",
  },
  blob: { table: rowid("BLOB"), body: "?", bind: bytesOf, select: "CAST(body AS TEXT)" },
  withoutRowid: {
    table: `CREATE TABLE docs (id TEXT PRIMARY KEY NOT NULL, body TEXT NOT NULL, ${columns}) WITHOUT ROWID`,
    body: "CAST(? AS TEXT)",
    bind: bytesOf,
    select: "body",
  },
  jsonb: { table: rowid("BLOB"), body: "jsonb(CAST(? AS TEXT))", bind: bytesOf, select: "json(body)" },
};

function order(i) {
  return JSON.stringify({
    airline: "LH",
    flight: `LH${400 + (i % 500)}`,
    from: "FRA",
    to: "JFK",
    passenger: `Passenger Number ${i}`,
    email: `passenger.${i}@example.org`,
    seat: `${1 + (i % 40)}${"ABCDEF"[i % 6]}`,
    class: "economy",
    price: 412.5 + (i % 300),
    currency: "EUR",
    status: "confirmed",
    bags: i % 3,
    meals: ["vegetarian", "water"],
    departure: "2025-06-01T10:25:00Z",
    arrival: "2025-06-01T13:05:00Z",
    note: "window seat if possible, near the front of the cabin; needs assistance at the gate",
    tags: ["web", "mobile", "loyalty-gold"],
    gate: `B${i % 60}`,
    terminal: 1,
  });
}

function open(path) {
  for (const end of ["", "-wal", "-shm"]) fs.rmSync(path + end, { force: true });
  const db = new DatabaseSync(path);
  db.exec(
    "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0",
  );
  db.exec("PRAGMA cache_size = -16384");
  return db;
}

const payloadOf = (id, body) => {
  const payload = new Uint8Array(body.length + id.length + 12);
  payload.set(body, payload.length - body.length);
  return payload;
};

/** Operations a second of `count` calls of `run(i)`. */
function rate(count, run) {
  const from = performance.now();
  run();
  return count / ((performance.now() - from) / 1000);
}

function batches(db, count, run) {
  for (let at = 0; at < count; at += batch) {
    db.exec("BEGIN IMMEDIATE");
    for (let i = at; i < Math.min(count, at + batch); i++) run(i);
    db.exec("COMMIT");
    if (at % (8 * batch) === 0) db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  }
}

function logWriter(db, rowsAtOnce) {
  db.exec(
    "CREATE TABLE log (seq INTEGER PRIMARY KEY, term INTEGER NOT NULL, chain INTEGER NOT NULL, " +
      "wall_ms INTEGER NOT NULL, payload BLOB NOT NULL)",
  );
  const many = db.prepare(`INSERT INTO log VALUES ${Array(rowsAtOnce).fill("(?,?,?,?,?)").join(",")}`);
  let waiting = [];
  return (seq, payload) => {
    waiting.push(seq, 1, (seq * 2654435761) >>> 0, 1750000000000 + seq, payload);
    if (waiting.length < 5 * rowsAtOnce) return;
    many.run(...waiting);
    waiting = [];
  };
}

function measure(name, ids, rowsAtOnce) {
  const layout = layouts[name], path = `${folder}/layouts-${runtime}.db`, db = open(path), result = {};
  db.exec(layout.table);
  const bodies = ids.map((_, i) => encoder.encode(order(i)));
  const log = logWriter(db, rowsAtOnce);
  const insert = db.prepare(
    `INSERT INTO docs (id, body, seq, created_ms, modified_ms) VALUES (?, ${layout.body}, ?, ?, ?)`,
  );
  const update = db.prepare(
    `UPDATE docs SET body = ${layout.body}, seq = ?, modified_ms = ? WHERE id = ? AND seq = ?`,
  );
  const get = db.prepare(
    `SELECT ${layout.select} AS body, seq, created_ms, modified_ms FROM docs WHERE id = ?`,
  );
  result.insert = rate(ids.length, () =>
    batches(db, ids.length, (i) => {
      insert.run(ids[i], layout.bind(bodies[i]), i + 1, 1750000000000, 1750000000000);
      log(i + 1, payloadOf(ids[i], bodies[i]));
    }));
  const some = Math.min(ids.length, 20_000), step = 7919;
  result.update = rate(some, () =>
    batches(db, some, (i) => {
      const at = (i * step) % ids.length;
      if (
        update.run(layout.bind(bodies[at]), ids.length + i + 1, 1750000000001, ids[at], at + 1).changes !== 1
      ) throw at;
      log(ids.length + i + 1, payloadOf(ids[at], bodies[at]));
    }));
  result.get = rate(some, () => {
    for (let i = 0; i < some; i++) if (get.get(ids[(i * step) % ids.length]).body.length < 300) throw i;
  });
  const page = db.prepare(
    "SELECT seq, term, chain, wall_ms, payload FROM log WHERE seq > ? ORDER BY seq LIMIT 1000",
  );
  result.logScan = rate(ids.length, () => {
    for (let after = 0; after < ids.length; after += 1000) page.all(after);
  });
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  result.bytesPerDocument = fs.statSync(path).size / ids.length * 1000;
  db.close();
  for (const end of ["", "-wal", "-shm"]) fs.rmSync(path + end, { force: true });
  return result;
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
let state = 1;
const scrambled = () =>
  (state = (Math.imul(state, 1664525) + 1013904223) >>> 0).toString(16).padStart(8, "0");
const orders = {
  ordered: Array.from({ length: documents }, (_, i) => `order-${String(i).padStart(12, "0")}`),
  random: Array.from({ length: documents }, (_, i) => `order-${scrambled()}${i.toString(16)}`),
};
const names = args[3] ? args[3].split(",") : Object.keys(layouts);
const variants = names.map((name) => [name, 1]);
if (!args[3]) variants.push(["textCast", 4], ["textCast", 16]);
for (const [kind, ids] of Object.entries(orders)) {
  const runs = variants.map(() => []);
  for (let i = 0; i < repeats; i++) {
    variants.forEach(([name, rows], v) => runs[v].push(measure(name, ids, rows)));
  }
  variants.forEach(([name, rows], v) => {
    const line = Object.keys(runs[v][0]).map((key) =>
      `${key} ${(median(runs[v].map((r) => r[key])) / 1000).toFixed(1)}`
    );
    console.log(`${runtime} ${kind} ${name} log rows at once ${rows}: ${line.join(", ")}`);
  });
}
