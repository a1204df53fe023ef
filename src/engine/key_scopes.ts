/**
 * What an API key may do. Scopes as text: `*` or `admin` is everything; `read`, `write` and `db:*` (both) are for all databases; `db:<name>` (both),
 * `db:<name>:read`, `db:<name>:write` for one. Who may write may not read for that.
 */
import { DfdbError } from "../base/errors.ts";

export type Scope = "read" | "write" | "admin";

/** Scopes that were looked over. */
export interface Grants {
  readonly admin: boolean;
  /** `read`, `write` for all databases, else `<name in lower case>:read`, `…:write`. */
  readonly rights: ReadonlySet<string>;
}

const form = /^db:(\*|[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})(?::(read|write))?$/;

/** Throws `bad_request` for what is no scope. */
export function grantsOf(scopes: readonly string[]): Grants {
  const rights = new Set<string>();
  let admin = false;
  for (const scope of scopes) {
    if (scope === "*" || scope === "admin") {
      admin = true;
    } else if (scope === "read" || scope === "write") {
      rights.add(scope);
    } else {
      const [, name, one] = form.exec(scope) ?? [];
      if (name === undefined) {
        throw new DfdbError(
          "bad_request",
          `${
            JSON.stringify(scope.slice(0, 80))
          } is no scope; there are *, admin, read, write, db:*, and db:<name>, which may end with :read or :write`,
        );
      }
      for (const right of one === undefined ? ["read", "write"] : [one]) {
        rights.add(name === "*" ? right : `${name.toLowerCase()}:${right}`);
      }
    }
  }
  return { admin, rights };
}

/** Whether `grants` are enough for `scope` on a database; for `admin` the database does not count. */
export function allows({ admin, rights }: Grants, scope: Scope, database: string): boolean {
  return admin ||
    (scope !== "admin" && (rights.has(scope) || rights.has(`${database.toLowerCase()}:${scope}`)));
}
