import { forwardNetSuite } from "../suites/http_forward_net_suite.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

forwardNetSuite(currentRuntime());
