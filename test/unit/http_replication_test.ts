import { directTransport, portTransport } from "../suites/http_fixture.ts";
import { httpReplicationSuite } from "../suites/http_replication_suite.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const runtime = currentRuntime();
httpReplicationSuite(runtime, directTransport());
httpReplicationSuite(runtime, portTransport(runtime));
