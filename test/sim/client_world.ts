/** What a client has around it; the simulator implements it, tests fake it. */
import type { Chance } from "./chance.ts";
import type { Ask, IndexChange, ReadSeen, RefusedRead, Reply, StateSeen, Violation, Write } from "./types.ts";

export interface ClientWorld {
  /** Virtual ms. */
  readonly now: number;
  chance(name: string): Chance;
  /** `url`: as `url()` gives it; the path of `ask` comes after it. Never rejects. */
  request(from: string, url: string, ask: Ask): Promise<Reply>;
  /** Resolves in `ms` of virtual time. */
  after(ms: number): Promise<void>;
  machines(): readonly string[];
  /** Whom clients believe to lead. */
  leader(): string;
  /** Where a machine's HTTP API is, without a slash at its end. */
  url(machine: string): string;
  /** Followers that must hold a write before `machine` answers it. */
  required(machine: string): number;
  /** Followers pass writes on to their leader. */
  readonly forwards?: boolean;
  /** A request for an index is sent; `written` tells what became of it. */
  asksIndex?(machine: string, sentAt: number, index: IndexChange): void;
  written(write: Write): void;
  read(read: ReadSeen): void;
  /** A read that was to be of a position, or of a later one, was refused. */
  behind?(refused: RefusedRead): void;
  /** What an answer says of the state that it was given in. */
  saw?(seen: StateSeen): void;
  /** An answer that can never be. */
  unexpected(violation: Violation): void;
}
