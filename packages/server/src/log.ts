import { format } from "node:util";
import { redactSecrets } from "@nullspace/proto/tokens";
import { type DestinationStream, type Logger, pino } from "pino";

/**
 * The server's log: JSON, one object a line. This is the one place where what is logged becomes
 * text, and no credential leaves by it.
 */
export function openLog(level: string, stream: DestinationStream): Logger {
  return pino({ level, base: null, hooks: { streamWrite: redactSecrets } }, stream);
}

/** Puts what libraries write to the console into the log, where it is redacted like the rest. */
export function takeConsole(log: Logger): void {
  const write = (...parts: unknown[]) => log.warn(format(...parts));
  Object.assign(console, { error: write, warn: write });
}
