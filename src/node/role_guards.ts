/** What the settings say against a change of who leads while the node runs; at the start check_settings.ts says it. */
import { DfdbError } from "../base/errors.ts";
import { parseWireAddress } from "../replication/wire_address.ts";
import type { Objection } from "./check_settings.ts";
import { secretObjection, silenceObjection } from "./check_settings.ts";
import type { Settings } from "./settings.ts";
import type { Stand } from "./stand.ts";

type Standing = Pick<Stand, "secret" | "welcomed" | "at">;

/** This node is to take over, by itself or by an operator. Throws `setting_invalid`. */
export function mayTake(settings: Settings, stand: Standing): void {
  refuse(secretObjection(inForce(settings, stand), "replicationSecret", leaderHost(stand)));
}

/** This leader is to give its role to the follower whose connection comes from `endpoint`. Throws `setting_invalid`. */
export function mayGive(settings: Settings, stand: Standing, endpoint: string | null): void {
  refuse(secretObjection(inForce(settings, stand), "replicationSecret", hostOf(endpoint)));
}

/** This follower is to take over after `silenceMs` of silence. Throws `setting_invalid`. */
export function mayWatch(settings: Settings, stand: Standing, silenceMs: number): void {
  const found = silenceObjection(inForce(settings, stand), silenceMs, leaderHost(stand));
  refuse(found === null ? null : { ...found, setting: "silenceSeconds" });
}

function inForce(settings: Settings, { secret }: Standing): Settings {
  return { ...settings, replicationSecret: secret };
}

function leaderHost({ welcomed, at }: Standing): string | null {
  return hostOf(welcomed?.endpoint ?? null) ?? at?.hostname ?? null;
}

/** Of a socket's other end the host stands as it is, IPv6 without brackets. */
function hostOf(endpoint: string | null): string | null {
  if (endpoint === null) return null;
  return parseWireAddress(endpoint)?.hostname ?? endpoint.slice(0, endpoint.lastIndexOf(":"));
}

function refuse(found: Objection | null): void {
  if (found === null) return;
  const { setting, sentence } = found;
  throw new DfdbError("setting_invalid", `${setting}: ${sentence}`, { details: { setting } });
}
