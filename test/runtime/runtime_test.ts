import { runtimeSuite } from "../suites/runtime_suite.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

runtimeSuite(currentRuntime().name, currentRuntime);
