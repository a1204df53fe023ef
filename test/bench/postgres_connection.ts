/**
 * A client of one PostgreSQL connection (protocol 3, no password), with prepared statements, for the comparison in the
 * same run. The table is `orders(id text primary key, body jsonb)`.
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import { documentBytes } from "./documents.ts";
import type { Done, LoadConnection } from "./load_types.ts";
import { collection } from "./load_types.ts";
import { benchQueries, queryNames } from "./queries.ts";

const putSql =
  `insert into ${collection} values ($1, $2) on conflict (id) do update set body = excluded.body`;
const getSql = `select body::text from ${collection} where id = $1`;
const messageType = { authentication: 0x52, row: 0x44, failed: 0x45, copyIn: 0x47, ready: 0x5a };

interface Message {
  readonly type: number;
  readonly body: Buffer;
}

/** Sends bytes; `onMessage` sees what comes until the server is ready again, then `done` is called. */
type Exchange = (request: Buffer, done: Done, onMessage?: (message: Message) => void) => void;

export async function postgresConnection(port: number): Promise<LoadConnection> {
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
  const exchange = exchanger(socket);
  const command = (request: Buffer): Promise<void> =>
    new Promise((resolve, reject) =>
      exchange(request, (problem) => problem === null ? resolve() : reject(new Error(problem)))
    );
  await command(startup("postgres", "postgres"));
  const queries = queryNames.map((name) => parse(name, benchQueries[name].postgres));
  await command(Buffer.concat([parse("put", putSql), parse("get", getSql), ...queries, sync]));
  return {
    put: (key, document, done) => exchange(execute("put", [key, document]), done),
    get(key, done) {
      let length = 0;
      exchange(execute("get", [key]), (problem) => {
        done(problem ?? (length >= documentBytes ? null : `no document ${key}`));
      }, (message) => {
        if (message.type === messageType.row) length = message.body.length;
      });
    },
    bulk(keys, documents, done) {
      const rows = documents.map((document, i) => `${keys[i]}\t${document}\n`).join("");
      exchange(query(`copy ${collection} from stdin`), done, (message) => {
        if (message.type === messageType.copyIn) {
          socket.write(Buffer.concat([framed("d", Buffer.from(rows)), framed("c")]));
        }
      });
    },
    query(name, parameters, done) {
      let rows = 0;
      const expected = benchQueries[name].rows;
      exchange(execute(name, parameters.map(String)), (problem) => {
        done(problem ?? (rows === expected ? null : `the query ${name} gave ${rows} rows`));
      }, (message) => {
        if (message.type === messageType.row) rows++;
      });
    },
    close: () => void socket.destroy(),
  };
}

/** Runs statements one after another on a connection of their own; rejects with the server's message. */
export async function postgresQuery(port: number, statements: readonly string[]): Promise<void> {
  const socket = net.connect({ host: "127.0.0.1", port });
  const exchange = exchanger(socket);
  try {
    for (const request of [startup("postgres", "postgres"), ...statements.map(query)]) {
      await new Promise<void>((resolve, reject) => {
        exchange(request, (problem) => problem === null ? resolve() : reject(new Error(problem)));
      });
    }
  } finally {
    socket.destroy();
  }
}

function exchanger(socket: net.Socket): Exchange {
  let pending: Buffer = Buffer.alloc(0), broken: string | null = null, problem: string | null = null;
  let waiting: { readonly done: Done; readonly onMessage: (message: Message) => void } | null = null;
  const finish = (outcome: string | null): void => {
    const done = waiting?.done;
    waiting = null;
    problem = null;
    done?.(outcome);
  };
  const fail = (reason: string): void => {
    broken ??= reason;
    finish(broken);
  };
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => fail("the server closed the connection"));
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let at = 0;
    while (pending.length >= at + 5) {
      const end = at + 1 + pending.readUInt32BE(at + 1);
      if (pending.length < end) break;
      const message = { type: pending[at]!, body: pending.subarray(at + 5, end) };
      at = end;
      if (message.type === messageType.failed) {
        problem ??= message.body.toString("latin1").replaceAll("\0", " ");
      }
      if (message.type === messageType.authentication && message.body.readUInt32BE(0) !== 0) {
        fail("a password is asked for");
      }
      if (message.type === messageType.ready) finish(problem);
      else waiting?.onMessage(message);
    }
    pending = pending.subarray(at);
  });
  return (request, done, onMessage = () => {}) => {
    if (broken !== null) return done(broken);
    waiting = { done, onMessage };
    socket.write(request);
  };
}

function framed(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts), head = Buffer.alloc(5);
  head.write(type, "latin1");
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`);
const sync = framed("S");
const query = (sql: string): Buffer => framed("Q", text(sql));
const parse = (name: string, sql: string): Buffer => framed("P", text(name), text(sql), int16(0));

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function startup(user: string, database: string): Buffer {
  const protocol = int32(3 << 16);
  const body = Buffer.concat([
    protocol,
    text("user"),
    text(user),
    text("database"),
    text(database),
    Buffer.alloc(1),
  ]);
  return Buffer.concat([int32(body.length + 4), body]);
}

const executeOnce = framed("E", text(""), int32(0));

/** Bind, Execute, Sync with text parameters and results. */
function execute(statement: string, parameters: readonly string[]): Buffer {
  const values = parameters.flatMap((value) => [int32(Buffer.byteLength(value)), Buffer.from(value)]);
  const bind = framed(
    "B",
    text(""),
    text(statement),
    int16(0),
    int16(parameters.length),
    ...values,
    int16(0),
  );
  return Buffer.concat([bind, executeOnce, sync]);
}
