/** A database file, for people. */
import type { Inspected, InspectedIndex } from "../node/inspect.ts";
import type { Screen, TableRow } from "./table.ts";
import { number, plain, table } from "./table.ts";

const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `4.0 MiB`. */
export function bytesText(bytes: number): string {
  let value = bytes, unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit]}`;
}

export function inspectText(file: Inspected, screen: Screen, all: boolean): string {
  const { position, terms, log, node } = file, term = terms.at(-1);
  const line = (label: string, text: string): string => `${`${label}:`.padEnd(13)} ${plain(text)}\n`;
  const free = file.freePages === 0
    ? ""
    : `, of which ${bytesText((file.fileBytes / file.pages) * file.freePages)} free`;
  const kept = log.first === null
    ? "empty"
    : `entries ${number(log.first)} to ${number(position.seq)}, ${bytesText(log.bytes)}, since ${
      time(log.firstMs)
    }`;
  return line("file", file.path) +
    line(
      "size",
      `${bytesText(file.fileBytes)}${free}${
        file.walBytes === null ? "" : `, WAL ${bytesText(file.walBytes)}`
      }`,
    ) +
    line("state", stateText(file)) +
    line("database", `${file.databaseId}, made ${time(file.createdMs)}, format ${file.format}`) +
    line(
      "position",
      `${file.positionText}${log.lastMs === null ? "" : `, last change ${time(log.lastMs)}`}`,
    ) +
    line(
      "terms",
      term === undefined
        ? "none"
        : `${number(terms.length)}, the last in epoch ${term.epoch} by node ${term.nodeId}`,
    ) +
    line("log", kept) +
    line("node", nodeText(node)) +
    (file.replication === null ? "" : line("replication", versionsText(file.replication))) +
    (file.dropped === 0
      ? ""
      : line("dropped", `${file.dropped} collections and indexes whose space is not free yet`)) +
    `\n${collectionsTable(file, screen, all)}`;
}

function versionsText({ tombstones, conflicts, runs, drops }: NonNullable<Inspected["replication"]>): string {
  const waiting = drops === 0
    ? ""
    : `, ${number(drops)} dropped collections whose tombstones are being written`;
  return `active: ${number(conflicts)} conflicts, ${number(tombstones)} tombstones, ${
    number(runs)
  } runs known${waiting}`;
}

function time(ms: number | null): string {
  return ms === null ? "-" : new Date(ms).toISOString();
}

function stateText({ clean, copy, walBytes, holder }: Inspected): string {
  if (copy) return "a snapshot or backup that was not opened yet";
  if (walBytes === null) {
    return clean ? "closed cleanly" : "not closed cleanly, and without its WAL: a copy of a file in use";
  }
  const who = holder === null
    ? "some process"
    : `process ${holder.pid} on ${holder.host}, since ${time(holder.openedAtMs)}`;
  return `open in ${who}, or that ended without closing it`;
}

function nodeText(node: Inspected["node"]): string {
  if (node === null) return "none: no node file beside it";
  if (node.error !== null) return node.error;
  const { nodeId, state } = node;
  if (state === null) return `${nodeId}, which has not met this database`;
  const facts = [
    state.role ?? "no role yet",
    `highest epoch seen ${state.highestEpoch}`,
    ...(state.origin === "settings" ? [] : [`by ${state.origin}`]),
    ...(state.readOnly
      ? [`read-only${state.readOnlyReason === null ? "" : ` (${state.readOnlyReason})`}`]
      : []),
    ...(state.leaderAddress === null ? [] : [`leader at ${state.leaderAddress}`]),
    ...(state.handover === null ? [] : ["a handover in doubt"]),
  ];
  return `${nodeId}: ${facts.join(", ")}`;
}

function collectionsTable({ collections }: Inspected, screen: Screen, all: boolean): string {
  const shown = collections.filter(({ name }) => all || !name.startsWith("_"));
  if (shown.length === 0) return "no collections\n";
  const rows = shown.flatMap(({ name, documents, indexes }): TableRow[] => [
    [plain(name), number(documents), "", ""],
    ...indexes.filter((index) => all || !index.name.startsWith("_")).map((index): TableRow => [
      `  ${plain(index.name)}`,
      number(index.entries),
      plain(index.paths.map(pathText).join(", ")),
      indexNotes(index),
    ]),
  ]);
  return table(
    [{ title: "COLLECTION / INDEX", flexible: true }, { title: "DOCUMENTS / ENTRIES", right: true }, {
      title: "PATHS",
      flexible: true,
    }, { title: "" }],
    rows,
    screen,
  );
}

function pathText(steps: readonly unknown[]): string {
  return steps.map((step, i) =>
    typeof step === "string" ? `${i === 0 ? "" : "."}${step}` : typeof step === "number" ? `[${step}]` : "[*]"
  )
    .join("");
}

function indexNotes({ unique, time: ofTimes, state }: InspectedIndex): string {
  return [unique && "unique", ofTimes && "time to live", state !== "ready" && state].filter(Boolean).join(
    ", ",
  );
}
