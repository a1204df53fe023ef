/** `dfdb new-identity`: gives a copied database file an id of its own. */
import { Command } from "commander";
import { giveNewIdentity } from "../node/new_identity.ts";
import type { Runtime } from "../runtime/runtime.ts";

export function newIdentityCommand(run: (file: string) => Promise<void>): Command {
  return new Command("new-identity")
    .description("make a copied database file a database of its own")
    .argument("<file>", "a database file that no node has open: a backup, or a copy of one that was closed")
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .addHelpText(
      "after",
      `
Two masters must not have one id. Documents, ETags, conflicts and deletions stay as they are, and each one stays the change of the database that made it:
the copy and the original replicate to each other without conflicts about what both have. Destinations of replication that
the copy has stay, too: look at them before it starts. Its followers begin anew with a snapshot; of its log the last entry stays.

A copy that is older than what other masters have purged is refused by them (peer_too_old), and so is one of a master that they have forgotten and purged
without. An empty data folder is filled by them.

Example:
  cp backup.dfdb berlin.dfdb && dfdb new-identity berlin.dfdb`,
    )
    .action((file: string) => run(file));
}

/** Answers the exit code. */
export async function newIdentity(runtime: Runtime, given: string): Promise<number> {
  const { databaseId, former, position } = await giveNewIdentity(runtime, given);
  runtime.process.stdout(`${given} is database ${databaseId} now; it was ${former}, up to ${position}\n`);
  return 0;
}
