#!/usr/bin/env node
import { main } from "../../src/cli/main.ts";
import { nodeRuntime } from "./mod.ts";

const runtime = nodeRuntime();
runtime.process.exit(await main(runtime));
