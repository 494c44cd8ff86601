import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { acquireLock } from "./lock.ts";
import { temporaryFolder } from "./testing/temporary-folder.ts";

const NEVER = new AbortController().signal;

describe("acquireLock", () => {
  it("waits for the holder, and says so", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a", "lock");
    const first = await acquireLock(path, NEVER, () => expect.unreachable());
    const order: string[] = [];
    const waiting = Promise.withResolvers<void>();
    const second = acquireLock(path, NEVER, () => waiting.resolve()).then((lock) => {
      order.push("second has it");
      return lock;
    });
    await waiting.promise;
    order.push("first lets go");
    await first[Symbol.asyncDispose]();
    await (await second)[Symbol.asyncDispose]();
    expect(order).toEqual(["first lets go", "second has it"]);
  });

  it("stops waiting when it is told to", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "lock");
    await using resources = new AsyncDisposableStack();
    resources.use(await acquireLock(path, NEVER, () => undefined));
    const stop = new AbortController();
    const second = acquireLock(path, stop.signal, () => stop.abort(new Error("stopped")));
    await expect(second).rejects.toThrow("stopped");
  });

  it("is free after its holder is killed", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "lock");
    const program = `
      import { acquireLock } from ${JSON.stringify(join(import.meta.dirname, "lock.ts"))};
      await acquireLock(${JSON.stringify(path)}, new AbortController().signal, () => {});
      process.stdout.write("locked");
      setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ["--input-type=module-typescript", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(holder.stdout, "data");
    holder.kill("SIGKILL");
    const lock = await acquireLock(path, AbortSignal.timeout(10_000), () => undefined);
    await expect(lock[Symbol.asyncDispose]()).resolves.toBeUndefined();
  });
});
