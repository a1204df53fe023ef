// dfdb as it is served, on a machine whose wall clock is CLOCK_BEHIND_MS behind this one's.
import process from "node:process";
import { wallMsOf } from "../../src/base/ids.ts";
import { main } from "../../src/cli/main.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const behindMs = Number(process.env["CLOCK_BEHIND_MS"]);
if (!(behindMs > 0)) throw new Error("CLOCK_BEHIND_MS is to be a number of ms");

const runtime = currentRuntime(), { clock } = runtime;
const older = { ...clock, wall: () => wallMsOf(clock.wall() - behindMs) };
runtime.process.exit(await main({ ...runtime, clock: older }));
