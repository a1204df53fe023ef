#!/usr/bin/env bun
import { main } from "../../src/cli/main.ts";
import { bunRuntime } from "./mod.ts";

const runtime = bunRuntime();
runtime.process.exit(await main(runtime));
