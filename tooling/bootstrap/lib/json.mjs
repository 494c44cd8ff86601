/**
 * Reads JSON that a tool of this repository or of npm has written: its shape is
 * that tool's promise, and is not looked at.
 *
 * @template T
 * @param {string} text
 * @returns {T}
 * @throws {SyntaxError} if the text is torn
 */
export function parseJson(text) {
  /** @type {unknown} */
  const value = JSON.parse(text);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as the description says
  return /** @type {T} */ (value);
}
