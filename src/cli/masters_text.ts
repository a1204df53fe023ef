/** What `GET /replication/info` tells, for people. */
import type { Fields } from "./fields.ts";
import { listIn, numberIn, textIn } from "./fields.ts";
import type { Cell, Screen, TableRow } from "./table.ts";
import { colour, number, painted, plain, table } from "./table.ts";

export function mastersText(url: string, info: Fields, screen: Screen): string {
  const text = (name: string): string => plain(textIn(info, name) ?? "-");
  const conflicts = numberIn(info, "conflicts") ?? 0;
  const facts = [
    `${url}, database ${text("databaseId")}`,
    info["sends"] === true
      ? "it sends to its destinations"
      : "it does not send: it follows, or may not lead yet",
    `policy ${text("policy")}, ${number(conflicts)} in conflict, ${
      number(numberIn(info, "tombstones"))
    } tombstones`,
  ];
  const problems = Array.isArray(info["problems"]) ? info["problems"].map((each) => plain(String(each))) : [];
  const blocks = [
    `${facts.join("\n")}\n`,
    ...problems.map((problem) => `${painted(screen, colour.yellow, problem)}\n`),
    block(
      "no destinations",
      destinationColumns,
      listIn(info, "Stats").map((row) => destinationRow(row, info)),
      screen,
    ),
    block("nobody has sent to it", sourceColumns, listIn(info, "sources").map(sourceRow), screen),
    ...heldBack(info, screen),
  ];
  return blocks.join("");
}

function block(
  none: string,
  columns: Parameters<typeof table>[0],
  rows: readonly TableRow[],
  screen: Screen,
): string {
  return rows.length === 0 ? `${none}\n` : `\n${table(columns, rows, screen)}`;
}

const destinationColumns = [
  { title: "destination", flexible: true },
  { title: "state" },
  { title: "behind", right: true },
  { title: "failures", right: true },
  { title: "last success" },
  { title: "last error", flexible: true },
];

function destinationRow(row: Fields, info: Fields): readonly (string | Cell)[] {
  const failures = numberIn(row, "FailureCount") ?? 0, code = failures > 0 ? colour.yellow : null;
  const error = textIn(row, "LastError"), errorCode = textIn(row, "lastErrorCode");
  return [
    plain(textIn(row, "Url") ?? "-"),
    plain(textIn(row, "state") ?? "-"),
    number(behind(row, info)),
    { text: number(failures), colour: code },
    time(textIn(row, "LastSuccessTimestamp")),
    { text: error === null ? "" : plain(`${errorCode ?? "error"}: ${error}`), colour: code ?? colour.dim },
  ];
}

/** Entries of this database that were not looked at for the destination; null: not known. */
function behind(row: Fields, info: Fields): number | null {
  const last = seqOf(textIn(info, "MostRecentDocumentEtag")), sent = seqOf(textIn(row, "LastReplicatedEtag"));
  return last === null || sent === null ? null : Math.max(0, last - sent);
}

/** Of `<epoch>:<run>:<seq>`. */
function seqOf(place: string | null): number | null {
  const seq = Number(/:(\d+)$/.exec(place ?? "")?.[1] ?? NaN);
  return Number.isSafeInteger(seq) ? seq : null;
}

const sourceColumns = [
  { title: "sender", flexible: true },
  { title: "database" },
  { title: "received up to", flexible: true },
];

function sourceRow(row: Fields): readonly string[] {
  return [
    plain(textIn(row, "url") ?? "-"),
    plain(textIn(row, "databaseId") ?? "-"),
    plain(textIn(row, "lastEtag")?.split("@")[0] ?? "-"),
  ];
}

/** `12 old tombstones wait for …`. */
function heldBack(info: Fields, screen: Screen): readonly string[] {
  const held = listIn(info, "tombstonesHeldBack");
  return held.map((each, i) => {
    const count = number(numberIn(each, "tombstones")), url = textIn(each, "url");
    const who = `${textIn(each, "databaseId") ?? "?"}${url === null ? "" : ` (${url})`}`;
    const line = plain(`${count} old tombstones wait for ${who}`);
    return `${i === 0 ? "\n" : ""}${painted(screen, colour.yellow, line)}\n`;
  });
}

/** `2026-11-14 22:13:20Z`. */
function time(iso: string | null): string {
  return iso === null ? "-" : plain(`${iso.slice(0, 19).replace("T", " ")}Z`);
}
