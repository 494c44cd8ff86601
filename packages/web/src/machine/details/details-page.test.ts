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

  test("previews are opened and revoked", async () => {
    const { page, server, machine } = at();
    await page.goto(`${server.url}/console/machines/${machine.id}/details`);
    await page.getByText("Nobody but you reaches").waitFor();
    await page.getByLabel("Port").fill("8000");
    const opened = page.waitForEvent("popup");
    await page.getByRole("button", { name: "Open for an hour" }).click();
    await (await opened).close();
    const row = page.getByRole("row", { name: /^8000/ });
    await row.getByRole("button", { name: "Revoke" }).click();
    await row.getByText("revoked").waitFor();
    expect(await row.getByRole("button").count()).toBe(0);
    expect(server.previews.requests.at(-1)).toMatchObject({ machineId: machine.id, port: 8000 });
  });
});
