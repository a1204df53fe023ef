/** The worker thread that reads for queries: one connection, one statement at a time, chunk by chunk as they are asked for. */
import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { seqOf } from "../base/ids.ts";
import type {
  FromQueryThread,
  QueryThreadInput,
  ThreadFailure,
  ThreadReading,
  ToQueryThread,
} from "../engine/query_messages.ts";
import { lookFunction } from "../query/compile_slots.ts";
import { rowWriter } from "../query/result_rows.ts";
import type { Resident } from "../runtime/workers.ts";
import type { Position } from "../storage/log.ts";
import { etagText } from "../storage/position_text.ts";
import { QueryReader } from "../storage/sqlite/query_reader.ts";
import type { SqlValue } from "../storage/storage.ts";

type Cells = readonly SqlValue[];

/** Thrown inside a statement that is to end; never seen outside. */
class Stopped extends Error {}

interface Running extends ThreadReading {
  readonly id: number;
  readonly rows: IterableIterator<Cells>;
  /** Null: cells are given as they are. */
  readonly write: ((cells: Cells) => string) | null;
  /** Chunks that may still be sent. */
  credit: number;
  details: readonly string[] | null;
}

/** Opens its connection when it is first asked for something. */
export function queryThread(
  { path, stop }: QueryThreadInput,
  post: (message: FromQueryThread) => void,
): Resident {
  const cell = new Int32Array(stop);
  let reader: QueryReader | null = null, running: Running | null = null, current = 0;
  let at: Position | null = null;
  const look = (): void => {
    if (Atomics.load(cell, 0) === current) throw new Stopped("the reading was stopped");
  };
  const opened = (): QueryReader => reader ??= new QueryReader(path, { name: lookFunction, run: look });

  /** Of the state that is read, once. */
  const told = (): Position | null => {
    const once = at;
    at = null;
    return once;
  };
  /** Runs `run`; what it throws ends the reading. */
  const guarded = (id: number, run: () => void): void => {
    try {
      run();
    } catch (thrown) {
      const left = thrown instanceof Stopped || Atomics.load(cell, 0) === id;
      over();
      post(left ? { type: "left", id } : { type: "failed", id, at: told(), failure: failureOf(thrown) });
    }
  };
  const over = (): void => {
    const rows = running?.rows;
    running = null;
    current = 0;
    rows?.return?.();
    reader?.end();
  };
  const begin = (id: number, reading: ThreadReading): void => {
    const { sql, values, output, tables, explain, ahead } = reading;
    current = id;
    at = null;
    look();
    const from = opened(), begun = from.begin(tables);
    at = begun.at;
    if (!begun.expected) {
      current = 0;
      return post({ type: "stale", id, at: told() });
    }
    const details = explain ? from.explain(sql, values) : null;
    const write = output === "cells" ? null : rowWriter(output, (seq) => etagText(from.terms(), seqOf(seq)));
    running = { ...reading, id, rows: from.rows(sql, values), write, credit: ahead, details };
    send(running);
  };
  const send = (reading: Running): void => {
    for (; reading.credit > 0; reading.credit--) {
      const { rows, last } = chunkOf(reading, look);
      if (last) over();
      post({ type: "chunk", id: reading.id, at: told(), rows, last, details: reading.details });
      reading.details = null;
      if (last) return;
    }
  };
  return {
    receive(message) {
      const order = message as ToQueryThread, { id } = order;
      if (order.type === "read") return guarded(id, () => begin(id, order));
      if (running === null || running.id !== id) return;
      if (order.type === "leave") {
        over();
        return post({ type: "left", id });
      }
      const reading = running;
      reading.credit++;
      if (reading.credit === 1) guarded(id, () => send(reading));
    },
    close() {
      over();
      reader?.close();
    },
  };
}

function chunkOf(
  { rows, write }: Running,
  look: () => void,
): { readonly rows: string[] | Cells[]; readonly last: boolean } {
  const texts: string[] = [], cells: Cells[] = [];
  for (let chars = 0; chars < limits.queryChunkChars;) {
    look();
    const step = rows.next();
    if (step.done === true) {
      look(); // or what was cut could pass for the end
      return { rows: write === null ? cells : texts, last: true };
    }
    if (write === null) {
      cells.push(step.value);
      for (const cell of step.value) chars += typeof cell === "string" ? cell.length : 8;
    } else {
      const text = write(step.value);
      texts.push(text);
      chars += text.length;
    }
    if (texts.length + cells.length >= limits.queryChunkRows) break;
  }
  return { rows: write === null ? cells : texts, last: false };
}

function failureOf(thrown: unknown): ThreadFailure {
  if (thrown instanceof DfdbError) {
    return { code: thrown.code, message: thrown.message, details: thrown.details };
  }
  return { code: "internal", message: `the query failed: ${messageOf(thrown)}`, details: {} };
}
