/** What came of one seed; goes from the process that ran it to the one that counts. */
export interface SeedResult {
  readonly seed: number;
  /** Null: nothing was violated. */
  readonly violation: { readonly checker: string; readonly message: string; readonly stack: string } | null;
  readonly virtualMs: number;
  readonly wallMs: number;
  readonly events: number;
  /** Counts by name: faults, requests, what the network and the nodes did. */
  readonly counts: Readonly<Record<string, number>>;
  /** Longest real time of one event, ms. */
  readonly longestMs: number;
  /** Numbers of the events that held a node's thread for longer than `limits.stallMs` of real time. */
  readonly slowEvents: readonly number[];
  /** Over all steps of the machines, null when it was not asked for. */
  readonly hash: string | null;
}

/** Sums of many seeds. */
export class Sums {
  seeds = 0;
  virtualMs = 0;
  events = 0;
  longestMs = 0;
  readonly counts = new Map<string, number>();

  add(result: SeedResult): void {
    this.seeds++;
    this.virtualMs += result.virtualMs;
    this.events += result.events;
    this.longestMs = Math.max(this.longestMs, result.longestMs);
    for (const [name, count] of Object.entries(result.counts)) {
      this.counts.set(name, (this.counts.get(name) ?? 0) + count);
    }
  }

  text(wallMs: number): string {
    const lines = [
      `${this.seeds} seeds, ${
        (this.virtualMs / 3_600_000).toFixed(1)
      } virtual hours, ${this.events} events in ` +
      `${(wallMs / 60_000).toFixed(1)} minutes (${
        (this.seeds * 1000 / wallMs).toFixed(1)
      } seeds a second); ` +
      `longest event ${this.longestMs.toFixed(0)} ms`,
    ];
    const groups = new Map<string, string[]>();
    for (const [name, count] of [...this.counts].sort(([a], [b]) => a < b ? -1 : 1)) {
      const [group = "", rest = ""] = name.split(/\.(.*)/s);
      groups.set(group, [...groups.get(group) ?? [], `${rest} ${count}`]);
    }
    for (const [group, items] of groups) lines.push(`  ${group}: ${items.join(", ")}`);
    return lines.join("\n");
  }
}
