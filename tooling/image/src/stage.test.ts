import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ensureStage, type Stage, type StageEnvironment } from "./stage.ts";
import { silentProgress } from "./testing/silent-progress.ts";
import { temporaryFolder } from "./testing/temporary-folder.ts";

function counting(inputs: Record<string, string>): Stage & { builds: number } {
  const stage = {
    name: "text",
    title: "a text",
    inputs,
    files: ["text"],
    builds: 0,
    async build({ directory }: { directory: string }) {
      stage.builds++;
      await writeFile(join(directory, "text"), JSON.stringify(inputs));
      return ["text 1.0"];
    },
  };
  return stage;
}

function environmentIn(cache: string, signal = new AbortController().signal): StageEnvironment {
  return { cache, progress: silentProgress(), signal };
}

describe("ensureStage", () => {
  it("builds once for the same inputs and again for others", async () => {
    await using cache = await temporaryFolder();
    const environment = environmentIn(cache.path);
    const first = counting({ a: "1" });
    const built = await ensureStage(first, environment);
    const again = counting({ a: "1" });
    const reused = await ensureStage(again, environment);
    expect(reused).toEqual(built);
    expect(again.builds).toBe(0);

    const changed = counting({ a: "2" });
    const rebuilt = await ensureStage(changed, environment);
    expect(changed.builds).toBe(1);
    expect(rebuilt.directory).not.toBe(built.directory);
  });

  it("records checksums and what was resolved", async () => {
    await using cache = await temporaryFolder();
    const { directory, record } = await ensureStage(counting({}), environmentIn(cache.path));
    expect(record.resolved).toEqual(["text 1.0"]);
    expect(record.files["text"]?.size).toBe((await readFile(join(directory, "text"))).length);
  });

  it("leaves nothing half-made, and tells the end of the log and where it is", async () => {
    await using cache = await temporaryFolder();
    const environment = environmentIn(cache.path);
    const failing: Stage = {
      ...counting({}),
      async build({ directory, run }) {
        await writeFile(join(directory, "text"), "half");
        await run("sh", ["-c", "echo the disk is on fire >&2; exit 3"]);
        return [];
      },
    };
    await expect(ensureStage(failing, environment)).rejects.toMatchObject({
      message: "sh ended with status 3",
      logTail: "the disk is on fire",
      remedy: `The output says why. The whole of it is in ${join(cache.path, "text.log")}.`,
    });
    expect(await readdir(cache.path)).toEqual(["text.log"]);

    const mended = counting({});
    await ensureStage(mended, environment);
    expect(mended.builds).toBe(1);
  });

  it("leaves nothing half-made when it is stopped", async () => {
    await using cache = await temporaryFolder();
    const stop = new AbortController();
    const slow: Stage = {
      ...counting({}),
      async build({ run }) {
        queueMicrotask(() => stop.abort(new Error("stopped")));
        await run("sleep", ["600"]);
        return [];
      },
    };
    await expect(ensureStage(slow, environmentIn(cache.path, stop.signal))).rejects.toThrow(
      "stopped",
    );
    expect(await readdir(cache.path)).toEqual(["text.log"]);
  });

  it("builds again over a result without a readable record", async () => {
    await using cache = await temporaryFolder();
    const environment = environmentIn(cache.path);
    const { directory } = await ensureStage(counting({}), environment);
    await writeFile(join(directory, "stage.json"), '{"files":{"text":{"size":"torn');
    const again = counting({});
    await ensureStage(again, environment);
    expect(again.builds).toBe(1);
  });
});
