/** The simulator's connections keep the contract that those of the runtimes keep, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { plainConnectionSuite } from "../suites/runtime_plain_suite.ts";
import { tcpListenSuite } from "../suites/runtime_listen_suite.ts";
import { tcpStreamSuite } from "../suites/runtime_tcp_suite.ts";
import { netProcess } from "./net_tools.ts";
import { SimNetwork } from "./sim_net.ts";
import { World } from "./world.ts";

/** A process alone on its machine, whose time passes by itself for a virtual minute, as fast as it can. */
function running(streams: boolean): () => Runtime {
  return () => {
    const world = new World(1), network = new SimNetwork(world);
    network.streams = streams;
    const { runtime } = netProcess(world, network, "n1");
    void world.pass(60_000);
    return runtime;
  };
}

plainConnectionSuite("sim", running(false));
plainConnectionSuite("sim, streams only", running(true));
tcpStreamSuite("sim", running(false));
tcpListenSuite("sim", running(true));

test("connections with streams only have no plain form", async () => {
  const { net } = running(true)();
  const listener = await net.listen({ hostname: "localhost", port: 0, tls: null });
  const { signal } = new AbortController();
  const connection = await net.connect({ hostname: "n1", port: listener.port, tls: null, signal });
  assert.equal("plain" in connection, false);
  connection.abort(new Error("done"));
});
