/** What goes wrong with lines between machines. Each returns what undoes it. */
import type { Chance } from "./chance.ts";
import type { Link } from "./links.ts";
import type { Troubles } from "./troubles.ts";

/** Nothing gets through. */
export function cutLinks(links: readonly Link[], troubles: Troubles): () => void {
  const ends = links.map((link) => {
    link.cut = true;
    return troubles.at([link.from, link.to], "cut");
  });
  return () => {
    for (const link of links) link.cut = false;
    for (const end of ends) end();
  };
}

/** Few bytes at a time, or long under way. */
export function slowLink(link: Link, draw: Chance, troubles: Troubles): () => void {
  const end = troubles.at([link.from, link.to], "slow");
  const heal = link.slow(
    draw.flip(0.5)
      ? { bytesPerMs: draw.pick([5, 50]) }
      : { delayMs: { min: 100, max: draw.pick([500, 3_000]) } },
  );
  return () => {
    heal();
    end();
  };
}
