import { directTransport, portTransport } from "../suites/http_fixture.ts";
import { httpMastersSuite } from "../suites/http_masters_suite.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
httpMastersSuite(runtime, directTransport());
httpMastersSuite(runtime, portTransport(runtime));
