import type { KnownNode } from "../wire/message.ts";
import type { Identity } from "./types.ts";
import { formatWireAddress, parseWireAddress, type WireAddress } from "./wire_address.ts";

/** So many hints of peers are followed in one round: two nodes that name each other are found out. */
const hintsMax = 3;

export interface LeaderAddressesOptions {
  readonly configured: WireAddress;
  /** The one that last welcomed this node, from an earlier run. */
  readonly last: string | null;
  /** Other nodes, tried in this order after the others; asked each time. */
  readonly known: () => readonly KnownNode[];
  /** This node, which is never tried. */
  readonly self: () => Pick<Identity, "nodeId" | "wireAddress">;
}

/**
 * Where a follower looks for its leader. A round tries each address once: the one that last welcomed this node, the
 * configured one, those of other nodes. An address that somebody named comes before all of them.
 */
export class LeaderAddresses {
  /** The one that was given out last. */
  current: WireAddress | null = null;
  readonly #options: LeaderAddressesOptions;
  #last: WireAddress | null;
  #first: WireAddress | null = null;
  #hints = 0;
  /** In this round, as text. */
  readonly #tried = new Set<string>();

  constructor(options: LeaderAddressesOptions) {
    this.#options = options;
    this.#last = dialable(options.last);
  }

  /** This round goes on: somewhere else may be tried without a long pause. */
  get more(): boolean {
    return this.#first !== null || (this.#tried.size > 0 && this.#untried().length > 0);
  }

  /** The present address is the one that last welcomed this node. */
  get atLast(): boolean {
    return this.current !== null && this.#last !== null &&
      formatWireAddress(this.current) === formatWireAddress(this.#last);
  }

  /** Where to go now; begins a new round when all were tried. */
  next(): WireAddress {
    const address = this.#first ?? this.#untried()[0] ?? this.#newRound();
    this.#first = null;
    this.#tried.add(formatWireAddress(address));
    this.current = address;
    return address;
  }

  /** A leader welcomed this node at the present address: when it is lost, a new round begins there. */
  welcomed(): void {
    this.#last = this.current;
    this.#tried.clear();
  }

  /** The stream works: hints are believed again. */
  progressed(): void {
    this.#hints = 0;
  }

  /** A proved peer says that this node leads. */
  hint({ nodeId, wireAddress }: KnownNode): void {
    const { known, self } = this.#options;
    if (this.#hints >= hintsMax) return;
    const told = wireAddress ?? known().find((node) => node.nodeId === nodeId)?.wireAddress ?? null;
    const address = dialable(told);
    if (address === null || formatWireAddress(address) === self().wireAddress) return;
    this.#hints++;
    this.#first = address;
  }

  /** This node itself wants to go there next. */
  tryFirst(address: WireAddress): void {
    this.#first = address;
  }

  /** The next address is the first of a round, whatever was tried. */
  restart(): void {
    this.#tried.clear();
    this.#hints = 0;
  }

  #newRound(): WireAddress {
    this.restart();
    return this.#untried()[0] ?? this.#options.configured;
  }

  #untried(): WireAddress[] {
    const { configured, known, self } = this.#options, { nodeId, wireAddress } = self();
    const others = known().filter((node) => node.nodeId !== nodeId).map((node) => dialable(node.wireAddress));
    const left = new Map<string, WireAddress>();
    for (const address of [this.#last, configured, ...others]) {
      if (address === null) continue;
      const text = formatWireAddress(address);
      if (text !== wireAddress && !this.#tried.has(text) && !left.has(text)) left.set(text, address);
    }
    return [...left.values()];
  }
}

/** Null where a host is missing. */
export function dialable(told: string | null): WireAddress | null {
  const address = told === null ? null : parseWireAddress(told);
  return address === null || address.hostname === "" ? null : address;
}
