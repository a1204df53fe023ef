/** A process without surroundings, for tests of single parts. */
import { DfdbError } from "../../src/base/errors.ts";
import type { Net } from "../../src/runtime/net.ts";
import { plainFiles } from "../tool/plain_files.ts";
import { SimProcess } from "./sim_process.ts";
import type { World } from "./world.ts";

const nowhere = (): Promise<never> => Promise.reject(new DfdbError("unreachable", "there is no network"));

/** It reaches nobody and has the real disk. */
export function loneProcess(world: World, machine = "n1"): SimProcess {
  const net: Net = { listen: nowhere, connect: nowhere };
  return new SimProcess({
    world,
    machine,
    number: 0,
    clock: { rate: 1, wallOffsetMs: 0 },
    net: () => net,
    http: () => ({ serve: nowhere }),
    fetch: () => nowhere,
    files: () => plainFiles,
    crashPoint: () => {},
  });
}
