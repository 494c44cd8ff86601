import { existsSync } from "node:fs";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MachineState, SnapshotKind } from "@nullspace/proto";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FakeServer } from "../../sdk/src/testing/fake-server.js";
import { startConsole } from "./testing/console-server.js";

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
});

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
