/**
 * One wire port for all databases of a node: those that listen on the same port share one listener, and each connection goes to the one
 * that its hello names. Afterwards nothing stands between them.
 */
import { DfdbError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Listener, ListenOptions, Net } from "../runtime/net.ts";
import type { Clock } from "../runtime/runtime.ts";
import { SharedPort } from "./shared_port.ts";

export interface SharedPortsOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Lower case; those, too, that do not listen. */
  readonly databases: () => ReadonlySet<string>;
}

export class SharedPorts {
  readonly #options: SharedPortsOptions;
  /** Null: it could not be opened. */
  readonly #ports = new Map<number, Promise<SharedPort | null>>();

  constructor(options: SharedPortsOptions) {
    this.#options = options;
  }

  /** The net as `database` has it. */
  netFor(database: string): Net {
    return {
      listen: (options) => this.#listen(database.toLowerCase(), options),
      connect: (options) => this.#options.net.connect(options),
    };
  }

  async #listen(database: string, options: ListenOptions): Promise<Listener> {
    const { port } = options;
    for (let there = this.#there(port); there !== undefined; there = this.#there(port)) {
      const shared = await there, door = shared?.join(database, options.hostname) ?? null;
      if (door !== null) return door;
      await shared?.over;
    }
    const opening = this.#options.net.listen(options)
      .then((listener) => new SharedPort({ ...this.#options, listener }));
    const kept = opening.catch(() => null);
    if (port !== 0) this.#ports.set(port, kept);
    try {
      const shared = await opening;
      if (port === 0) this.#ports.set(shared.port, kept);
      void shared.over.then(() => this.#forget(shared.port, kept));
      const door = shared.join(database, options.hostname);
      if (door !== null) return door;
    } catch (error) {
      this.#forget(port, kept);
      throw error;
    }
    throw new DfdbError("io_error", "the replication port was closed while it was opened");
  }

  #there(port: number): Promise<SharedPort | null> | undefined {
    return port === 0 ? undefined : this.#ports.get(port);
  }

  #forget(port: number, kept: Promise<SharedPort | null>): void {
    if (this.#ports.get(port) === kept) this.#ports.delete(port);
  }
}
