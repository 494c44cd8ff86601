/** A build that could not go on, with what its reader can do about it. */
export class BuildError extends Error {
  override readonly name = "BuildError";
  /** What to do, in one sentence. */
  readonly remedy: string;
  /** The last lines of the output of the command that failed. */
  readonly logTail: string;

  constructor(message: string, options: { remedy: string; logTail?: string; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.remedy = options.remedy;
    this.logTail = options.logTail ?? "";
  }
}
