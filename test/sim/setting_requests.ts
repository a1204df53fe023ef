/** What is set for a collection: its schema, and when its documents expire. Each setting can be told from all others. */
import { brief, check, exactly, positionOf, refusedWrite, type Told } from "./answers.ts";
import { sizeMax } from "./bodies.ts";
import type { Chance } from "./chance.ts";
import type { Intent, Judged, Request } from "./requests.ts";
import { all, wrote } from "./requests.ts";
import { type Json, sameJson, settingId, settingsName } from "./state.ts";
import { ttlTag } from "./written_tags.ts";

/** A schema that most documents meet, as it is kept. */
export function anySchema(tag: string, draw: Chance): Json {
  const most = draw.pick([0.5, 0.9, 0.9, 1]) * sizeMax;
  return {
    required: draw.flip(0.5) ? ["tag"] : ["tag", "kind"],
    types: draw.flip(0.5) ? { size: "int", kind: "string" } : {},
    checks: [`tag <> '${tag}'`, `size < ${most}`],
    refs: [],
  };
}

/** `PUT` of a schema. */
export function putSchema(collection: string, tag: string, schema: Json): Request {
  const id = settingId(collection, "schema");
  const intent: Intent = {
    documents: [{ collection: settingsName, id, tag }],
    model: () => [{ collection: settingsName, id, json: schema }],
  };
  const { refs: _, ...sent } = schema;
  return setting("schema", collection, JSON.stringify(sent), intent, (answer) => {
    check(
      sameJson(answer.body["schema"], schema),
      () => `another schema than ${JSON.stringify(schema)}: ${brief(answer)}`,
    );
    return wrote(answer, { success: true, schema: answer.body["schema"] }, intent);
  });
}

/** `PUT` of a time to live. The entry is not that of the position, which holds the index as well. */
export function putTtl(collection: string, intervalSeconds: number): Request {
  const id = settingId(collection, "ttl"), json = { field: "ends", intervalSeconds };
  const intent: Intent = {
    documents: [{ collection: settingsName, id, tag: ttlTag(intervalSeconds) }],
    model: () => [{ collection: settingsName, id, json }],
  };
  return setting("ttl", collection, JSON.stringify(json), intent, (answer) => {
    exactly(answer, { success: true, collection: answer.body["collection"], ...json });
    check(isNamed(answer, collection), () => `another collection: ${brief(answer)}`);
    return {
      writes: [{ ...intent, outcome: "promised", position: null }],
      reads: [],
      end: { position: positionOf(answer), own: true },
    };
  });
}

function isNamed({ body }: Told, collection: string): boolean {
  return String(body["collection"]).toLowerCase() === collection.toLowerCase();
}

function setting(
  kind: "schema" | "ttl",
  collection: string,
  body: string,
  intent: Intent,
  done: (answer: Told) => Judged,
): Request {
  return {
    kind,
    ask: { method: "PUT", path: `/collections/${collection}/${kind}`, body },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) {
        // The collection was dropped when the index of expiries was made: the setting has been there.
        const late = kind === "ttl" && ["conflict", "collection_not_found"].includes(answer.code);
        const outcome = late ? "unknown" : refusedWrite(answer, []);
        return { writes: all([intent], outcome), reads: [] };
      }
      check(answer.status === 200, () => `200 was expected: ${brief(answer)}`);
      return done(answer);
    },
  };
}

/** `DELETE` of a schema or a time to live. */
export function removeSetting(kind: "schema" | "ttl", collection: string): Request {
  const id = settingId(collection, kind), documents = [{ collection: settingsName, id, tag: null }];
  const intent: Intent = { documents };
  return {
    kind,
    ask: { method: "DELETE", path: `/collections/${collection}/${kind}` },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code === null) {
        check(isNamed(answer, collection), () => `another collection: ${brief(answer)}`);
        return wrote(
          answer,
          { success: true, collection: answer.body["collection"], removed: true },
          intent,
        );
      }
      const outcome = refusedWrite(answer, ["not_found"]);
      const reads = answer.code === "not_found" ? [{ collection: settingsName, id, seen: null }] : [];
      return { writes: all([intent], outcome), reads };
    },
  };
}

/** `POST /admin/ttl/sweep`: what it deletes is for the log to tell. */
export function sweep(): Request {
  return {
    kind: "ttl",
    ask: { method: "POST", path: "/admin/ttl/sweep" },
    intents: [],
    writes: true,
    whenLost: "refused",
    judge(answer) {
      if (answer.code !== null) refusedWrite(answer, ["conflict"]);
      else {
        const { deleted, more } = answer.body;
        check(
          answer.status === 200 && Number.isSafeInteger(deleted) && (more === undefined || more === true),
          () => `not the answer of a sweep: ${brief(answer)}`,
        );
        positionOf(answer);
      }
      return { writes: [], reads: [] };
    },
  };
}
