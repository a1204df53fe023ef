import { directTransport, portTransport } from "../suites/http_fixture.ts";
import { httpApiSuite } from "../suites/http_suite.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
httpApiSuite(runtime, directTransport());
httpApiSuite(runtime, portTransport(runtime));
