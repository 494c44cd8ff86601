import { describe, expect, test } from "vitest";
import { hasBrowser, useMachinePage } from "../../testing/machine-page.js";

describe.skipIf(!hasBrowser)("a machine's details in a browser", () => {
  const at = useMachinePage();

  test("details tell the machine's facts, snapshots and events", async () => {
    const { page, server, machine } = at();
    const child = server.machines.add({ parentId: machine.id, metadata: { purpose: "test" } });
    await page.goto(`${server.url}/console/machines/${child.id}/details`);
    await page.getByText("purpose=test").waitFor();
    await page.getByRole("button", { name: "Snapshot" }).click();
    await page.getByRole("row", { name: "s0001" }).waitFor();
    const events = page.getByRole("listitem");
    await events.getByText("snapshot taken s0001").waitFor();
    expect(await events.getByText(machine.id).count()).toBe(0);
    await page.getByRole("button", { name: "Fork" }).click();
    await page.getByText("Forked as m0003").waitFor();
    await page.getByRole("link", { name: machine.id }).click();
    await page.getByRole("heading", { name: machine.id }).waitFor();
    await page.getByRole("button", { name: "Kill" }).click();
    await page.getByRole("button", { name: "Kill it" }).click();
    await page.getByText("There is no machine").waitFor();
  });
});
