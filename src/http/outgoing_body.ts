/** A request body on its way to another server. */
export interface OutgoingBody {
  readonly stream: ReadableStream<Uint8Array>;
  /** Somebody asked for its bytes. */
  readonly begun: boolean;
  /** Why the client did not send all of it; null: it did, or is about to. */
  readonly failure: unknown;
  /** Nobody wants the rest. */
  end(): void;
}

/**
 * Passes `body` on as it comes, null as an empty one. A stream that is not closed before it is asked, because it can be
 * sent only once: a fetch that has bytes, or knows that there are none, sends them again, unasked, when its connection
 * breaks. `moved` is called at each step until `end`.
 */
export function outgoingBody(body: ReadableStream<Uint8Array> | null, moved: () => void): OutgoingBody {
  const reader = body?.getReader() ?? null;
  let begun = false, over = reader === null, failure: unknown = null;
  const end = (): void => {
    if (over) return;
    over = true;
    reader?.cancel().catch(() => {}); // what is still to come belongs to nobody
  };
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      begun = true;
      if (reader === null) return controller.close();
      try {
        const { done, value } = await reader.read();
        if (over) return controller.close();
        moved();
        if (!done) return controller.enqueue(value);
        over = true;
        controller.close();
      } catch (error) {
        if (over) return controller.close();
        over = true;
        failure = error ?? new Error("The body failed");
        controller.error(failure);
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
  return {
    stream,
    get begun() {
      return begun;
    },
    get failure() {
      return failure;
    },
    end,
  };
}
