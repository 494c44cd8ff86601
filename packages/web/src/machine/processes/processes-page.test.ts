import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { startProcess } from "../../testing/processes.js";
import { hasBrowser, useMachinePage } from "../../testing/machine-page.js";

describe.skipIf(!hasBrowser)("a machine's processes in a browser", () => {
  const at = useMachinePage();

  test("are listed with live output, and ended", async () => {
    const { page, server, machine } = at();
    const pid = await startProcess(server, machine.id, {
      command: "echo begun; read line; echo got $line >&2; sleep 60",
      cwd: tmpdir(),
    });
    await at().tab("Processes");
    const row = page.getByRole("row", { name: "echo begun" });
    await row.getByText("running").waitFor();
    await row.getByRole("button", { name: "Logs" }).click();
    const log = page.getByRole("region", { name: `Output of process ${pid}` });
    await log.getByText("begun").waitFor();
    await log.getByText("got").waitFor();
    await row.getByRole("button", { name: "Kill" }).click();
    await log.getByText("Ended").waitFor();
    await row.getByText("SIGKILL").waitFor();
    expect(await row.getByRole("button", { name: "Kill" }).count()).toBe(0);
    await log.getByRole("button", { name: "Close" }).click();
    await log.waitFor({ state: "detached" });
    await row.waitFor();
  });

  test("say what to do when there are none", async () => {
    const { page } = at();
    await at().tab("Processes");
    await page.getByText("No commands have been run lately.").waitFor();
    expect(await page.getByRole("table").count()).toBe(0);
  });
});
