import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCommand } from "./command.ts";
import { temporaryFolder } from "./testing/temporary-folder.ts";

const NEVER = new AbortController().signal;

/** Whether a process is there and not a zombie. */
async function isAlive(pid: string): Promise<boolean> {
  try {
    return !/^State:\s+Z/m.test(await readFile(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("runCommand", () => {
  it("keeps all output in the log and shows each line", async () => {
    await using folder = await temporaryFolder();
    const log = join(folder.path, "log");
    const lines: string[] = [];
    await runCommand("sh", ["-c", "echo one; echo two >&2; printf three"], {
      signal: NEVER,
      log,
      remedy: "",
      onLine: (line) => lines.push(line),
    });
    expect(lines).toEqual(["one", "two", "three"]);
    expect(await readFile(log, "utf8")).toContain("three");
  });

  it("fails with the last lines only", async () => {
    await using folder = await temporaryFolder();
    const run = runCommand("sh", ["-c", "seq 1 1000; exit 1"], {
      signal: NEVER,
      log: join(folder.path, "log"),
      remedy: "count again",
    });
    const tail = Array.from({ length: 20 }, (_, index) => `${981 + index}`).join("\n");
    await expect(run).rejects.toMatchObject({ remedy: "count again", logTail: tail });
  });

  it("says what to do about a command that is not there", async () => {
    await using folder = await temporaryFolder();
    const log = join(folder.path, "log");
    const run = runCommand("no-such-command", [], { signal: NEVER, log, remedy: "" });
    await expect(run).rejects.toMatchObject({
      remedy: "Install the Debian package that has no-such-command (npm start does).",
    });
  });

  it("ends what the command started, too, when it is stopped", async () => {
    await using folder = await temporaryFolder();
    const stop = new AbortController();
    let child = "";
    const run = runCommand("sh", ["-c", "sleep 600 & echo $!; wait"], {
      signal: stop.signal,
      log: join(folder.path, "log"),
      remedy: "",
      onLine: (line) => {
        child = line;
        stop.abort(new Error("stopped"));
      },
    });
    await expect(run).rejects.toThrow("stopped");
    expect(await isAlive(child)).toBe(false);
  });

  it.runIf(process.getuid?.() === 0)("leaves no mount of an isolated command", async () => {
    await using folder = await temporaryFolder();
    const lines: string[] = [];
    await runCommand(
      "sh",
      ["-c", 'mount -t tmpfs probe "$1" && grep -c "$1" /proc/mounts', "sh", folder.path],
      {
        signal: NEVER,
        log: join(folder.path, "log"),
        isolated: true,
        remedy: "",
        onLine: (line) => lines.push(line),
      },
    );
    expect(lines).toEqual(["1"]);
    expect(await readFile("/proc/mounts", "utf8")).not.toContain(folder.path);
  });
});
