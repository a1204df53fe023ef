/**
 * Where a node's wire is, as text: `host:port`, `[v6]:port`, or `:port` when the node does not know under which host others reach
 * it; whoever receives that puts in the other end of the socket.
 */

export interface WireAddress {
  /** Without brackets; "" when only the port is known. */
  readonly hostname: string;
  readonly port: number;
}

/** Null when `text` is no such address. */
export function parseWireAddress(text: string): WireAddress | null {
  const parts = /^(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:]*)):(\d{1,5})$/.exec(text);
  if (parts === null) return null;
  const hostname = parts[1] ?? parts[2] ?? "", port = Number(parts[3]);
  return port === 0 || port > 65_535 || /[\s/]/.test(hostname) ? null : { hostname, port };
}

export function formatWireAddress({ hostname, port }: WireAddress): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/**
 * The address with `otherEnd`, the host of the socket on which it was told, in the place of a host that is missing. Null when
 * there is none, or nothing that could be one.
 */
export function reachableAddress(told: string | null, otherEnd: string): string | null {
  const address = told === null ? null : parseWireAddress(told);
  if (address === null) return null;
  return formatWireAddress({ ...address, hostname: address.hostname || plainHost(otherEnd) });
}

/** Two-stack listeners show IPv4 peers as `::ffff:192.0.2.1`. */
function plainHost(host: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1] ?? host;
}
