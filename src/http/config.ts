/** The settings of the running node, and those of them that can be changed while it runs. */
import * as v from "valibot";
import { DfdbError } from "../base/errors.ts";
import type { LiveSettings } from "./admin_types.ts";
import { json } from "./answers.ts";
import { bodyOf } from "./control_body.ts";
import type { Route } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

/** As they stand in the body of a PUT. */
const liveEditable = [
  "minSyncReplicas",
  "syncTimeoutSeconds",
] as const satisfies readonly (keyof LiveSettings)[];

/** Those that only count from a start on. */
const restartRequired = [
  "port",
  "dataDir",
  "bindAllInterfaces",
  "insecureDevMode",
  "nodeName",
  "apiKey",
  "replicationSecret",
  "tls",
  "scopedKeys",
  "role",
  "leaderHost",
  "leaderPort",
  "replicationPort",
  "publicBaseUrl",
] as const;

const anyObject = v.record(v.string(), v.unknown());
const liveBody = v.strictObject({
  minSyncReplicas: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(64))),
  syncTimeoutSeconds: v.optional(v.pipe(v.number(), v.minValue(0.1), v.maxValue(3_600))),
});

export function configRoute({ admin }: HttpDependencies): Route {
  const config = (): Readonly<Record<string, unknown>> => ({
    ...admin.config(),
    restartRequired,
    liveEditable,
  });
  return {
    path: "/admin/config",
    get: () => json(config()),
    async put(c) {
      const body = await bodyOf(c.req.raw, anyObject), fixed = restartRequired.find((name) => name in body);
      if (fixed !== undefined) {
        throw new DfdbError(
          "restart_required",
          `${fixed} cannot be changed while the node runs: restart it`,
          {
            details: { field: fixed },
          },
        );
      }
      const applied = liveEditable.filter((name) => name in body);
      if (applied.length === 0) {
        const error = `Nothing to change: ${liveEditable.join(" and ")} can be`;
        return json({ error, code: "bad_request", liveEditable }, 400);
      }
      admin.change(checked(body));
      return json({ saved: true, applied, config: config() });
    },
  };
}

/** Throws `bad_request`, also for a name that nobody knows. */
function checked(body: Readonly<Record<string, unknown>>): LiveSettings {
  const result = v.safeParse(liveBody, body);
  if (result.success) return result.output;
  const [issue] = result.issues, field = v.getDotPath(issue) ?? "";
  throw new DfdbError("bad_request", `${field}: ${issue.message}`, { details: { field } });
}
