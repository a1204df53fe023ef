/**
 * dfdb as a library: a node inside your own process. A runtime comes from the adapter of the runtime you are on
 * (`adapters/node/mod.ts`, `adapters/deno/mod.ts`, `adapters/bun/mod.ts`).
 *
 * @example
 * ```ts
 * import { readSettings, silentLogger, startNode } from "dfdb";
 * import { nodeRuntime } from "dfdb/node";
 *
 * const settings = readSettings({ flags: { "data-dir": "./data", port: "5000" }, env: {}, file: null });
 * const node = await startNode(nodeRuntime(), settings, silentLogger);
 * // ... node.httpUrl answers ...
 * await node.stop();
 * ```
 *
 * @module
 */
export { DfdbError, type ErrorCode, type ErrorDetails, errorStatus } from "./base/errors.ts";
export { type LogFields, type Logger, silentLogger } from "./base/logger.ts";
export { type RunningNode, startNode } from "./node/node.ts";
export { version } from "./node/version.ts";
export { readSettings, type SettingSources } from "./node/read_settings.ts";
export { type SettingName, type SettingRow, type Settings, settingsTable } from "./node/settings.ts";
export type { Runtime } from "./runtime/runtime.ts";
