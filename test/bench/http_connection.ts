/**
 * A client of one HTTP/1.1 connection with one request in flight, made to cost little: the load generator shares the
 * machine with the server. Every reply is checked to be whole and to have the status it should.
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import { documentBytes } from "./documents.ts";
import type { Done, LoadConnection } from "./load_types.ts";
import { collection } from "./load_types.ts";
import { benchQueries } from "./queries.ts";

interface Reply {
  readonly status: number;
  readonly body: string;
  /** Bytes of the whole reply. */
  readonly length: number;
}

type OnReply = (status: number, body: string) => void;

export async function httpConnection(port: number): Promise<LoadConnection> {
  const socket = await dial(port);
  const exchange = exchanger(socket);
  const head = `host: 127.0.0.1:${port}\r\n`;
  const withBody = `${head}content-type: application/json\r\ncontent-length: `;
  const path = `/collections/${collection}`;
  return {
    put(key, document, done) {
      const request = `PUT ${path}/${key} HTTP/1.1\r\n${withBody}${document.length}\r\n\r\n${document}`;
      exchange(request, done, (status, body) => {
        if ((status === 201 || status === 200) && body.endsWith("}")) done(null);
        else done(`PUT answered ${status} ${body.slice(0, 200)}`);
      });
    },
    get(key, done) {
      exchange(`GET ${path}/${key} HTTP/1.1\r\n${head}\r\n`, done, (status, body) => {
        if (status === 200 && body.length >= documentBytes && body.endsWith("}")) done(null);
        else done(`GET ${key} answered ${status} ${body.slice(0, 200)}`);
      });
    },
    bulk(keys, documents, done) {
      const text = `[${
        documents.map((document, i) => `{"_id":"${keys[i]}",${document.slice(1)}`).join(",")
      }]`;
      exchange(
        `POST ${path}/bulk HTTP/1.1\r\n${withBody}${text.length}\r\n\r\n${text}`,
        done,
        (status, body) => {
          if (status === 200 && body.includes(`"count":${documents.length},`)) done(null);
          else done(`bulk answered ${status} ${body.slice(0, 200)}`);
        },
      );
    },
    query(name, parameters, done) {
      const { sql, rows } = benchQueries[name];
      const text = JSON.stringify({ sql, params: parameters });
      exchange(
        `POST /query HTTP/1.1\r\n${withBody}${text.length}\r\n\r\n${text}`,
        done,
        (status, body) => {
          if (status === 200 && body.endsWith("]}") && body.includes(`"count":${rows},`)) done(null);
          else done(`the query ${text} answered ${status} ${body.slice(0, 200)}`);
        },
      );
    },
    close: () => void socket.destroy(),
  };
}

function dial(port: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

/** A function that sends one request and passes on its reply; `done` is told when the connection breaks. */
function exchanger(socket: net.Socket): (request: string, done: Done, onReply: OnReply) => void {
  let pending: Buffer | null = null,
    waiting: { done: Done; onReply: OnReply } | null = null,
    broken: string | null = null;
  const fail = (problem: string): void => {
    broken ??= problem;
    const done = waiting?.done;
    waiting = null;
    done?.(broken);
  };
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => fail("the server closed the connection"));
  socket.on("data", (chunk: Buffer) => {
    const bytes: Buffer = pending === null ? chunk : Buffer.concat([pending, chunk]);
    const reply = parseReply(bytes);
    pending = reply === null ? bytes : null;
    if (reply === null) return;
    if (waiting === null || reply.length !== bytes.length) return fail("the server sent more than the reply");
    const { onReply } = waiting;
    waiting = null;
    onReply(reply.status, reply.body);
  });
  return (request, done, onReply) => {
    if (broken !== null) return done(broken);
    waiting = { done, onReply };
    socket.write(request, "latin1");
  };
}

/** Null when it is not whole yet. Documents and answers are ASCII, so one byte is one character. */
function parseReply(bytes: Buffer): Reply | null {
  const text = bytes.toString("latin1");
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const status = Number(text.slice(9, 12)), start = headEnd + 4;
  const announced = /\r\ncontent-length: *(\d+)/i.exec(text);
  if (announced !== null && announced.index < headEnd) {
    const length = start + Number(announced[1]);
    return text.length < length ? null : { status, body: text.slice(start, length), length };
  }
  return /\r\ntransfer-encoding: *chunked/i.test(text.slice(0, headEnd))
    ? parseChunks(status, text, start)
    : { status, body: "", length: start };
}

function parseChunks(status: number, text: string, start: number): Reply | null {
  let body = "", at = start;
  while (true) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const size = parseInt(text.slice(at, lineEnd), 16);
    const dataEnd = lineEnd + 2 + size;
    if (text.length < dataEnd + 2) return null;
    body += text.slice(lineEnd + 2, dataEnd);
    at = dataEnd + 2;
    if (size === 0) return { status, body, length: at };
  }
}
