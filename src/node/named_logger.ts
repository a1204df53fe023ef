import type { Logger } from "../base/logger.ts";

/** Lines that say whose they are. */
export function namedLogger(logger: Logger, database: string): Logger {
  return {
    debug: (message, fields) => logger.debug(message, { database, ...fields }),
    info: (message, fields) => logger.info(message, { database, ...fields }),
    warn: (message, fields) => logger.warn(message, { database, ...fields }),
    error: (message, fields) => logger.error(message, { database, ...fields }),
  };
}
