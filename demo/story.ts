/** What the demo shows, step by step. Every step throws NotSeen when it did not see what it was to show. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "./client.ts";
import { NotSeen, until } from "./client.ts";
import type { Dataset } from "./datasets.ts";
import { load } from "./load.ts";
import { grouped, heading, say } from "./terminal.ts";

export interface Stage {
  readonly leader: Client;
  readonly follower: Client;
  readonly datasets: readonly Dataset[];
  readonly stop: AbortSignal;
}

const connectMs = 20_000, convergeMs = 60_000, appearMs = 20_000;
/** Frankfurt: the document that is changed on the leader. */
const changed = "/collections/airports/openflights-340";

/** The follower is connected to the leader, and both say so. */
export async function connected({ leader, follower, stop }: Stage): Promise<void> {
  const block = async (node: Client, name: string): Promise<Readonly<Record<string, unknown>>> =>
    (await node.request("GET", "/replication/status")).body?.[name] as Record<string, unknown> | undefined ??
      {};
  const look = async (): Promise<boolean> => (await block(leader, "leader"))["followerCount"] === 1;
  try {
    await until("the follower connected to the leader", look, stop, connectMs);
  } catch (error) {
    if (!(error instanceof NotSeen)) throw error;
    const { state, lastError } = await block(follower, "follower");
    throw new NotSeen(`${error.message}. The follower says: ${state}, ${JSON.stringify(lastError)}`);
  }
  const { endpoint } = (await block(follower, "follower"))["leader"] as { endpoint: string };
  say(`  GET ${follower.url}/replication/status: it follows ${endpoint}`);
}

export async function loaded(stage: Stage): Promise<void> {
  for (const { collection, source, licence } of stage.datasets) {
    say(`  ${collection.padEnd(9)} ${source}, licence ${licence}`);
  }
  for (const dataset of stage.datasets) await load(dataset, stage.leader, stage.follower);
}

/** Both nodes count the same documents, and as many as were sent. */
export async function converged({ leader, follower, datasets, stop }: Stage): Promise<void> {
  const began = performance.now();
  const complete = (counts: ReadonlyMap<string, number>): boolean =>
    datasets.every(({ collection, documents }) => counts.get(collection) === documents.length);
  const show = async (node: Client, name: string): Promise<boolean> => {
    const counts = await node.counts();
    const texts = datasets.map(({ collection }) =>
      `${collection} ${grouped(counts.get(collection) ?? 0).padStart(7)}`
    );
    if (complete(counts)) say(`  GET ${node.url}/stats  ${name.padEnd(8)}  ${texts.join("   ")}`);
    return complete(counts);
  };
  if (!await show(leader, "leader")) throw new NotSeen("The leader does not count what was loaded into it");
  await until(
    "the follower's counts equal to the leader's",
    () => show(follower, "follower"),
    stop,
    convergeMs,
  );
  say(`  the same on both, ${grouped(performance.now() - began)} ms after the last answer of the leader`);
}

/** A change on the leader, guarded by the document's etag, appears on the follower. */
export async function replicated({ leader, follower, stop }: Stage): Promise<void> {
  const current = await leader.request("GET", changed);
  const etag = current.headers.get("etag");
  if (current.status !== 200 || etag === null) {
    throw new NotSeen(`GET ${changed} answered ${current.status}, no etag`);
  }
  const mark = `changed by the demo at ${new Date().toISOString()}`;
  const document = JSON.stringify({ ...current.body, remark: mark });

  let answeredAt = Infinity, seenAt = Infinity, looks = 0;
  const look = async (): Promise<void> => {
    const deadline = performance.now() + appearMs;
    while (seenAt === Infinity && performance.now() < deadline && !stop.aborted) {
      const answer = await follower.request("GET", changed);
      looks++;
      if (answer.body?.["remark"] === mark) seenAt = performance.now();
      else await sleep(0);
    }
  };
  const looking = look();
  looking.catch(() => {}); // awaited below; a failure before that must not count as unhandled
  while (looks < 3 && !stop.aborted) await sleep(1); // its connection is up before the clock starts
  const sentAt = performance.now();
  const answer = await leader.request("PUT", changed, document, { "if-match": etag });
  answeredAt = performance.now();
  if (answer.status !== 200) {
    throw new NotSeen(`PUT ${changed} with If-Match answered ${answer.status}, not 200`);
  }
  await looking;
  if (seenAt === Infinity) throw new NotSeen(`The change of ${changed} did not appear on the follower`);
  say(`  PUT ${changed} with If-Match: ${etag}`);
  say(`  the leader answered after ${(answeredAt - sentAt).toFixed(1)} ms (durable there);`);
  say(
    `  a GET on the follower gave the new document ${Math.max(0, seenAt - answeredAt).toFixed(1)} ms later`,
  );
}

/** A follower takes no writes: it says who does. */
export async function refused({ leader, follower }: Stage): Promise<void> {
  const answer = await follower.request("PUT", "/collections/airports/not-here", `{"name":"Nowhere"}`);
  const code = answer.body?.["code"], hint = answer.headers.get("x-dfdb-leader");
  if (answer.status !== 421 || code !== "not_leader") {
    throw new NotSeen(
      `A write on the follower was answered with ${answer.status} ${code}, not with 421 not_leader`,
    );
  }
  if (hint === null || new URL(hint).port !== new URL(leader.url).port) {
    throw new NotSeen(`The follower named ${hint} as its leader, not ${leader.url}`);
  }
  say(`  PUT ${follower.url}/collections/airports/not-here`);
  say(`  421 ${code}, X-Dfdb-Leader: ${hint}`);
  say(`  "${answer.body?.["error"]}"`);
}

export async function tell(stage: Stage): Promise<void> {
  heading("1. The follower connects");
  await connected(stage);
  heading("2. Open data goes into the leader (POST /collections/{name}/bulk, 1,000 documents a request)");
  await loaded(stage);
  heading("3. Both nodes count the same");
  await converged(stage);
  heading("4. One document changes on the leader and appears on the follower");
  await replicated(stage);
  heading("5. The follower refuses a write and names the leader");
  await refused(stage);
}
