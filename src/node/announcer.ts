/**
 * A leader tells the nodes that it knows and that do not follow it who leads, again and again: an old leader that comes back, or one
 * on the other side of a cut line, must hear it as soon as it can be reached.
 */
import { limits } from "../base/limits.ts";
import type { Clock, Random, Timer } from "../runtime/runtime.ts";
import type { KnownNode } from "../wire/message.ts";

export interface Announcer {
  /** Begins, or begins anew with short pauses. */
  start(): void;
  stop(): void;
}

export interface AnnouncerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Whom to tell now. */
  readonly peers: () => readonly KnownNode[];
  /** Never rejects; resolves when the peer has answered, or could not be reached. */
  readonly tell: (peer: KnownNode) => Promise<void>;
}

export function announcer({ clock, random, peers, tell }: AnnouncerOptions): Announcer {
  let timer: Timer | null = null, running: object | null = null;
  const round = async (own: object, pauseMs: number): Promise<void> => {
    timer = null;
    await Promise.all(peers().map(tell));
    if (running !== own) return;
    const jittered = pauseMs * (0.5 + random.float() / 2);
    timer = clock.timer(jittered, () => void round(own, Math.min(limits.reconnectMaxMs, 2 * pauseMs)));
  };
  const stop = (): void => {
    timer?.cancel();
    timer = running = null;
  };
  return {
    start() {
      stop();
      running = {};
      void round(running, limits.reconnectMinMs);
    },
    stop,
  };
}
