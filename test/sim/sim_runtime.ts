/** The fourth runtime: virtual clock, seeded chance, a network and files in memory; SQLite on real files of its own. */
import { createHash, createHmac } from "node:crypto";
import { certificates } from "../../adapters/shared/certificates.ts";
import { DfdbError } from "../../src/base/errors.ts";
import type { HttpHandler, HttpHost } from "../../src/runtime/http_host.ts";
import type { Files } from "../../src/runtime/files.ts";
import type { ProcessHost, Runtime } from "../../src/runtime/runtime.ts";
import { SimNet } from "./sim_net.ts";
import { simWorkers } from "./sim_workers.ts";
import { plainFiles } from "../tool/plain_files.ts";
import type { World } from "./world.ts";

/** What the machines of one world share: addresses are `port` alone, there is one host. */
export class SimNetwork {
  readonly net: SimNet;
  readonly #http = new Map<number, HttpHandler>();
  readonly world: World;

  constructor(world: World) {
    this.world = world;
    this.net = new SimNet(world);
  }

  readonly http: HttpHost = {
    serve: ({ hostname, port, handler }) => {
      if (this.#http.has(port)) {
        return Promise.reject(new DfdbError("port_in_use", `port ${port} is already in use`));
      }
      this.#http.set(port, handler);
      return Promise.resolve({
        hostname,
        port,
        close: () => {
          this.#http.delete(port);
          return Promise.resolve();
        },
      });
    },
  };

  /** A request as a client would send it, after a network delay. */
  readonly fetch = (url: string, init?: RequestInit): Promise<Response> =>
    new Promise((resolve, reject) => {
      this.world.timer(this.world.between(0.1, 2), () => {
        const handler = this.#http.get(Number(new URL(url).port));
        if (handler === undefined) return reject(new TypeError("connection refused"));
        Promise.resolve(handler(new Request(url, init), { hostname: "127.0.0.1" })).then(resolve, reject);
      });
    });
}

/** A runtime for one simulated machine. `files` outlive the processes on it. */
export function simRuntime(network: SimNetwork, files: Files): Runtime {
  const { world } = network;
  return {
    name: "sim",
    version: "1",
    clock: world,
    random: world.random,
    net: network.net,
    http: network.http,
    files,
    process: simProcess,
    workers: simWorkers(world),
    fetch: network.fetch,
    crypto: {
      sha256: (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
      hmacSha256: (key, bytes) => new Uint8Array(createHmac("sha256", key).update(bytes).digest()),
    },
    certificates,
    crashPoint: () => {},
  };
}

const simProcess: ProcessHost = {
  pid: 1,
  hostname: "sim",
  args: [],
  env: {},
  cwd: () => "/",
  stdout: () => {},
  stderr: () => {},
  stdoutIsTerminal: false,
  columns: null,
  onStopSignal: () => () => {},
  memoryBytes: () => 0,
  exit: (code) => {
    throw new Error(`exit ${code}`);
  },
};

/**
 * Small files in memory; folders, and files that are opened (snapshots, rescue files), are real ones below `root`, because
 * SQLite reads and writes them too.
 */
export function memoryFiles(root: string): Files {
  const content = new Map<string, Uint8Array>();
  const directory = (path: string): string => path.slice(0, path.lastIndexOf("/"));
  return {
    ...plainFiles,
    read: (path) => Promise.resolve(content.get(path) ?? null),
    writeAtomic: (path, bytes) => Promise.resolve(void content.set(path, bytes.slice())),
    remove: (path) => content.delete(path) ? Promise.resolve() : plainFiles.remove(path),
    size: (path) => {
      const kept = content.get(path);
      return kept === undefined ? plainFiles.size(path) : Promise.resolve(kept.length);
    },
    list: async (path) => {
      const small = [...content.keys()].filter((key) => directory(key) === path);
      return [...await plainFiles.list(path), ...small.map((key) => key.slice(path.length + 1))].sort();
    },
    absolute: (path) => path.startsWith(root) ? path : `${root}/${path}`,
    join: (...parts) => parts.join("/"),
    directory,
  };
}
