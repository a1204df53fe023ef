/** What an etcd answers to the calls of its JSON gateway that a node makes: keys with revisions, and leases in the world's time. */

type Json = Readonly<Record<string, unknown>>;

interface Key {
  readonly key: string;
  value: string;
  readonly createRevision: number;
  modRevision: number;
  version: number;
  lease: string;
}

interface Lease {
  readonly ttlSeconds: number;
  expiresAt: number;
}

export interface EtcdAnswer {
  readonly status: number;
  readonly body: Json;
}

/** The least time that an etcd grants with its usual settings, seconds. */
const leaseSecondsMin = 2;

class Refused extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const invalid = 3, notFound = 5, failedPrecondition = 9;
const statusOf: Readonly<Record<number, number>> = {
  [invalid]: 400,
  [notFound]: 404,
  [failedPrecondition]: 412,
};

const leaseUnknown = () => new Refused(notFound, "etcdserver: requested lease not found");

/** Keys and values are the base64 text that travels: equal bytes have equal text, and its order is of no use here. */
export class EtcdStore {
  /** Called after each change of a key, with what is bound to it now; null: it is gone. Both as they travel. */
  onChange: (key: string, value: string | null) => void = () => {};
  readonly #now: () => number;
  readonly #keys = new Map<string, Key>();
  readonly #leases = new Map<string, Lease>();
  #revision = 1;
  #leaseIds = 7_000_000;

  /** `now`: ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get revision(): number {
    return this.#revision;
  }

  /** When the next lease ends, in `now`'s time; null: none is there. */
  get nextExpiry(): number | null {
    return this.#leases.size === 0 ? null : Math.min(...[...this.#leases.values()].map((l) => l.expiresAt));
  }

  /** A new leader of an etcd gives every lease its whole time again. */
  renewAll(): void {
    for (const lease of this.#leases.values()) lease.expiresAt = this.#now() + 1000 * lease.ttlSeconds;
  }

  /** Ends the leases whose time is over, with their keys. */
  expire(): void {
    for (const [id, { expiresAt }] of [...this.#leases]) if (expiresAt <= this.#now()) this.#end(id);
  }

  call(path: string, body: Json): EtcdAnswer {
    this.expire();
    try {
      const answer = this.#answer(path, body);
      return answer === null ? { status: 404, body: {} } : { status: 200, body: answer };
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown;
      const { code, message } = thrown;
      return { status: statusOf[code] ?? 500, body: { error: message, message, code } };
    }
  }

  #answer(path: string, body: Json): Json | null {
    switch (path) {
      case "/v3/lease/grant":
        return this.#grant(body);
      case "/v3/lease/keepalive":
        return { result: this.#keepAlive(textOf(body["ID"])) };
      case "/v3/lease/revoke":
        if (!this.#end(textOf(body["ID"]))) throw leaseUnknown();
        return { header: this.#header() };
      case "/v3/kv/range":
        return { header: this.#header(), ...this.#range(body) };
      case "/v3/kv/put":
        return this.#changed({ request_put: body }, (put) => this.#put(put));
      case "/v3/kv/deleterange":
        return this.#changed({ request_delete_range: body }, (range) => this.#delete(range));
      case "/v3/kv/txn":
        return this.#transact(body);
      default:
        return null;
    }
  }

  #grant(body: Json): Json {
    const asked = textOf(body["ID"]), id = asked === "0" ? `${this.#leaseIds += 17}` : asked;
    if (this.#leases.has(id)) throw new Refused(failedPrecondition, "etcdserver: lease already exists");
    const ttlSeconds = Math.max(leaseSecondsMin, Number(body["TTL"] ?? 0));
    this.#leases.set(id, { ttlSeconds, expiresAt: this.#now() + 1000 * ttlSeconds });
    return { header: this.#header(), ID: id, TTL: `${ttlSeconds}` };
  }

  #keepAlive(id: string): Json {
    const lease = this.#leases.get(id), own = { header: this.#header(), ...unlessZero("ID", id) };
    if (lease === undefined) return own;
    lease.expiresAt = this.#now() + 1000 * lease.ttlSeconds;
    return { ...own, TTL: `${lease.ttlSeconds}` };
  }

  #end(id: string): boolean {
    if (!this.#leases.delete(id)) return false;
    const bound = [...this.#keys.values()].filter(({ lease }) => lease === id);
    for (const { key } of bound) this.#keys.delete(key);
    if (bound.length > 0) this.#revision++;
    for (const { key } of bound) this.onChange(key, null);
    return true;
  }

  #transact(body: Json): Json {
    const succeeded = listOf(body["compare"]).every((compare) => this.#holds(compare));
    const operations = listOf(body[succeeded ? "success" : "failure"]);
    this.#check(operations);
    const writes = operations.some((operation) => this.#writes(operation));
    if (writes) this.#revision++;
    const responses = operations.map((operation) => this.#carryOut(operation));
    return {
      header: this.#header(),
      ...(succeeded ? { succeeded } : {}),
      ...(responses.length > 0 ? { responses } : {}),
    };
  }

  /** Before anything is changed. */
  #check(operations: readonly Json[]): void {
    const put = operations.flatMap((operation) =>
      "request_put" in operation ? [operation["request_put"] as Json] : []
    );
    const names = put.map(({ key }) => textOf(key));
    if (new Set(names).size < names.length) {
      throw new Refused(invalid, "etcdserver: duplicate key given in txn request");
    }
    for (const { lease } of put) this.#checkLease(textOf(lease));
  }

  #checkLease(id: string): void {
    if (id !== "0" && !this.#leases.has(id)) throw leaseUnknown();
  }

  #writes(operation: Json): boolean {
    if ("request_put" in operation) return true;
    return "request_delete_range" in operation &&
      this.#keys.has(keyOf(operation["request_delete_range"] as Json));
  }

  #carryOut(operation: Json): Json {
    const header = { revision: `${this.#revision}` };
    if ("request_put" in operation) {
      this.#put(operation["request_put"] as Json);
      return { response_put: { header } };
    }
    if ("request_delete_range" in operation) {
      const gone = this.#delete(operation["request_delete_range"] as Json);
      return { response_delete_range: { header, ...gone } };
    }
    return { response_range: { header, ...this.#range(operation["request_range"] as Json) } };
  }

  /** A put or a delete by itself. */
  #changed(operation: Json, change: (body: Json) => Json): Json {
    this.#check([operation]);
    if (this.#writes(operation)) this.#revision++;
    return { header: this.#header(), ...change(Object.values(operation)[0] as Json) };
  }

  #put(body: Json): Json {
    const key = keyOf(body), value = String(body["value"] ?? ""), lease = textOf(body["lease"]);
    const before = this.#keys.get(key);
    if (before === undefined) {
      const revision = this.#revision;
      this.#keys.set(key, { key, value, createRevision: revision, modRevision: revision, version: 1, lease });
    } else Object.assign(before, { value, lease, modRevision: this.#revision, version: before.version + 1 });
    this.onChange(key, value);
    return {};
  }

  #delete(body: Json): Json {
    const key = keyOf(body);
    if (!this.#keys.delete(key)) return {};
    this.onChange(key, null);
    return { deleted: "1" };
  }

  #range(body: Json): Json {
    const found = this.#keys.get(keyOf(body));
    if (found === undefined) return {};
    const { key, createRevision, modRevision, version, value, lease } = found;
    const revisions = {
      create_revision: `${createRevision}`,
      mod_revision: `${modRevision}`,
      version: `${version}`,
    };
    const kv = { key, ...revisions, ...(value === "" ? {} : { value }), ...unlessZero("lease", lease) };
    return { kvs: [kv], count: "1" };
  }

  #holds(compare: Json): boolean {
    const { target = "VERSION", result = "EQUAL" } = compare, found = this.#keys.get(keyOf(compare));
    if (target === "VALUE") {
      // A key that is not there compares with no value, in no way.
      if (found === undefined) return false;
      const wanted = String(compare["value"] ?? "");
      return result === "EQUAL" ? found.value === wanted : result === "NOT_EQUAL" && found.value !== wanted;
    }
    const [has, wanted] = target === "CREATE"
      ? [found?.createRevision, compare["create_revision"]]
      : target === "MOD"
      ? [found?.modRevision, compare["mod_revision"]]
      : target === "LEASE"
      ? [found?.lease, compare["lease"]]
      : [found?.version, compare["version"]];
    return compared(BigInt(has ?? 0), BigInt(textOf(wanted)), String(result));
  }

  #header(): Json {
    return { cluster_id: "1", member_id: "1", revision: `${this.#revision}`, raft_term: "2" };
  }
}

function compared(has: bigint, wanted: bigint, result: string): boolean {
  switch (result) {
    case "EQUAL":
      return has === wanted;
    case "NOT_EQUAL":
      return has !== wanted;
    case "GREATER":
      return has > wanted;
    default:
      return has < wanted;
  }
}

/** A single key: ranges of several are not here. */
function keyOf(body: Json): string {
  const key = body["key"];
  if (typeof key !== "string" || key === "") throw new Refused(invalid, "etcdserver: key is not provided");
  if (body["range_end"] !== undefined) throw new Error("the simulated etcd reads one key at a time");
  return key;
}

/** A number of 64 bits as it travels; absent: 0. */
function textOf(value: unknown): string {
  return value === undefined ? "0" : String(value);
}

function unlessZero(name: string, value: string): Json {
  return value === "0" ? {} : { [name]: value };
}

function listOf(value: unknown): readonly Json[] {
  return value === undefined ? [] : value as readonly Json[];
}
