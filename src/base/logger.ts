/** Fields of a log line; never secrets, never document bodies. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Where the core reports what an operator should know. One event = one call = one line. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const nothing = (): void => {};

/** Drops everything; for embedding and tests. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
