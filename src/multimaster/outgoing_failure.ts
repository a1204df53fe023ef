/** What an operator is told when a destination fails. */
import type { ErrorCode } from "../base/errors.ts";
import { DfdbError } from "../base/errors.ts";

const sentences: Partial<Record<ErrorCode, string>> = {
  unauthorized:
    "it does not take the API key that is sent to it: the destination's ApiKey, or this node's own",
  forbidden: "the API key that is sent to it may not replicate there",
  bundle_not_active: "its database was made without the replication bundle",
  same_database:
    "it is this database itself, or a copy with the same id (dfdb new-identity gives a copy its own)",
  peer_forgotten: "it was told to forget this database, which may not send there any more as it is",
  peer_too_old:
    "one of the two is an older copy than what was purged at the other one, and has to be started with an empty data folder",
};

/** The failure as it is shown, with its own code: what is wrong and what to do, then what the receiver said. */
export function explained(error: DfdbError): DfdbError {
  const sentence = sentences[error.code];
  if (sentence === undefined) return error;
  return new DfdbError(error.code, `The destination refuses: ${sentence}. It says: ${error.message}`, {
    details: error.details,
    cause: error,
  });
}
