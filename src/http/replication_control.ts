/** Changes of the node's role by an operator: the reference's routes, and `accept-loss` and `resync`. */
import * as v from "valibot";
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { json } from "./answers.ts";
import { readBody } from "./body.ts";
import type { Handler, Route } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const bodyBytesMax = 64 * 1024;

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const secret = v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(1_024)));
const leaderBody = v.strictObject({ port, sharedSecret: secret });
const followerBody = v.strictObject({
  host: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(253)),
  port,
  sharedSecret: secret,
});

export function replicationControlRoutes({ control }: HttpDependencies): readonly Route[] {
  const post = (name: string, handler: Handler): Route => ({ path: `/replication/${name}`, post: handler });
  return [
    post("start-leader", async (c) => {
      const { port, sharedSecret } = await bodyOf(c.req.raw, leaderBody);
      await control.startLeader(port, sharedSecret);
      return json({ success: true, role: "leader", port });
    }),
    post("start-follower", async (c) => {
      const { host, port, sharedSecret } = await bodyOf(c.req.raw, followerBody);
      await control.startFollower(host, port, sharedSecret);
      return json({ success: true, role: "follower", leader: `${host}:${port}` });
    }),
    post("read-only", async () => {
      await control.setReadOnly(true);
      return json({ success: true, readOnly: true });
    }),
    post("read-write", async () => {
      await control.setReadOnly(false);
      return json({ success: true, readOnly: false });
    }),
    post("accept-loss", async () => {
      const { epoch, run } = await control.acceptLoss();
      return json({ success: true, readOnly: false, term: { epoch, run } });
    }),
    post("resync", async () => {
      await control.resync();
      return json({ success: true });
    }),
  ];
}

/** The body as `schema` wants it; throws `bad_request` naming what is wrong. */
async function bodyOf<Schema extends v.GenericSchema>(
  request: Request,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  let given: unknown;
  try {
    given = JSON.parse(utf8Text(await readBody(request, bodyBytesMax)));
  } catch (cause) {
    if (cause instanceof DfdbError) throw cause;
    throw new DfdbError("bad_request", "The body is not JSON", { cause });
  }
  const result = v.safeParse(schema, given);
  if (result.success) return result.output;
  const issue = result.issues[0], field = v.getDotPath(issue) ?? "";
  throw new DfdbError("bad_request", field === "" ? issue.message : `${field}: ${issue.message}`, {
    details: { field },
  });
}
