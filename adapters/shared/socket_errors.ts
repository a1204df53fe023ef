import { DfdbError, messageOf } from "../../src/base/errors.ts";

function isAddressInUse(error: unknown): boolean {
  const { code, name } = error as { code?: string; name?: string };
  return code === "EADDRINUSE" || name === "AddrInUse";
}

/** What `listen` and `serve` throw, whatever the runtime threw. */
export function listenError(hostname: string, port: number, cause: unknown): DfdbError {
  if (isAddressInUse(cause)) {
    return new DfdbError("port_in_use", `port ${port} is already in use`, { details: { port }, cause });
  }
  const message = `cannot listen on ${hostname}:${port}: ${messageOf(cause)}`;
  return new DfdbError("io_error", message, { details: { port }, cause });
}

/** What `connect` throws, whatever the runtime threw. */
export function connectError(hostname: string, port: number, cause: unknown): DfdbError {
  const details = { hostname, port };
  return new DfdbError("unreachable", `cannot connect to ${hostname}:${port}: ${messageOf(cause)}`, {
    details,
    cause,
  });
}

/** The usual form of an IPv4 address that a dual-stack socket reports as `::ffff:a.b.c.d`. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return "";
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
