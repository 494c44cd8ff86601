import { expect, test } from "vitest";
import { DeadlineError, within } from "./deadline.js";

const never = new Promise<never>(() => undefined);

test("work that is done in time gives its value", async () => {
  await expect(within(Promise.resolve(7), "seven", { timeoutMs: 1000 })).resolves.toBe(7);
});

test("late work is given up, and the error tells what was waited for", async () => {
  await expect(within(never, "the impossible", { timeoutMs: 5 })).rejects.toThrow(
    new DeadlineError("the impossible", 5),
  );
});

test("an abort ends the wait with its reason, before or during it", async () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await expect(within(never, "nothing", { timeoutMs: 1000, signal })).rejects.toBe(reason);

  const controller = new AbortController();
  const waiting = within(never, "nothing", { timeoutMs: 1000, signal: controller.signal });
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});

test("work that fails after it was given up is no unhandled rejection", async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  await expect(within(promise, "late", { timeoutMs: 1 })).rejects.toThrow(DeadlineError);
  reject(new Error("later"));
  const early = within(promise, "late", { timeoutMs: 1, signal: AbortSignal.abort() });
  await expect(early).rejects.toThrow("later");
});
