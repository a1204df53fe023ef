/** Keeps what this node alone has before it takes over another history: the tail of its log as text, or the database as a whole. */
import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { NodeId, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { Files } from "../runtime/files.ts";
import type { Clock, Runtime } from "../runtime/runtime.ts";
import { decodeEntry } from "../storage/entry_codec.ts";
import type { LogEntry, LogReader, Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import { checkRoom } from "./disk_room.ts";
import { RescueText } from "./rescue_text.ts";
import type { RescueHeader } from "./rescued_files.ts";
import { rescuedFiles } from "./rescued_files.ts";
import { runTask } from "./tasks.ts";

export interface RescueOptions {
  readonly runtime: Pick<Runtime, "clock" | "files" | "workers" | "crashPoint">;
  readonly storage: Pick<Storage, "databaseId" | "log" | "read" | "stats">;
  readonly dataPath: string;
  readonly rescuedFolder: string;
  readonly nodeId: NodeId;
  readonly logger: Logger;
}

/** Read and written at a time; between two of these others run. */
const slice = { bytesMax: 1024 * 1024, entriesMax: 500 };
/** What a line has besides the document, about. */
const lineBytes = 300;

/**
 * Writes what is here after `common`; durable when it resolves. With null, or where the log does not reach back so far or cannot be
 * read, the whole database. Was the same kept before, nothing is done. Rejects with `disk_full`, `io_error`: then there is no file.
 */
export async function rescue(options: RescueOptions, common: Seq | null): Promise<void> {
  const { runtime: { files }, storage: { log }, rescuedFolder: folder, logger } = options;
  if (log.last.seq === 0 || log.last.seq === common) return;
  await files.makeDirectory(folder);
  for (const name of await files.list(folder)) {
    if (name.includes(".tmp")) await files.remove(files.join(folder, name)); // a crash left it
  }
  const whole = common === null || log.first > common + 1;
  if (!whole) {
    try {
      return await rescueTail(options, common);
    } catch (error) {
      if (!(error instanceof DfdbError) || !isUnreadable(error)) throw error;
      logger.warn("the log's tail cannot be rescued as text; the whole database is kept", {
        error: error.message,
      });
    }
  }
  await rescueWhole(options, common);
}

function isUnreadable({ code }: DfdbError): boolean {
  return code === "compacted" || code === "corrupt" || code === "version";
}

async function rescueTail(options: RescueOptions, common: Seq): Promise<void> {
  const { runtime: { clock, files, crashPoint }, storage, rescuedFolder: folder, logger } = options;
  const header = headerOf(options, "tail", common), { from, to } = header;
  if (await isKept(files, folder, header)) return;
  const room = storage.log.bytesAfter(common) + lineBytes * (to - common);
  await checkRoom(files, folder, room, "rescuing entries");
  const target = await freePath(files, folder, `${timeText(clock.wall())}-${from}-${to}`, "jsonl");
  const temporary = `${target}.tmp`;
  try {
    await writeTail(options, header, temporary);
    crashPoint("rescue:written");
    await files.rename(temporary, target);
    crashPoint("rescue:kept");
  } catch (error) {
    await files.remove(temporary).catch(() => {});
    throw error;
  }
  logger.warn("entries that the leader does not have were rescued", { from, to, file: target });
}

async function writeTail(
  { runtime: { clock, files }, storage }: RescueOptions,
  header: RescueHeader,
  path: string,
) {
  const { log } = storage, before = seqOf(header.from - 1);
  const names = new Map(storage.read((view) => view.collections().map(({ number, name }) => [number, name])));
  const text = new RescueText(log.terms, names);
  const file = await files.openWrite(path, { truncate: true });
  try {
    let offset = 0, searched = false, lines = `${JSON.stringify(header)}\n`;
    const write = async (): Promise<void> => {
      const bytes = utf8(lines);
      lines = "";
      await file.write(offset, bytes);
      offset += bytes.length;
    };
    for await (const entry of entries(log, clock, before, header.to)) {
      const operations = decodeEntry(entry.payload);
      if (!searched && text.misses(operations)) {
        searched = true;
        const oldest = seqOf(log.first - 1);
        for await (const { payload } of entries(log, clock, oldest, before)) text.know(decodeEntry(payload));
      }
      lines += text.lines(entry, operations);
      if (lines.length >= slice.bytesMax) await write();
    }
    lines += text.end();
    await write();
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The log's entries after `after` up to `to`; others run after each slice. Throws `compacted` when they are gone. */
async function* entries(log: LogReader, clock: Clock, after: Seq, to: Seq): AsyncGenerator<LogEntry> {
  while (after < to) {
    const found = log.entries(after, slice);
    const last = found === "compacted" ? undefined : found.at(-1);
    if (found === "compacted" || last === undefined) {
      throw new DfdbError("compacted", `the log was trimmed behind entry ${after}`);
    }
    for (const entry of found) if (entry.seq <= to) yield entry;
    after = last.seq;
    await new Promise<void>((resolve) => clock.macrotask(resolve));
  }
}

async function rescueWhole(options: RescueOptions, common: Seq | null): Promise<void> {
  const { runtime, storage, dataPath, rescuedFolder: folder, logger } = options;
  const { clock, files, workers, crashPoint } = runtime;
  const header = headerOf(options, "database", common);
  if (await isKept(files, folder, header)) return;
  await checkRoom(files, folder, storage.stats().fileBytes, "a copy of the old database");
  const target = await freePath(files, folder, `${timeText(clock.wall())}-${header.to}`, "dfdb");
  const temporary = `${target}.tmp`;
  try {
    await runTask(workers, "sqlite.copyDatabase", { path: dataPath, target: temporary });
    crashPoint("rescue:copied");
    await files.writeAtomic(`${target}.json`, utf8(`${JSON.stringify(header)}\n`));
    crashPoint("rescue:described");
    await files.rename(temporary, target);
    crashPoint("rescue:whole");
  } catch (error) {
    for (const path of [temporary, `${temporary}-journal`, `${target}.json`]) {
      await files.remove(path).catch(() => {});
    }
    throw error;
  }
  logger.warn("the old database was kept before it is replaced", { to: header.to, file: target });
}

function headerOf(
  { runtime: { clock }, storage, nodeId }: RescueOptions,
  form: RescueHeader["form"],
  common: Seq | null,
): RescueHeader {
  const { log, databaseId } = storage, { last } = log;
  const at = common === null ? null : log.at(common);
  return {
    kind: "dfdb-rescue",
    version: 1,
    form,
    databaseId,
    nodeId,
    from: form === "tail" && common !== null ? seqOf(common + 1) : seqOf(1),
    to: last.seq,
    common,
    positions: { common: at === null || typeof at === "string" ? null : at, last },
    made: new Date(clock.wall()).toISOString(),
  };
}

async function isKept(files: Files, folder: string, wanted: RescueHeader): Promise<boolean> {
  const same = (a: Position, b: Position): boolean => samePosition(a, b);
  return (await rescuedFiles(files, folder)).some(({ header }) =>
    header !== null && header.form === wanted.form && header.databaseId === wanted.databaseId &&
    header.from === wanted.from && same(header.positions.last, wanted.positions.last)
  );
}

/** A path that no file has: within one second, or after a clock was set back, other entries of the same seqs may have the name. */
async function freePath(files: Files, folder: string, name: string, ending: string): Promise<string> {
  for (let number = 1;; number++) {
    const path = files.join(folder, `${name}${number === 1 ? "" : `_${number}`}.${ending}`);
    if (await files.size(path) === null) return path;
  }
}

/** UTC like 20261122T001530Z. */
function timeText(wallMs: number): string {
  return `${new Date(wallMs).toISOString().replace(/[-:]/g, "").slice(0, 15)}Z`;
}
