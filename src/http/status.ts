/** What a node says of itself: liveness, readiness, version, figures, replication. Nothing here flushes or scans. */
import { DfdbError } from "../base/errors.ts";
import { isReservedName } from "../document/names.ts";
import { clientIndexes } from "../engine/build_index.ts";
import { positionText } from "../storage/position_text.ts";
import { json } from "./answers.ts";
import { pathsText } from "./indexes.ts";
import { readQuery, readyQuery } from "./query.ts";
import type { Handler, Route } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const bytesPerMb = 1024 * 1024;

export function statusRoutes(dependencies: HttpDependencies): readonly Route[] {
  const { node } = dependencies;
  return [
    { path: "/health", get: health(dependencies) },
    { path: "/ready", get: ready(dependencies) },
    { path: "/version", get: version(dependencies) },
    { path: "/stats", get: stats(dependencies) },
    { path: "/replication/status", get: () => json(node.replicationStatus()) },
  ];
}

function health({ node }: HttpDependencies): Handler {
  return () =>
    json({
      status: "ok",
      node: node.nodeName,
      version: node.version,
      readOnly: node.readOnly().on,
      uptimeSeconds: Math.round(node.uptimeMs() / 100) / 10,
      health: null,
    });
}

function ready({ node }: HttpDependencies): Handler {
  return (c) => {
    const reason = node.notReady(readQuery(c.req.raw, readyQuery));
    if (reason !== null) throw new DfdbError("not_ready", reason, { details: { ready: false } });
    return json({ ready: true });
  };
}

/** `sha` is "dev" where no build wrote one, as in the reference. */
function version({ node }: HttpDependencies): Handler {
  return () => json({ version: node.version, sha: "dev", builtAt: null, image: null, node: node.nodeName });
}

function stats({ storage, node }: HttpDependencies): Handler {
  return () => {
    const { path, fileBytes, pageCount, logEntries, logBytes, collectionsDropped } = storage.stats();
    const { collections, position } = storage.read((view) => ({
      collections: view.collections().filter(({ name }) => !isReservedName(name)).map((
        { number, name, documents },
      ) => ({
        name,
        documentCount: documents,
        indexes: clientIndexes(view, number).map(({ name, paths, entries, unique }) => (
          { name, path: pathsText(paths), entries, unique }
        )),
      })),
      position: view.position,
    }));
    return json({
      filePath: path,
      fileSizeMb: Math.round(fileBytes / bytesPerMb * 100) / 100,
      pageCount,
      // The reference's clients show these two; SQLite keeps its cache to itself.
      cachedPages: 0,
      dirtyPages: 0,
      collections,
      position: positionText(position, position.seq),
      logEntries,
      logBytes,
      collectionsDropped,
      stall: node.stalls(),
    });
  };
}
