/** An etcd without a network, at the time of a manual clock, and what may go wrong on the way to it. */
import type { Runtime } from "../../src/runtime/runtime.ts";
import { EtcdStore } from "../sim/etcd_store.ts";
import type { ManualClock } from "./manual_clock.ts";

/**
 * `refused`: nobody listens. `silent`: taken, not carried out, no answer. `late`: no answer, and carried out when
 * {@linkcode FakeEtcd.deliver} is called. `deaf`: carried out, no answer. `broken`: answers what is no etcd's.
 */
export type Trouble = "refused" | "silent" | "late" | "deaf" | "broken";

export class FakeEtcd {
  readonly store: EtcdStore;
  /** Paths in the order in which they were asked: `etcd1 /v3/kv/range`. */
  readonly asked: string[] = [];
  /** By host, or by path for all hosts. */
  readonly trouble = new Map<string, Trouble>();
  readonly #late: (() => void)[] = [];

  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
    this.store = new EtcdStore(() => clock.monotonic());
  }

  /** What was late arrives now. */
  deliver(): void {
    for (const run of this.#late.splice(0)) run();
  }

  /** A way takes 1 ms. */
  readonly fetch: Runtime["fetch"] = (input, init) => {
    const { hostname, pathname } = new URL(input), { body, signal } = init ?? {};
    this.asked.push(`${hostname} ${pathname}`);
    const ask = () => this.store.call(pathname, JSON.parse(String(body)));
    const trouble = this.trouble.get(hostname) ?? this.trouble.get(pathname);
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
      const after = (run: () => void): void => void this.#clock.timer(1, run);
      if (trouble === "refused") return after(() => reject(new TypeError("fetch failed")));
      if (trouble === "broken") return after(() => resolve(new Response("<html>", { status: 502 })));
      if (trouble === "deaf") return after(ask);
      if (trouble === "late") this.#late.push(ask);
      if (trouble !== undefined) return;
      after(() => {
        const { status, body: answer } = ask();
        after(() => resolve(Response.json(answer, { status })));
      });
    });
  };

  /** Text of a key; null: absent. */
  text(key: string): string | null {
    const { body } = this.store.call("/v3/kv/range", { key: btoa(key) });
    const kv = (body["kvs"] as { value?: string }[] | undefined)?.[0];
    return kv === undefined ? null : atob(kv.value ?? "");
  }

  /** As somebody else writes it, without a lease. */
  write(key: string, text: string): void {
    this.store.call("/v3/kv/put", { key: btoa(key), value: btoa(text) });
  }

  remove(key: string): void {
    this.store.call("/v3/kv/deleterange", { key: btoa(key) });
  }
}
