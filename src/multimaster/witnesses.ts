/**
 * What a peer said at several times. The earliest of them that confirms a deletion says up to where the peer must have its own log: a copy of it that is
 * older may hold what was deleted.
 */
import type { Seq } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { KeyVersions } from "../storage/versions.ts";
import type { Confirmation, Confirmed } from "./confirmations.ts";
import { isConfirmed } from "./confirmations.ts";
import type { Place } from "./outgoing_events.ts";

/** A confirmation by a peer that also said where its log ended. */
export interface Witness extends Confirmation {
  readonly seq: Seq;
}

export interface KeptWitness extends Witness {
  /** When it was written down. */
  readonly writtenMs: number;
}

export function isWitness(confirmation: Confirmation | null): confirmation is Witness {
  return confirmation !== null && confirmation.seq !== null;
}

export function placeOf({ term: { epoch, run }, seq }: Witness): Place {
  return { epoch, run, seq };
}

/** Those of `earlier` which the peer has not lost since, and the latest itself, oldest first; none where the latest is no witness. */
export function witnesses(earlier: readonly Witness[], latest: Confirmation | null): readonly Witness[] {
  if (!isWitness(latest)) return [];
  return [...earlier.filter((one) => isKept(one, latest)), latest];
}

/** False where that is not known. */
function isKept({ term, seq }: Witness, latest: Witness): boolean {
  if (seq > latest.seq) return false;
  if (term.run === latest.term.run) return true;
  return latest.history.findLast(({ firstSeq }) => firstSeq <= seq)?.run === term.run;
}

/** Null: the latest does not confirm the key. `of`: oldest first. */
export function earliestThatConfirms(
  own: Confirmed,
  of: readonly Witness[],
  key: Pick<KeyVersions, "name" | "change" | "versions">,
): Witness | null {
  const latest = of.at(-1);
  if (latest === undefined || !isConfirmed(own, latest, key)) return null;
  return of.find((one) => isConfirmed(own, one, key)) ?? latest;
}

/** With one more; of those in between as many go as are not needed to have one for each span of time. */
export function withWitness(kept: readonly KeptWitness[], one: KeptWitness): readonly KeptWitness[] {
  const all = [...kept, one];
  for (let i = 1; i < all.length - 1;) {
    const [before, after] = [all[i - 1], all[i + 1]] as [KeptWitness, KeptWitness];
    if (after.writtenMs - before.writtenMs < limits.witnessSpanMs) all.splice(i, 1);
    else i++;
  }
  return all.slice(-limits.witnessesMax);
}
