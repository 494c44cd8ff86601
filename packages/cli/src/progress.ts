import { duration, styled } from "./terminal.js";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"] as const;
/** What is done by then needs no progress. */
const PATIENCE_MS = 400;
const FRAME_MS = 80;

/** Shows on a terminal that `work` goes on, with its time; shows nothing elsewhere. */
export async function withProgress<T>(label: string, work: Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work;
  const started = performance.now();
  const timer = setInterval(() => {
    const elapsed = performance.now() - started;
    if (elapsed < PATIENCE_MS) return;
    const frame = FRAMES[Math.floor(elapsed / FRAME_MS) % FRAMES.length] ?? "";
    const time = styled("dim", duration(elapsed), process.stderr);
    process.stderr.write(`\r\x1b[2K${styled("cyan", frame, process.stderr)} ${label} ${time}`);
  }, FRAME_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    process.stderr.write("\r\x1b[2K");
  }
}
