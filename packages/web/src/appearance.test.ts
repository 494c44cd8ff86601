import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MachineState, SnapshotKind } from "@nullspace/proto";
import { WriteRequestSchema } from "@nullspace/proto/agent";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FakeServer } from "../../sdk/src/testing/fake-server.js";
import { startConsole } from "./testing/console-server.js";
import { startProcess } from "./testing/processes.js";

const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

/** Folder that pictures of every page go to, for people to look at. */
const PICTURES = process.env.NULLSPACE_PICTURES;

const SCREENS = [
  { name: "light", colorScheme: "light", width: 1280 },
  { name: "dark", colorScheme: "dark", width: 1280 },
  { name: "tablet", colorScheme: "light", width: 900 },
  { name: "phone", colorScheme: "light", width: 390 },
  { name: "small phone", colorScheme: "dark", width: 320 },
] as const;

describe.skipIf(!existsSync(CHROMIUM)).each(SCREENS)("on a $name screen", (screen) => {
  let browser: Browser;
  let server: FakeServer;
  let page: Page;

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
    });
  }, 60_000);
  afterAll(() => browser.close());
  beforeEach(async () => {
    server = await startConsole();
    const { colorScheme, width } = screen;
    page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
    await page.goto(`${server.url}/console/`);
  });
  afterEach(async () => {
    await page.close();
    await server[Symbol.asyncDispose]();
  });

  /** What is wider than the screen or its own box; takes a picture besides. */
  async function whatSticksOut(picture: string): Promise<string[]> {
    if (PICTURES !== undefined) {
      const path = join(PICTURES, `${screen.name}-${picture}.png`);
      await page.screenshot({ path, fullPage: true });
    }
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    const cut = await page.evaluate(cutOff);
    return width === screen.width ? cut : [`the page, ${width} pixels`, ...cut];
  }

  async function signIn(): Promise<void> {
    await page.getByLabel("API key").fill(server.apiKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: /^Machines/ }).waitFor();
  }

  test("the login page fits", async () => {
    await page.getByLabel("API key").fill("ns_wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("not accepted").waitFor();
    expect(await whatSticksOut("login")).toEqual([]);
  });

  test("the page without machines fits", async () => {
    await signIn();
    await page.getByText("No machines yet").waitFor();
    expect(await whatSticksOut("empty")).toEqual([]);
  });

  test("the machines fit, whatever they hold, and sizes stay in one piece", async () => {
    await signIn();
    addMachines(server);
    await page.getByText("The VM ended").click();
    await page.getByText("Kernel panic").waitFor();
    expect(await whatSticksOut("machines")).toEqual([]);
    for (const size of await page.getByText(/vCPU/).all()) {
      expect(await size.evaluate(lineCount)).toBeLessThanOrEqual(screen.width < 390 ? 2 : 1);
    }
    const [heading, table] = [page.locator(".heading"), page.getByRole("table")];
    expect((await table.boundingBox())?.width).toBe((await heading.boundingBox())?.width);
    await page.getByRole("button", { name: "Kill" }).first().click();
    await page.getByRole("button", { name: "Keep it" }).waitFor();
    expect(await whatSticksOut("kill")).toEqual([]);
  });

  test("snapshots and events fit", async () => {
    const { machines } = server;
    const long = { name: "a name that goes on ".repeat(6), note: "x".repeat(120) };
    let snapshotId = "";
    for (let depth = 0; depth < 7; depth++) {
      const id = `m${depth}x2kq4vw7c1t8zr3b5n`;
      const machine = machines.add({ id, snapshotId, metadata: long });
      snapshotId = machines.snapshots.add(machine, SnapshotKind.REUSABLE).id;
      machines.snapshots.find(snapshotId).name = long.name;
    }
    machines.add({ state: MachineState.FAILED, failure: "y".repeat(300) });
    await signIn();
    await page.getByRole("link", { name: "Snapshots" }).click();
    await page.getByRole("row", { name: snapshotId }).waitFor();
    expect(await whatSticksOut("snapshots")).toEqual([]);
    await page.getByRole("link", { name: "Events" }).click();
    await page.getByRole("listitem").first().waitFor();
    expect(await whatSticksOut("events")).toEqual([]);
  });

  test("the page of a machine fits, whatever is in it", async () => {
    const { machines, files, ptys } = server;
    const id = "m9x2kq4vw7c1t8zr3b5n";
    const parent = machines.add({ id: "m3f8ap0dh6s2y1mle4qj" });
    const labels = { purpose: "nightly build", note: "a label that goes on ".repeat(9) };
    const machine = machines.add({
      id,
      parentId: parent.id,
      metadata: labels,
      timeoutAt: ago(-235),
    });
    await signIn();
    await page.getByRole("link", { name: id }).click();
    await page.getByText("Connected", { exact: true }).waitFor();
    ptys.write("pty_1", SHELL);
    await page.locator(".xterm-rows").getByText("passed").waitFor();
    // It takes its size from its font, which may come a moment after its text.
    await expect.poll(() => whatSticksOut("terminal")).toEqual([]);
    ptys.end("pty_1", 1);
    await page.getByText("exit code 1").waitFor();
    expect(await whatSticksOut("terminal-ended")).toEqual([]);

    await page.getByRole("link", { name: "Files" }).click();
    await page.getByText(/Nothing is at|This folder is empty/).waitFor();
    expect(await whatSticksOut("files-none")).toEqual([]);
    for (const path of ["src", "a-folder-with-a-very-long-name-that-never-ends".repeat(3)]) {
      await files.makeDir({ path: `/workspace/${path}` });
    }
    for (const name of ["README.md", "package.json", `${"x".repeat(120)}.txt`, "src/main.ts"]) {
      const data = Buffer.from(
        `import { Machine } from "@nullspace/sdk";\n// ${name}\n`.repeat(20),
      );
      await files.write(create(WriteRequestSchema, { path: `/workspace/${name}`, data }));
    }
    await page.getByRole("button", { name: "Refresh" }).click();
    await page.getByLabel("Files to upload").setInputFiles([
      { name: "photo.jpg", mimeType: "image/jpeg", buffer: Buffer.alloc(1_500_000) },
      { name: `${"y".repeat(90)}.txt`, mimeType: "text/plain", buffer: Buffer.from("y") },
    ]);
    await page.getByText("Uploaded, 1.4 MiB").waitFor();
    await page.getByText("Uploaded, 1 B").waitFor();
    await page.getByRole("row", { name: "photo.jpg" }).waitFor();
    expect(await whatSticksOut("files")).toEqual([]);
    await page.getByRole("button", { name: "Rename README.md" }).click();
    expect(await whatSticksOut("rename")).toEqual([]);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("link", { name: "README.md" }).click();
    await page.getByLabel("Content of README.md").fill("# Changed\n");
    await page.getByText("Not saved").waitFor();
    expect(await whatSticksOut("editor")).toEqual([]);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved", { exact: true }).waitFor();

    await page.getByRole("link", { name: "Processes" }).click();
    await page.getByText("No commands have been run lately.").waitFor();
    expect(await whatSticksOut("processes-none")).toEqual([]);
    const command = `for i in 1 2 3; do echo "line $i"; done; echo ${"z".repeat(150)} >&2; sleep 60`;
    const pid = await startProcess(server, machine.id, { command, cwd: tmpdir() });
    await startProcess(server, machine.id, { command: "exit 3", cwd: tmpdir() });
    await page.getByText("exit code 3").waitFor();
    await page.getByRole("button", { name: `Logs ${pid}` }).click();
    await page.getByLabel("Output", { exact: true }).getByText("zzz").waitFor();
    expect(await whatSticksOut("processes")).toEqual([]);

    await page.getByRole("button", { name: "Snapshot" }).click();
    await page.getByRole("link", { name: "Details" }).click();
    await page.getByRole("row", { name: "s0001" }).waitFor();
    await page.getByRole("listitem").first().waitFor();
    expect(await whatSticksOut("details")).toEqual([]);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("link", { name: "Terminal" }).click();
    await page.getByText("The machine is paused.").waitFor();
    expect(await whatSticksOut("paused")).toEqual([]);
  });
});

/** What a program in a terminal writes. */
const SHELL = [
  "\x1b[1;32muser@machine\x1b[0m:\x1b[1;34m~/project\x1b[0m$ npm test",
  "",
  "  \x1b[32m✓\x1b[0m 128 tests \x1b[32mpassed\x1b[0m \x1b[90m(2.1 s)\x1b[0m",
  "  \x1b[31m✗\x1b[0m 1 test \x1b[31mfailed\x1b[0m: \x1b[4mexpected\x1b[0m \x1b[38;2;255;160;80m42\x1b[0m",
  "  ┌──────────┬───────┐",
  "  │ package  │ state │",
  "  └──────────┴───────┘",
  "\x1b[1;32muser@machine\x1b[0m:\x1b[1;34m~/project\x1b[0m$ ",
].join("\r\n");

/** Texts that stick out of a box which hides what is too much. Runs in the page. */
function cutOff(): string[] {
  return [...document.querySelectorAll<HTMLElement>("main *, dialog *")]
    .filter((box) => !box.classList.contains("hidden"))
    .filter((box) => getComputedStyle(box).overflowX === "hidden")
    .filter((box) => getComputedStyle(box).textOverflow !== "ellipsis")
    .filter((box) => box.scrollWidth > box.clientWidth)
    .map((box) => box.className);
}

/** How many lines an element's text takes. Runs in the page. */
function lineCount(element: Element): number {
  const range = document.createRange();
  range.selectNodeContents(element);
  return new Set([...range.getClientRects()].map(({ bottom }) => Math.round(bottom))).size;
}

function ago(seconds: number) {
  return timestampFromMs(Date.now() - seconds * 1000);
}

function addMachines({ machines }: FakeServer): void {
  machines.add({
    id: "m9x2kq4vw7c1t8zr3b5n",
    createdAt: ago(90_000),
    metadata: { purpose: "nightly build", owner: "ci", note: "a label that goes on ".repeat(9) },
    vcpus: 32,
    memoryMb: 65_536,
    diskMb: 131_072,
    timeoutAt: ago(-86_400),
  });
  machines.add({ id: "m3f8ap0dh6s2y1mle4qj", createdAt: ago(4000), timeoutAt: ago(-42) });
  machines.add({
    id: "m7u1rn5gk9b3x6wto2cv",
    createdAt: ago(700),
    state: MachineState.FAILED,
    endedAt: ago(600),
    failure: `The VM ended by itself.\n[    3.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n${"x".repeat(300)}`,
  });
  machines.add({
    id: "m2c5te8jz4q7h0vfs1dm",
    template: "a-template-with-quite-a-long-name:2026-11-25",
    createdAt: ago(65),
    metadata: { agent: "planner" },
    timeoutAt: ago(-235),
  });
  machines.add({
    id: "m6y4iw9lp1n8o3uxb7ka",
    createdAt: ago(1),
    state: MachineState.CREATING,
    timeoutAt: ago(-299),
  });
}
