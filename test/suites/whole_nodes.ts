/** Whole nodes with their HTTP API on real ports, inside this process. */
import { silentLogger } from "../../src/base/logger.ts";
import type { RunningNode } from "../../src/node/node.ts";
import { startNode } from "../../src/node/node.ts";
import type { Settings } from "../../src/node/settings.ts";
import { defaultSettings } from "../../src/node/settings.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { freePorts } from "../tool/ports.ts";
import type { Body, RequestOptions } from "./http_fixture.ts";
import { told } from "./http_fixture.ts";
import { inFolder } from "./storage_fixture.ts";

export interface ServedNode {
  readonly name: string;
  readonly node: RunningNode;
  readonly url: string;
  /** On which it leads, or would. */
  readonly wirePort: number;
  request(method: string, path: string, options?: RequestOptions): Promise<Response>;
  post(path: string, body?: unknown): Promise<Response>;
  put(id: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  status(): Promise<Body>;
  stop(): Promise<void>;
}

/** Nodes of one test by their names; one that is started again is the same node. */
export class WholeNodes {
  readonly #runtime: Runtime;
  readonly #folder: string;
  readonly #running = new Map<string, ServedNode>();
  readonly #ports = new Map<string, readonly [http: number, wire: number]>();

  constructor(runtime: Runtime, folder: string) {
    this.#runtime = runtime;
    this.#folder = folder;
  }

  /** HTTP and wire port of `name`, the same at each start. */
  async ports(name: string): Promise<readonly [http: number, wire: number]> {
    const ports = this.#ports.get(name) ?? await freePorts(2) as [number, number];
    this.#ports.set(name, ports);
    return ports;
  }

  folderOf(name: string): string {
    return `${this.#folder}/${name}`;
  }

  async start(name: string, given: Partial<Settings> = {}): Promise<ServedNode> {
    const runtime = this.#runtime, [port, wirePort] = await this.ports(name);
    const quick = { heartbeatMs: 50, leaderStartMs: 2_000, replicationPort: wirePort };
    const settings = {
      ...defaultSettings(),
      ...quick,
      nodeName: name,
      port,
      dataDir: this.folderOf(name),
      ...given,
    };
    const node = await startNode(runtime, settings, silentLogger), url = `http://127.0.0.1:${port}`;
    const request: ServedNode["request"] = (method, path, { headers = {}, body } = {}) =>
      runtime.fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    const served: ServedNode = {
      name,
      node,
      url,
      wirePort,
      request,
      post: (path, body) =>
        request("POST", `/replication/${path}`, body === undefined ? {} : { body: JSON.stringify(body) }),
      put: (id, headers = {}) => request("PUT", `/collections/orders/${id}`, { body: '{"n":1}', headers }),
      status: async () => (await told(request("GET", "/replication/status"))).body,
      stop: async () => {
        this.#running.delete(name);
        await node.stop();
      },
    };
    this.#running.set(name, served);
    return served;
  }

  /** A leader. */
  lead(name: string, given: Partial<Settings> = {}): Promise<ServedNode> {
    return this.start(name, { replicationRole: "leader", ...given });
  }

  /** A follower of `leader`, connected. */
  async follow(name: string, leader: string, given: Partial<Settings> = {}): Promise<ServedNode> {
    const [, leaderPort] = await this.ports(leader);
    const follower = await this.start(name, {
      replicationRole: "follower",
      leaderHost: "127.0.0.1",
      leaderPort,
      ...given,
    });
    await this.until(() => follower.node.replication.following?.status().state === "streaming");
    return follower;
  }

  /** Resolves when `holds`; asks every 20 ms. */
  async until(holds: () => boolean | Promise<boolean>): Promise<void> {
    while (!await holds()) {
      await new Promise<void>((resolve) => void this.#runtime.clock.timer(20, resolve));
    }
  }

  async stopAll(): Promise<void> {
    for (const node of this.#running.values()) await node.stop();
  }
}

/** Runs `run` with nodes of its own; all are stopped and removed afterwards. */
export function withNodes(runtime: Runtime, run: (nodes: WholeNodes) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const nodes = new WholeNodes(runtime, folder);
    try {
      await run(nodes);
    } finally {
      await nodes.stopAll();
    }
  });
}
