import { DfdbError, messageOf } from "../base/errors.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Channel } from "../wire/channel.ts";
import type { Message } from "../wire/message.ts";

/** How long a side that said its last word waits for the other to hang up, and then for its own bytes to leave, ms. */
export const lingerMs = 500;

/**
 * Gives every message to `give`, and how it ended to `end`, and goes on reading after that until the peer has hung up
 * or said goodbye: see {@linkcode farewell}. Never throws, unless `give` or `end` does.
 */
export async function readToTheEnd(
  channel: Channel,
  give: (message: Message) => void | Promise<void>,
  end: (error: DfdbError) => void,
): Promise<void> {
  for (;;) {
    let message: Message | null;
    try {
      message = await channel.receive();
    } catch (thrown) {
      end(asUnreachable(thrown));
      return channel.drain();
    }
    if (message === null) return end(new DfdbError("unreachable", "the peer closed the connection"));
    const given = give(message);
    if (given instanceof Promise) await given;
    if (message.type === "refused" || message.type === "goingAway") return;
  }
}

/**
 * Ends a connection. With `last`: sends it, and waits a little until `reading` (see above) has seen the peer hang up:
 * closing a socket with unread bytes resets it, and a reset can destroy what the peer has not read yet. Never throws.
 */
export async function farewell(
  channel: Channel,
  clock: Clock,
  last: Message | null,
  reading: Promise<void>,
): Promise<void> {
  const ended = new DfdbError("going_away", "this side closed the connection");
  if (last === null) return channel.abort(ended);
  const said = Promise.resolve(channel.send(last)).then(() => channel.heard ? reading : undefined);
  await withPatience(clock, said.catch(() => {}));
  const timer = clock.timer(lingerMs, () => channel.abort(ended));
  await channel.close();
  timer.cancel();
}

async function withPatience(clock: Clock, task: Promise<void>): Promise<void> {
  let cancel = (): void => {};
  const patience = new Promise<void>((resolve) => {
    const timer = clock.timer(lingerMs, resolve);
    cancel = () => timer.cancel();
  });
  await Promise.race([task, patience]);
  cancel();
}

/** What ended a connection, as an error with a code. */
export function asUnreachable(thrown: unknown): DfdbError {
  if (thrown instanceof DfdbError) return thrown;
  return new DfdbError("unreachable", messageOf(thrown), { cause: thrown });
}
