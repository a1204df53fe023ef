/** What clients saw of who leads: never did two nodes accept writes at the same time. */
import type { Accepted } from "./inserters.ts";

/**
 * Sentences about writes that no single leader can have accepted: after a write of one epoch was answered, a write that was sent later
 * was accepted under a lower one, or by another node in the same one. An epoch that a node began while another still
 * accepted writes shows as such a pair.
 */
export function twoLeaders(accepted: readonly Accepted[]): readonly string[] {
  const bySent = [...accepted].sort((a, b) => a.sentMs - b.sentMs);
  const byAnswered = [...accepted].sort((a, b) => a.answeredMs - b.answeredMs);
  const wrong: string[] = [], owners = new Map<number, string>();
  let newest: Accepted | null = null, next = 0;
  for (const write of bySent) {
    for (; next < byAnswered.length; next++) {
      const answered = byAnswered[next] as Accepted;
      if (answered.answeredMs >= write.sentMs) break;
      if (newest === null || answered.epoch > newest.epoch) newest = answered;
    }
    if (newest !== null && write.epoch < newest.epoch) {
      const lateMs = (write.sentMs - newest.answeredMs).toFixed(1);
      wrong.push(
        `${write.url} accepted ${write.op} under epoch ${write.epoch}, sent ${lateMs} ms after ${newest.url} had answered ` +
          `${newest.op} under epoch ${newest.epoch}`,
      );
    }
    const owner = owners.get(write.epoch) ?? write.url;
    owners.set(write.epoch, owner);
    if (owner !== write.url) {
      wrong.push(`${write.url} and ${owner} both accepted writes under epoch ${write.epoch}`);
    }
  }
  return wrong;
}
