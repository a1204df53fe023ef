import { httpRolesSuite } from "../suites/http_roles_suite.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

httpRolesSuite(currentRuntime());
