/** A mistake on the command line that the parser cannot see. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
