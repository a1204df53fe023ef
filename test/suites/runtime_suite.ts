import type { Runtime } from "../../src/runtime/runtime.ts";
import { httpCloseSuite, httpFaultSuite } from "./runtime_http_fault_suite.ts";
import { httpsSuite } from "./runtime_https_suite.ts";
import { httpSuite } from "./runtime_http_suite.ts";
import { tcpListenSuite } from "./runtime_listen_suite.ts";
import { factsSuite, filesSuite } from "./runtime_local_suite.ts";
import { plainConnectionSuite } from "./runtime_plain_suite.ts";
import { tcpStreamSuite } from "./runtime_tcp_suite.ts";
import { tlsSuite } from "./runtime_tls_suite.ts";
import { workerSuite } from "./runtime_worker_suite.ts";

/** The contract of `src/runtime`, as tests. Every implementation passes all of it. */
export function runtimeSuite(
  name: string,
  makeRuntime: (options?: { readonly workerMain?: string }) => Runtime,
): void {
  factsSuite(name, makeRuntime);
  filesSuite(name, makeRuntime);
  tcpListenSuite(name, makeRuntime);
  tcpStreamSuite(name, makeRuntime);
  plainConnectionSuite(name, makeRuntime);
  tlsSuite(name, makeRuntime);
  httpSuite(name, makeRuntime);
  httpsSuite(name, makeRuntime);
  httpFaultSuite(name, makeRuntime);
  httpCloseSuite(name, makeRuntime);
  workerSuite(name, makeRuntime);
}
