import type { Connection } from "../../src/runtime/net.ts";

/** Accepted connections that nobody took yet; beyond this, new ones are refused. */
export const acceptedWaitingMax = 512;

/** Connections that the system may hold before we accept them. */
export const listenBacklog = 511;

/** Hands accepted connections from an event handler to one async iteration. */
export interface AcceptQueue extends AsyncIterable<Connection> {
  /** False when it is full or closed: the caller gets rid of the socket. */
  readonly hasRoom: boolean;
  offer(connection: Connection): void;
  /** Ends the iteration; connections that were not taken are broken. */
  close(): void;
}

/** An empty {@linkcode AcceptQueue}. */
export function acceptQueue(): AcceptQueue {
  const accepted: Connection[] = [];
  const takers: ((result: IteratorResult<Connection, undefined>) => void)[] = [];
  let open = true;
  const done = { done: true, value: undefined } as const;

  const next = (): Promise<IteratorResult<Connection, undefined>> => {
    const value = accepted.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (!open) return Promise.resolve(done);
    return new Promise((resolve) => void takers.push(resolve));
  };

  return {
    get hasRoom() {
      return open && accepted.length < acceptedWaitingMax;
    },
    offer(value) {
      const taker = takers.shift();
      if (taker === undefined) accepted.push(value);
      else taker({ done: false, value });
    },
    close() {
      open = false;
      for (const connection of accepted.splice(0)) connection.abort(new Error("the listener was closed"));
      for (const taker of takers.splice(0)) taker(done);
    },
    [Symbol.asyncIterator]: () => ({ next }),
  };
}
