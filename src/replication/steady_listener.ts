import { DfdbError, messageOf } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Connection, Listener, ListenOptions, Net } from "../runtime/net.ts";
import type { Clock } from "../runtime/runtime.ts";

/** Waiting times before a listener that failed is opened again: doubling from the first to the second, ms. */
export const relistenMinMs = 1_000, relistenMaxMs = 30_000;

export interface SteadyListenerOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly listen: ListenOptions;
  readonly accept: (connection: Connection) => void;
}

/** A listener that is opened again, at the same address, when it fails by itself. */
export class SteadyListener {
  readonly #options: SteadyListenerOptions;
  #listener: Listener;
  #open = true;
  #closed = false;
  #wake = (): void => {};
  /** Resolves when it is closed and nothing of it runs any more. */
  readonly finished: Promise<void>;

  constructor(options: SteadyListenerOptions, listener: Listener) {
    this.#options = options;
    this.#listener = listener;
    this.finished = this.#run();
  }

  /** Throws DfdbError `port_in_use` or `io_error`: only later failures are tried again. */
  static async open(options: SteadyListenerOptions): Promise<SteadyListener> {
    return new SteadyListener(options, await options.net.listen(options.listen));
  }

  get hostname(): string {
    return this.#listener.hostname;
  }

  get port(): number {
    return this.#listener.port;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    if (this.#open) await this.#listener.close();
    await this.finished;
  }

  async #run(): Promise<void> {
    const { logger } = this.#options;
    for (;;) {
      const reason = await this.#accept();
      if (this.#closed) return;
      logger.error("the replication listener failed; it is opened again", { reason });
      this.#open = false;
      await this.#listener.close().catch(() => {});
      if (!await this.#reopen()) return;
      logger.info("the replication listener is open again", { port: this.port });
    }
  }

  /** Accepts until the listener ends; why it did. */
  async #accept(): Promise<string> {
    try {
      for await (const connection of this.#listener) {
        if (this.#closed) connection.abort(new DfdbError("going_away", "the leader is stopping"));
        else this.#options.accept(connection);
      }
      return "it ended";
    } catch (thrown) {
      return messageOf(thrown);
    }
  }

  /** False when it was closed meanwhile. */
  async #reopen(): Promise<boolean> {
    const { net, listen, logger } = this.#options, again = { ...listen, port: this.port };
    for (let delayMs = relistenMinMs;; delayMs = Math.min(relistenMaxMs, 2 * delayMs)) {
      await this.#pause(delayMs);
      if (this.#closed) return false;
      try {
        this.#listener = await net.listen(again);
        this.#open = true;
        if (this.#closed) await this.#listener.close();
        return !this.#closed;
      } catch (thrown) {
        logger.warn("the replication port cannot be opened again yet", { reason: messageOf(thrown) });
      }
    }
  }

  #pause(delayMs: number): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.clock.timer(delayMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
