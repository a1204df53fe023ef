import { DfdbError, type ErrorCode, isErrorCode } from "../base/errors.ts";
import type { Refused } from "../wire/message.ts";

/** The message that tells a peer why the connection ends. */
export function refusedMessage(error: DfdbError): Refused {
  return {
    type: "refused",
    code: error.code,
    message: error.message.slice(0, 1000),
    details: { ...error.details },
  };
}

/** The error that a peer's refusal stands for; a code that this version does not know is shown in the sentence. */
export function errorOfRefusal(message: Refused): DfdbError {
  const { code, details } = message;
  if (isErrorCode(code)) return new DfdbError(code, message.message, { details });
  return new DfdbError("version", `${code}: ${message.message}`, { details });
}

/** Ends of a connection that say nothing against the peer: the line is down or the other side restarts. */
export function isNetworkError(code: ErrorCode): boolean {
  return code === "unreachable" || code === "timeout" || code === "going_away";
}
