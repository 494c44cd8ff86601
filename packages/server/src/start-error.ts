/** The server cannot start, for a reason that its operator can mend. */
export class StartError extends Error {
  override readonly name = "StartError";
  /** What to do about it, in one sentence. */
  readonly remedy: string;

  constructor(message: string, { remedy, cause }: { remedy: string; cause?: unknown }) {
    super(message, { cause });
    this.remedy = remedy;
  }
}
