/** Authorities of several nodes on one fake etcd and one clock, whose wall time may run ahead. */
import { databaseIdOf, epochOf, type NodeId, nodeIdOf, type WallMs, wallMsOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { prng } from "../../src/base/prng.ts";
import type { Authority, LeaderClaim } from "../../src/cluster/authority.ts";
import { etcdAuthority } from "../../src/cluster/authority/etcd.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import { FakeEtcd } from "./fake_etcd.ts";
import { ManualClock } from "./manual_clock.ts";

export const authorityDatabase = databaseIdOf("d".repeat(32));

export const keyOf = (name: "leader" | "epoch" | "sync"): string => `/dfdb/${authorityDatabase}/${name}`;

/** Node ids are a letter, 32 times. */
export const idOf = (letter: string): NodeId => nodeIdOf(letter.repeat(32));

export function nodeOf(letter: string): KnownNode {
  return { nodeId: idOf(letter), nodeName: `node-${letter}`, httpUrl: null, wireAddress: null };
}

export function claimOf(letter: string, more: Partial<LeaderClaim> = {}): LeaderClaim {
  return { node: nodeOf(letter), above: epochOf(0), syncRequired: 0, ...more };
}

export class WallClock extends ManualClock {
  wallAheadMs = 0;

  override wall(): WallMs {
    return wallMsOf(super.wall() + this.wallAheadMs);
  }
}

export class AuthorityRig {
  readonly clock = new WallClock();
  readonly etcd = new FakeEtcd(this.clock);
  readonly #random = prng(1);

  /** An authority of node `letter` with a lease of 10 s. */
  open(
    letter: string,
    endpoints: readonly string[] = ["http://etcd1:2379"],
    silenceMs = 10_000,
    databaseId = () => authorityDatabase,
  ): Authority {
    return etcdAuthority({
      runtime: { fetch: this.etcd.fetch, clock: this.clock, random: this.#random },
      logger: silentLogger,
      nodeId: idOf(letter),
      databaseId,
      endpoints,
      silenceMs,
    });
  }

  /** The outcome of `promise` while time passes: its value, or the `reason` of its error. */
  async outcome<Value>(promise: Promise<Value>): Promise<Value | string> {
    let over = false;
    const outcome = promise.catch((thrown) => String(thrown.details?.reason ?? thrown.code));
    void outcome.then(() => over = true);
    await this.clock.until(() => over, "an outcome");
    return await outcome;
  }

  /** How often `lost` was called, from now on. */
  losses(authority: Authority): { count: number } {
    const seen = { count: 0 };
    authority.onLost(() => void seen.count++);
    return seen;
  }
}
