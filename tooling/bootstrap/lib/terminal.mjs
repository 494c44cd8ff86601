/** @typedef {(text: string) => void} Detail tells what a step is doing at the moment */

const REDRAW_MS = 250;

/**
 * Runs a step and shows it: on a terminal one line, redrawn with its elapsed
 * time and what it does; elsewhere a line at its begin and one at its end. A
 * step that is done before anybody could read its name shows only its end.
 *
 * @template T
 * @param {string} title
 * @param {(detail: Detail) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(title, work) {
  const { stderr } = process;
  const started = performance.now();
  const elapsed = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  let detail = "";
  const draw = () => {
    const text = `… ${title} (${elapsed()}) ${detail}`;
    stderr.write(`\r\x1b[K${text.slice(0, stderr.columns - 1)}`);
  };
  const begin = setTimeout(() => stderr.isTTY || stderr.write(`… ${title}\n`), REDRAW_MS);
  const redraw = stderr.isTTY ? setInterval(draw, REDRAW_MS) : undefined;
  const close = (/** @type {string} */ mark, /** @type {string} */ remark) => {
    clearTimeout(begin);
    clearInterval(redraw);
    stderr.write(`${stderr.isTTY ? "\r\x1b[K" : ""}${mark} ${title} (${remark})\n`);
  };
  try {
    const result = await work((text) => {
      detail = text;
    });
    close("✓", elapsed());
    return result;
  } catch (cause) {
    close("✗", `failed after ${elapsed()}`);
    throw cause;
  }
}
