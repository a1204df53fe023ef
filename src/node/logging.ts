/** Log lines through LogTape: one line an event, fields as `name=value`. */
import { configureSync, getLogger } from "@logtape/logtape";
import type { LogLevel, LogRecord } from "@logtape/logtape";
import type { LogFields, Logger } from "../base/logger.ts";

/** A logger that hands finished lines to `write`. Call once in a process. */
export function lineLogger(level: string, write: (line: string) => void): Logger {
  configureSync({
    reset: true,
    sinks: { lines: (record) => write(line(record)) },
    loggers: [
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["lines"] },
      { category: "dfdb", lowestLevel: level as LogLevel, sinks: ["lines"] },
    ],
  });
  const logger = getLogger("dfdb");
  const fields = (given: LogFields | undefined): Record<string, unknown> => ({ ...given });
  return {
    debug: (message, given) => logger.debug(message, fields(given)),
    info: (message, given) => logger.info(message, fields(given)),
    warn: (message, given) => logger.warn(message, fields(given)),
    error: (message, given) => logger.error(message, fields(given)),
  };
}

function line(record: LogRecord): string {
  const fields = Object.entries(record.properties)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === "string" ? JSON.stringify(value) : value}`)
    .join("");
  const time = new Date(record.timestamp).toISOString();
  return `${time} ${record.level.toUpperCase().padEnd(7)} ${record.rawMessage as string}${fields}\n`;
}
