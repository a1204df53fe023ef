/** The keys of one database in etcd, and the calls that this node makes. Numbers of 64 bits stay decimal text. */
import { utf8, utf8Text } from "../../base/bytes.ts";
import type { DatabaseId } from "../../base/ids.ts";
import { type EtcdGateway, EtcdRefusal, type Json, notFound } from "./gateway.ts";

/** `leader` is bound to the leader's lease; the others outlive every lease. */
export type KeyName = "leader" | "epoch" | "sync";

export interface KeyState {
  /** Null: bytes that are no text. */
  readonly text: string | null;
  readonly modRevision: string;
  /** Id of the lease that it is bound to; "0": none. */
  readonly lease: string;
}

/** All three at one moment; null: absent. */
export type KeysSeen = Readonly<Record<KeyName, KeyState | null>>;

/** `unchanged`: as it was seen, absent if it was absent. `lease`: bound to this lease. */
export type Compare =
  | { readonly key: KeyName; readonly unchanged: KeyState | null }
  | { readonly key: KeyName; readonly lease: string };

export interface Put {
  readonly key: KeyName;
  readonly text: string;
  /** The lease to bind it to. */
  readonly lease?: string;
}

/** How long one endpoint may take, ms. */
export interface CallLimits {
  readonly renewMs: number;
  readonly otherMs: number;
}

export class EtcdKeys {
  readonly #gateway: EtcdGateway;
  readonly #databaseId: () => DatabaseId;
  readonly #limits: CallLimits;

  constructor(gateway: EtcdGateway, databaseId: () => DatabaseId, limits: CallLimits) {
    this.#gateway = gateway;
    this.#databaseId = databaseId;
    this.#limits = limits;
  }

  async grant(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlMs: number }> {
    const answer = await this.#call("/v3/lease/grant", { TTL: `${ttlSeconds}` });
    const id = answer["ID"], ttlMs = Number(answer["TTL"]) * 1000;
    if (typeof id !== "string" || !(ttlMs > 0)) throw new EtcdRefusal(2, "etcd granted no lease");
    return { id, ttlMs };
  }

  /** Its new time, ms; 0: it is not known any more. */
  async keepAlive(id: string): Promise<number> {
    const answer = await this.#gateway.call("/v3/lease/keepalive", { ID: id }, this.#limits.renewMs);
    const result = answer["result"] as Json | undefined;
    if (result === undefined) throw new Error("etcd did not say whether the lease lives");
    return 1000 * Number(result["TTL"] ?? 0);
  }

  /** Also deletes the key that is bound to it. */
  async revoke(id: string): Promise<void> {
    try {
      await this.#call("/v3/lease/revoke", { ID: id });
    } catch (thrown) {
      if (!(thrown instanceof EtcdRefusal && thrown.code === notFound)) throw thrown;
    }
  }

  async read(key: KeyName): Promise<KeyState | null> {
    const { renewMs } = this.#limits;
    return stateOf(await this.#gateway.call("/v3/kv/range", { key: this.#key(key) }, renewMs));
  }

  async readAll(): Promise<KeysSeen> {
    const names = ["leader", "epoch", "sync"] as const;
    const success = names.map((name) => ({ request_range: { key: this.#key(name) } }));
    const answer = await this.#call("/v3/kv/txn", { success });
    const [leader, epoch, sync] = (answer["responses"] as Json[]).map((response) =>
      stateOf(response["response_range"] as Json)
    );
    return { leader: leader ?? null, epoch: epoch ?? null, sync: sync ?? null };
  }

  /** Puts all if every comparison holds; false: nothing was put. Throws `unreachable`: it may have been. */
  async transact(compares: readonly Compare[], puts: readonly Put[]): Promise<boolean> {
    const answer = await this.#call("/v3/kv/txn", {
      compare: compares.map((compare) => this.#compare(compare)),
      success: puts.map(({ key, text, lease }) => ({
        request_put: { key: this.#key(key), value: base64(text), ...(lease === undefined ? {} : { lease }) },
      })),
    });
    return answer["succeeded"] === true;
  }

  #compare(compare: Compare): Json {
    const key = this.#key(compare.key), result = "EQUAL";
    if ("lease" in compare) return { key, target: "LEASE", result, lease: compare.lease };
    const { unchanged } = compare;
    if (unchanged === null) return { key, target: "CREATE", result, create_revision: "0" };
    return { key, target: "MOD", result, mod_revision: unchanged.modRevision };
  }

  #call(path: string, body: Json): Promise<Json> {
    return this.#gateway.call(path, body, this.#limits.otherMs);
  }

  #key(name: KeyName): string {
    return base64(`/dfdb/${this.#databaseId()}/${name}`);
  }
}

/** The only key of a range; fields that are 0 or empty do not travel. */
function stateOf(range: Json): KeyState | null {
  const first = (range["kvs"] as Json[] | undefined)?.[0];
  if (first === undefined) return null;
  return {
    text: textOf(String(first["value"] ?? "")),
    modRevision: String(first["mod_revision"] ?? "0"),
    lease: String(first["lease"] ?? "0"),
  };
}

export function base64(text: string): string {
  return btoa(String.fromCharCode(...utf8(text)));
}

function textOf(encoded: string): string | null {
  try {
    return utf8Text(Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0)));
  } catch {
    return null;
  }
}
