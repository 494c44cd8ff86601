/** Writes a line about something that should not have happened to the machine's console. */
export function logDefect(what: string, error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`nullspace-agent: ${what}: ${text}\n`);
}
