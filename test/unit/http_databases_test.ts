import { httpDatabasesSuite } from "../suites/http_databases_suite.ts";
import { directTransport, portTransport } from "../suites/http_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
httpDatabasesSuite(runtime, directTransport());
httpDatabasesSuite(runtime, portTransport(runtime));
