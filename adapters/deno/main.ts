#!/usr/bin/env -S deno run -A
import { main } from "../../src/cli/main.ts";
import { denoRuntime } from "./mod.ts";

const runtime = denoRuntime();
runtime.process.exit(await main(runtime));
