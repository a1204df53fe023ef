import { httpContractRolesSuite } from "../suites/http_contract_roles.ts";
import { httpContractSuite } from "../suites/http_contract_suite.ts";
import { directTransport, portTransport } from "../suites/http_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
for (const transport of [directTransport(), portTransport(runtime)]) {
  httpContractSuite(runtime, transport);
  httpContractRolesSuite(runtime, transport);
}
