/**
 * Waits for a fact of another process that sends no event to us, by asking
 * again. The limit only ends what would hang for ever.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  limitMs = 60_000,
): Promise<T> {
  const end = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
