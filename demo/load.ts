import type { Client } from "./client.ts";
import { NotSeen } from "./client.ts";
import type { Dataset } from "./datasets.ts";
import { grouped, progress } from "./terminal.ts";

const documentsPerRequest = 1_000, requestsInFlight = 4, lookEveryMs = 150;

/** Loads a dataset into the leader with `POST /collections/{c}/bulk`, and shows how far the follower is meanwhile. */
export async function load(dataset: Dataset, leader: Client, follower: Client): Promise<void> {
  const { collection, documents } = dataset;
  const bar = progress(collection, documents.length);
  let next = 0, done = 0, onFollower = 0, loading = true;
  const send = async (): Promise<void> => {
    while (next < documents.length) {
      const slice = documents.slice(next, next += documentsPerRequest);
      await bulk(leader, collection, slice);
      done += slice.length;
      bar.update(done, `follower ${grouped(onFollower)}`);
    }
  };
  const look = async (): Promise<void> => {
    while (loading) {
      onFollower = (await follower.counts()).get(collection) ?? 0;
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  };
  const looking = look();
  try {
    await Promise.all(Array.from({ length: requestsInFlight }, send));
  } finally {
    loading = false;
    await looking.catch(() => {}); // the follower's count is only decoration here; `converge` checks it
  }
  bar.end(`follower ${grouped(onFollower)}`);
}

async function bulk(leader: Client, collection: string, slice: readonly string[]): Promise<void> {
  const answer = await leader.request("POST", `/collections/${collection}/bulk`, `[${slice.join(",")}]`);
  if (answer.status !== 200 || answer.body?.["count"] !== slice.length) {
    const text = JSON.stringify(answer.body)?.slice(0, 300);
    throw new NotSeen(`A bulk of ${slice.length} ${collection} was answered with ${answer.status}: ${text}`);
  }
}
