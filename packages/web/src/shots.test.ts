import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MachineState } from "@nullspace/proto";
import { chromium } from "playwright-core";
import { test } from "vitest";
import { startConsole } from "./testing/console-server.js";
test("shots", async () => {
  const server = await startConsole();
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  for (const [name, colorScheme, width] of [
    ["light", "light", 1280],
    ["dark", "dark", 1280],
    ["phone", "light", 390],
  ] as const) {
    server.machines.all.length = 0;
    const page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
    await page.goto(`${server.url}/console/`);
    await page.getByLabel("API key").fill("ns_wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("not accepted").waitFor();
    await page.screenshot({ path: `/tmp/w/client/${name}-login.png` });
    await page.getByLabel("API key").fill(server.apiKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("No machines yet").waitFor();
    await page.screenshot({ path: `/tmp/w/client/${name}-empty.png` });
    const ago = (s: number) => timestampFromMs(Date.now() - s * 1000);
    server.machines.add({
      id: "m9x2kq4vw7c1t8zr3b5n",
      createdAt: ago(90000),
      metadata: { purpose: "nightly build", owner: "ci" },
      vcpus: 4,
      memoryMb: 4096,
      timeoutAt: ago(-86400),
    });
    server.machines.add({ id: "m3f8ap0dh6s2y1mle4qj", createdAt: ago(4000), timeoutAt: ago(-42) });
    server.machines.add({
      id: "m7u1rn5gk9b3x6wto2cv",
      createdAt: ago(700),
      state: MachineState.FAILED,
      endedAt: ago(600),
      failure:
        "The VM ended by itself.\n[    3.1] Kernel panic - not syncing: Attempted to kill init!\n[    3.2] CPU: 0 PID: 1",
    });
    server.machines.add({
      id: "m2c5te8jz4q7h0vfs1dm",
      createdAt: ago(65),
      metadata: { agent: "planner" },
      timeoutAt: ago(-235),
    });
    server.machines.add({
      id: "m6y4iw9lp1n8o3uxb7ka",
      createdAt: ago(1),
      state: MachineState.CREATING,
      timeoutAt: ago(-299),
    });
    await page.getByText("m6y4").waitFor();
    await page.getByText("The VM ended").click();
    await page.screenshot({ path: `/tmp/w/client/${name}-machines.png`, fullPage: true });
    await page.getByRole("button", { name: "Kill" }).first().click();
    await page.screenshot({ path: `/tmp/w/client/${name}-kill.png` });
    await page.close();
  }
  await browser.close();
  await server[Symbol.asyncDispose]();
});
