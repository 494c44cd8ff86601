import { redactSecrets } from "@nullspace/proto/tokens";
import { type DestinationStream, type Logger, pino } from "pino";

/**
 * The server's log: JSON, one object a line. This is the one place where what is logged becomes
 * text, and no credential leaves by it.
 */
export function openLog(level: string, stream: DestinationStream): Logger {
  return pino({ level, base: null, hooks: { streamWrite: redactSecrets } }, stream);
}
