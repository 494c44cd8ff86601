/** A set-up step that failed, with what its reader can do about it. */
export class SetupError extends Error {
  /**
   * @param {string} message what failed
   * @param {{ remedy: string, logTail?: string, cause?: unknown }} options
   *   `remedy`: what to do, in one sentence; `logTail`: last lines of output
   */
  constructor(message, { remedy, logTail = "", cause }) {
    super(message, { cause });
    this.name = "SetupError";
    this.remedy = remedy;
    this.logTail = logTail;
  }
}
