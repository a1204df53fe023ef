/** The command line as a user meets it, on every runtime. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import type { RuntimeName } from "../tool/node_process.ts";
import { projectFolder, runtimeBinary, startNodeProcess, waitForHealth } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import { eventually } from "./cluster.ts";

const runtimes: readonly RuntimeName[] = ["node", "deno", "bun"];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line that ends by itself. */
function run(
  runtime: RuntimeName,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ended> {
  const main = join(projectFolder, "adapters", runtime, "main.ts");
  const child = spawn(runtimeBinary(runtime), [...(runtime === "deno" ? ["run", "-A"] : []), main, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
  });
  let stdout = "", stderr = "";
  child.stdout.on("data", (chunk) => stdout += chunk);
  child.stderr.on("data", (chunk) => stderr += chunk);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}

function folder(): string {
  return mkdtempSync(join(tmpdir(), "dfdb-cli-"));
}

for (const runtime of runtimes) {
  test(`${runtime}: help and version answer 0, mistakes answer 1 with one clear line`, async () => {
    const help = await run(runtime, ["serve", "--help"]);
    assert.equal(help.code, 0, help.stderr);
    for (const flag of ["--config", "--replication-role", "--leader-host", "--auto-failover-seconds"]) {
      assert.ok(help.stdout.includes(flag), `${flag} is in the help`);
    }
    assert.match((await run(runtime, [])).stdout, /serve/);
    assert.match((await run(runtime, ["version"])).stdout, /^dfdb \d+\.\d+\.\d+\n/);
    assert.match((await run(runtime, ["--version"])).stdout, /^dfdb \d+\.\d+\.\d+\n/);
    const mistakes: [readonly string[], RegExp][] = [
      [["sreve"], /sreve/],
      [["serve", "--prot", "1"], /--prot/],
      [["serve", "--port"], /--port/],
      [["serve", "--port", "many"], /--port: expected a port/],
      [["serve", "extra"], /too many arguments/],
      [["serve", "--replication-role", "follower"], /--leader-host/],
      [["serve", "--replication-mode", "physical"], /physical replication is not built yet/],
      [["serve", "--config", "no-such-file.json"], /no-such-file\.json/],
    ];
    for (const [args, message] of mistakes) {
      const { code, stderr, stdout } = await run(runtime, args);
      assert.equal(code, 1, `${args.join(" ")}: ${stdout}${stderr}`);
      assert.match(stderr, message);
      assert.match(stderr, /^ERROR: /);
      assert.doesNotMatch(stderr, /\.ts:\d+/, "no stack");
    }
  });

  test(`${runtime}: a taken port and data in use are named, and nothing is left behind`, async () => {
    const root = folder(), taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const port = (taken.address() as AddressInfo).port;
    const busy = await run(runtime, ["serve", "--port", String(port), "--data-dir", root]);
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, new RegExp(`^ERROR: .*\\b${port}\\b.*in use`));
    const wire = ["--replication-role", "leader", "--replication-port", String(port)];
    const [free] = await freePorts(1);
    const busyWire = await run(runtime, ["serve", "--port", String(free), "--data-dir", root, ...wire]);
    assert.equal(busyWire.code, 1);
    assert.match(busyWire.stderr, new RegExp(`^ERROR: .*\\b${port}\\b.*in use`, "m"));
    await new Promise((resolve) => taken.close(resolve));
    const node = startNodeProcess({ runtime, args: ["serve", "--port", String(port), "--data-dir", root] });
    await waitForHealth(node, `http://127.0.0.1:${port}`);
    const second = await run(runtime, ["serve", "--port", String(free), "--data-dir", root]);
    assert.equal(second.code, 1);
    assert.match(
      second.stderr,
      new RegExp(`^ERROR: .*\\b${node.pid}\\b`),
      "names the process that holds the data",
    );
    assert.equal(await node.stop(), 0);
    rmSync(root, { recursive: true });
  });

  test(`${runtime}: flags win over environment and file; the banner says what runs; SIGINT ends with 0`, async () => {
    const root = folder(), [port, other] = await freePorts(2);
    const config = join(root, "node.json");
    writeFileSync(
      config,
      `{ // a node\n "nodeName": "from-file", "port": ${other}, "dataDir": ${
        JSON.stringify(join(root, "d"))
      } }`,
    );
    const node = startNodeProcess({
      runtime,
      args: ["serve", "--config", config, "--port", String(port)],
      env: { DFDB_NODE_NAME: "from-env", DFDB_PORT: String(other), DFDB_REPLICATION_SECRET: "never-shown" },
    });
    await waitForHealth(node, `http://127.0.0.1:${port}`);
    node.signal("SIGINT");
    assert.equal(await node.exited, 0, node.output());
    const shown = node.output().replace(/[ \t]+/g, " ");
    assert.match(
      shown,
      /^dfdb serve\n node: from-env\n data dir: \/.*\n listening: http:\/\/localhost:\d+\n/,
    );
    assert.ok(shown.includes(" security: API key OFF | TLS OFF | replication-secret ON\n"));
    assert.ok(shown.includes(" replication: OFF (single node)\n"));
    assert.ok(!shown.includes("never-shown"));
    assert.ok(!node.output().includes("\u001b"), "no colours into a pipe");
    rmSync(root, { recursive: true });
  });
}

test("npm run serve, deno task serve and bun run serve each start a node on their runtime", async () => {
  const npm = join(dirname(process.execPath), process.platform === "win32" ? "npm.cmd" : "npm");
  const starts: [RuntimeName, string, readonly string[]][] = [
    ["node", existsSync(npm) ? npm : "npm", ["run", "serve", "--"]],
    ["deno", runtimeBinary("deno"), ["task", "serve"]],
    ["bun", runtimeBinary("bun"), ["run", "serve"]],
  ];
  for (const [runtime, program, args] of starts) {
    const root = folder(), [port] = await freePorts(1);
    // A process group of its own: the script runner may not pass a signal on.
    const child = spawn(program, [...args, "--port", String(port), "--data-dir", root], {
      cwd: projectFolder,
      env: { ...process.env, PATH: `${join(projectFolder, "node_modules", ".bin")}:${process.env["PATH"]}` },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    child.stdout.on("data", (chunk) => output += chunk);
    child.stderr.on("data", (chunk) => output += chunk);
    const closed = new Promise((resolve) => child.on("close", resolve));
    try {
      await eventually(
        `${runtime} serving`,
        async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok || null,
        60_000,
      )
        .catch((error) => assert.fail(`${error}\n${output}`));
      assert.match(output, new RegExp(`version: +\\d+\\.\\d+\\.\\d+ on ${runtime} `));
    } finally {
      process.kill(-(child.pid as number), "SIGTERM");
      await closed;
      rmSync(root, { recursive: true });
    }
    assert.match(output, /stopped\n/);
  }
});
