/** `dfdb repl`, with somebody at the keys and out of a pipe; the editor of lines itself. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import test from "node:test";
import { lineEditor } from "../../adapters/shared/terminal.ts";
import { inFolder } from "../suites/storage_fixture.ts";
import type { Levers } from "../tool/cli_rig.ts";
import { runCli } from "../tool/cli_rig.ts";
import { embedded } from "../tool/embedding.ts";

async function withShop(run: (file: string, folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const file = `${folder}/shop.dfdb`, db = await embedded.openDatabase(file);
    try {
      await db.put("orders", "a", { total: 12.5, name: "日本" });
      await db.createIndex("orders", "total", { name: "by_total", unique: true });
    } finally {
      await db.close();
    }
    await run(file, folder);
  });
}

test("repl: statements over lines, several in one, words, and the end", async () => {
  await withShop(async (file, folder) => {
    const { code, out, err, prompts } = await runCli(["repl", file], {
      columns: 60,
      env: { XDG_STATE_HOME: folder, NO_COLOR: "1" },
      typed: [
        "SELECT _id, total",
        "FROM orders -- ; not yet",
        "; SELECT name FROM orders; SELECT",
        { kind: "interrupt" },
        ".tables",
        ".indexes orders",
        ".schema orders",
        ".mode json",
        ".plan off",
        "SELECT total FROM orders;",
        "SELECT x FRM orders;",
        ".mode what",
        ".nope",
      ],
    });
    assert.equal(code, 0);
    assert.match(
      out,
      /^dfdb [\d.]+, .*shop\.dfdb; \.help names the words, \^D ends\n_id {2}total\na {5}12\.5\n/,
    );
    assert.ok(out.includes("name\n") && out.includes("日本\n"), out);
    assert.match(out, /COLLECTION {2}DOCUMENTS\norders +1\n/);
    assert.match(out, /orders +by_total +total +unique +1\n/);
    assert.match(out, /no schema is set\nFIELD +TYPE +IN\n[^]*total +number +100 %\n/);
    assert.match(out, /\{[^\n]*"total":12\.5\}\n\n$/);
    assert.deepEqual(prompts.slice(0, 5), ["dfdb> ", " ...> ", " ...> ", " ...> ", "dfdb> "]);
    assert.equal(err.match(/^1 row, .* m?s$/gm)?.length, 2);
    assert.match(
      err,
      /found FRM \(line 1, column 10\)[^]* {11}\^\nERROR: \.mode wants one of table, json, csv/,
    );
    assert.match(err, /ERROR: there is no \.nope; \.help names what there is \(bad_request\)\n$/);
    const kept = readFileSync(`${folder}/dfdb/history`, "utf8");
    assert.ok(
      kept.startsWith("SELECT _id, total FROM orders -- ; not yet ;\nSELECT name FROM orders;\n.tables\n"),
      kept,
    );
  });
});

test("repl: what was typed before is there again, newest first; where nothing can be kept it works all the same", async () => {
  await withShop(async (file, folder) => {
    const typed = ["SELECT _id FROM orders;", ".tables", "SELECT _id FROM orders;", ".quit", "never"];
    const env = { HOME: folder };
    await runCli(["repl", file], { typed, env });
    const { history } = await runCli(["repl", file], { typed: [], env });
    assert.deepEqual(history, [".quit", "SELECT _id FROM orders;", ".tables"]);
    writeFileSync(`${folder}/a_file`, "");
    const { code, out } = await runCli(["repl", file], {
      typed: [".mode json", "SELECT total FROM orders;"],
      env: { XDG_STATE_HOME: `${folder}/a_file` },
    });
    assert.equal(code, 0);
    assert.match(out, /"total":12\.5/);
  });
});

test("repl: ^C stops the statement that runs, and the next one is asked for", async () => {
  let levers: Levers | null = null;
  const asked: string[] = [];
  const { code, err } = await runCli(["repl", "http://n"], {
    env: {},
    typed: ["SELECT 1;", ".mode json", "SELECT 2;"],
    fetch: (_, init = {}) => {
      asked.push(String(init.body));
      levers?.controlC();
      return init.signal?.aborted === true
        ? Promise.reject(init.signal.reason)
        : Promise.reject(new TypeError("it was not stopped"));
    },
  }, (given) => levers = given);
  assert.equal(code, 0);
  assert.deepEqual(asked, ['{"sql":"SELECT 1"}', '{"sql":"SELECT 2"}']);
  assert.equal(err.match(/ERROR: stopped by \^C \(closing\)/g)?.length, 2);
});

test("repl: a signal ends it", async () => {
  let levers: Levers | null = null;
  const { prompts, err } = await runCli(["repl", "http://n"], {
    env: {},
    typed: ["SELECT 1;", "SELECT 2;"],
    fetch: (_, init = {}) => {
      levers?.interrupt();
      return Promise.reject(init.signal?.reason);
    },
  }, (given) => levers = given);
  assert.equal(prompts.length, 1);
  assert.match(err, /stopped by SIGINT/);
});

test("repl: out of a pipe there are no prompts, the last statement needs no ;, a refusal is the exit code", async () => {
  await withShop(async (file) => {
    const good = await runCli(["repl", file], {
      stdin: ["SELECT total ", "FROM orders;\n\nSELECT total\nFROM orders"],
    });
    assert.equal(good.code, 0, good.err);
    assert.deepEqual([good.prompts, good.err], [[], ""]);
    assert.equal(good.out.match(/"total":12\.5/g)?.length, 2);
    const bad = await runCli(["repl", file], { stdin: [".nope\nSELECT total FROM orders;\n"] });
    assert.equal(bad.code, 1);
    assert.match(bad.out, /"total":12\.5/);
  });
});

test("the editor gives lines, ^C and ^D, and what was pasted before it was asked for", async () => {
  const input = new PassThrough(), output = new PassThrough();
  let shown = "";
  output.on("data", (chunk: Uint8Array) => shown += new TextDecoder().decode(chunk));
  const editor = lineEditor({ history: ["older line"], historyMax: 10 }, { input, output });
  const first = editor.line("> ");
  input.write("SELECT 1;\rSELECT 2;\r");
  assert.deepEqual(await first, { kind: "line", text: "SELECT 1;" });
  assert.deepEqual(await editor.line("> "), { kind: "line", text: "SELECT 2;" });
  let interrupted = 0;
  const unlisten = editor.onInterrupt(() => interrupted++);
  const dropped = editor.line("> ");
  input.write("half a lin\u0003");
  assert.deepEqual(await dropped, { kind: "interrupt" });
  assert.equal(interrupted, 0);
  const next = editor.line("> ");
  input.write("whole\r");
  assert.deepEqual(await next, { kind: "line", text: "whole" });
  const ran = new Promise<void>((resolve) => editor.onInterrupt(resolve));
  input.write("\u0003");
  await ran;
  assert.equal(interrupted, 1);
  unlisten();
  const last = editor.line("> ");
  input.write("\u0004");
  assert.deepEqual(await last, { kind: "end" });
  assert.deepEqual(await editor.line("> "), { kind: "end" });
  assert.ok(shown.includes("> "));
  editor.close();
});

test("the editor brings lines of the history back", async () => {
  const input = new PassThrough(), output = new PassThrough();
  output.resume();
  const editor = lineEditor({ history: ["newest", "older"], historyMax: 10 }, { input, output });
  const line = editor.line("> ");
  input.write("\u001b[A\u001b[A\r");
  assert.deepEqual(await line, { kind: "line", text: "older" });
  editor.close();
});
