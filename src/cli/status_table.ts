/** Nodes and their followers as a table. */
import { followersOf } from "./cluster_status.ts";
import type { FollowerStatus, NodeStatus } from "./node_status.ts";
import { statusNotes } from "./status_notes.ts";
import type { Cell, Screen, TableRow } from "./table.ts";
import { colour, number, plain, table } from "./table.ts";

/** What one node answered, or why it did not. */
export interface Asked {
  readonly url: string;
  readonly status: NodeStatus | null;
  readonly error: string | null;
}

const columns = [
  { title: "NODE", flexible: true },
  { title: "ROLE" },
  { title: "STATE", flexible: true },
  { title: "TERM" },
  { title: "SEQ", right: true },
  { title: "LAG", right: true },
  { title: "LAG MS", right: true },
  { title: "FOLLOWERS", right: true },
] as const;

/** One line for each node; below a leader, one for each of its followers, as the leader sees them. */
export function statusTable(nodes: readonly Asked[], screen: Screen): string {
  return table(columns, nodes.flatMap(rowsOf), screen);
}

function rowsOf({ url, status, error }: Asked): TableRow[] {
  if (status === null) {
    return [[url, "-", { text: "NO STATUS", colour: colour.red }], {
      note: `  ${plain(error ?? "")}`,
      colour: colour.red,
    }];
  }
  const followers = followersOf(status), follows = status.role === "follower";
  const { epoch, run } = status.term;
  return [
    [
      { text: plain(status.node), colour: colour.bold },
      status.role === "none" ? "none" : plain(status.role.toUpperCase()),
      follows ? stateCell(followedState(status)) : writeCell(status),
      epoch === 0 ? "-" : `${epoch}.${run.slice(0, 8)}`,
      number(status.log.lastSeq),
      follows ? lagCell(status.follower.lagSeq) : "",
      follows ? number(status.follower.lagMs) : "",
      status.role === "leader" ? number(followers.length) : "",
    ],
    ...followers.map((follower, i) => followerRow(follower, i === followers.length - 1)),
    ...statusNotes(status),
  ];
}

function followerRow(follower: FollowerStatus, last: boolean): TableRow {
  const { snapshot } = follower;
  const state = snapshot === null || snapshot === undefined
    ? follower.state
    : `snapshot ${percent(snapshot.acked, snapshot.bytes)}`;
  return [
    { text: `${last ? "└" : "├"} ${plain(follower.nodeName)}`, colour: colour.dim },
    "",
    stateCell(state),
    { text: "acked", colour: colour.dim },
    number(follower.ackedSeq),
    lagCell(follower.lagSeq),
    number(follower.lagMs),
  ];
}

function followedState({ follower: { state, snapshot } }: NodeStatus): string {
  if (state === "snapshot" && snapshot != null) {
    return `snapshot ${percent(snapshot.received, snapshot.bytes)}`;
  }
  return state ?? "-";
}

const percent = (part: number, whole: number): string =>
  `${whole === 0 ? 100 : Math.floor((Math.min(part, whole) / whole) * 100)} %`;

const troubled: ReadonlySet<string> = new Set([
  "refused",
  "error",
  "ahead",
  "corrupt",
  "diverged",
  "stopped",
]);

function stateCell(state: string): Cell {
  const code = state === "streaming" ? colour.green : troubled.has(state) ? colour.red : colour.yellow;
  return { text: plain(state).replaceAll("_", " "), colour: code };
}

function writeCell({ readOnly }: NodeStatus): Cell {
  return readOnly
    ? { text: "read-only", colour: colour.yellow }
    : { text: "read-write", colour: colour.green };
}

function lagCell(lag: number | null): Cell {
  return { text: number(lag), colour: lag === null || lag === 0 ? null : colour.yellow };
}
