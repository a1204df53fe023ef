import { httpLeadershipSuite } from "../suites/http_leadership_suite.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

httpLeadershipSuite(currentRuntime());
