import { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { positionText } from "../storage/position_text.ts";
import { newIdentity } from "../storage/sqlite/new_identity.ts";

export interface Renamed {
  readonly databaseId: DatabaseId;
  readonly former: DatabaseId;
  /** Of the last entry, as text. */
  readonly position: string;
}

/** `storage/sqlite/new_identity.ts` for a file as a person names it; rejects with `not_found`, too. */
export async function giveNewIdentity(
  { files, process, random, clock }: Runtime,
  given: string,
): Promise<Renamed> {
  const path = files.absolute(given), { pid, hostname } = process;
  if (await files.size(path) === null) throw new DfdbError("not_found", `There is no file ${given}`);
  const { databaseId, former, position } = await newIdentity({
    ...{ path, random, files, pid, hostname },
    wall: () => clock.wall(),
  });
  return { databaseId, former, position: positionText(position, position.seq) };
}
