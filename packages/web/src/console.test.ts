import { mkdtemp, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason, MachineState, SnapshotKind } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FakeServer } from "../../sdk/src/testing/fake-server.js";
import { startConsole } from "./testing/console-server.js";

const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

describe.skipIf(!existsSync(CHROMIUM))("the console in a browser", () => {
  let profile: string;
  let browser: BrowserContext;
  let server: FakeServer;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    profile = await mkdtemp(join(tmpdir(), "nullspace-console-"));
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
    });
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  });
  beforeEach(async () => {
    server = await startConsole();
    page = await browser.newPage();
    complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      // Policy violations are told on the console; failed fetches are told there too, but wanted.
      if (/Content Security Policy/.test(message.text())) complaints.push(message.text());
    });
    await page.goto(`${server.url}/console/`);
  });
  afterEach(async () => {
    await page.close();
    await server[Symbol.asyncDispose]();
  });

  async function signIn(): Promise<void> {
    await page.getByLabel("API key").fill(server.apiKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: /^Machines/ }).waitFor();
  }

  test("takes a good key only, keeps it for the tab and forgets it on demand", async () => {
    await page.getByLabel("API key").fill("ns_wrong_key");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This key was not accepted.").waitFor();
    await signIn();
    await page.reload();
    await page.getByRole("heading", { name: /^Machines/ }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").waitFor();
    await page.goto(`${server.url}/console/`);
    await page.getByLabel("API key").waitFor();
    expect(complaints).toEqual([]);
  });

  test("shows machines as they come, change and go", async () => {
    await signIn();
    await page.getByText("No machines yet").waitFor();
    const machine = server.machines.add({
      state: MachineState.CREATING,
      metadata: { purpose: "test" },
      timeoutAt: timestampFromMs(Date.now() + 30_500),
    });
    const row = page.getByRole("row", { name: machine.id });
    await row.getByText("creating").waitFor();
    await row.getByText("purpose=test").waitFor();
    server.machines.change(machine, { state: MachineState.RUNNING });
    await row.getByText("running").waitFor();
    const left = async () =>
      Number.parseInt(
        (await row
          .getByText(/^\d+ s$/)
          .last()
          .textContent()) ?? "",
      );
    const before = await left();
    await expect.poll(left, { timeout: 10_000 }).toBeLessThan(before);
    server.machines.change(machine, {
      state: MachineState.FAILED,
      failure: "The VM ended by itself.\nKernel panic",
    });
    await row.getByText("The VM ended by itself.").click();
    await row.getByText("Kernel panic").waitFor();
    server.machines.change(machine, { state: MachineState.KILLED });
    await row.waitFor({ state: "detached" });
    expect(complaints).toEqual([]);
  });

  test("starts a machine and kills it after asking", async () => {
    await signIn();
    await page.getByRole("button", { name: "New machine" }).click();
    const row = page.getByRole("row", { name: "m0001" });
    await row.getByRole("button", { name: "Kill" }).click();
    await page.getByRole("button", { name: "Keep it" }).click();
    expect(server.machines.find("m0001").state).toBe(MachineState.RUNNING);
    await row.getByRole("button", { name: "Kill" }).click();
    await page.getByRole("button", { name: "Kill it" }).click();
    await row.waitFor({ state: "detached" });
    expect(await page.getByRole("dialog").isVisible()).toBe(false);
    expect(complaints).toEqual([]);
  });

  test("pauses, resumes, forks and saves a machine", async () => {
    await signIn();
    const machine = server.machines.add();
    const row = page.getByRole("row", { name: machine.id }).first();
    await row.getByRole("button", { name: "Fork" }).click();
    await page.getByRole("row", { name: "m0002" }).getByText("running").waitFor();
    await row.getByRole("button", { name: "Snapshot" }).click();
    await row.getByText("Saved as s0001").waitFor();
    await row.getByRole("button", { name: "Pause" }).click();
    await row.getByText("paused", { exact: true }).waitFor();
    await row.getByRole("button", { name: "Resume" }).click();
    await row.getByText("goes on as m0003").waitFor();
    expect(await row.getByRole("button", { name: "Resume" }).count()).toBe(0);

    const child = page.getByRole("row", { name: "m0002" });
    server.machines.childFailure = new Fault(ErrorReason.CAPACITY_EXCEEDED, "the host is full");
    await child.getByRole("button", { name: "Fork" }).click();
    await child.getByRole("alert").getByText("the host is full").waitFor();
    expect(complaints).toEqual([]);
  });

  test("shows snapshots by lineage, starts from them and deletes them", async () => {
    const machine = server.machines.add();
    const { snapshots } = server.machines;
    const parent = snapshots.add(machine, SnapshotKind.REUSABLE);
    const child = server.machines.add({ snapshotId: parent.id });
    const grandchild = snapshots.add(child, SnapshotKind.REUSABLE);
    await signIn();
    await page.getByRole("link", { name: "Snapshots" }).click();
    await page.getByRole("heading", { name: /^Snapshots/ }).waitFor();
    const ids = page.getByRole("rowheader").locator(".id");
    await expect.poll(() => ids.allTextContents()).toEqual([parent.id, grandchild.id]);
    const row = page.getByRole("row", { name: grandchild.id });
    await row.getByText("└").waitFor();
    await row.getByText("16.2 MiB").waitFor();
    await row.getByRole("button", { name: "Start" }).click();
    await expect.poll(() => server.machines.all[0]?.snapshotId).toBe(grandchild.id);

    page.once("dialog", (dialog) => void dialog.accept());
    await row.getByRole("button", { name: "Delete" }).click();
    await row.waitFor({ state: "detached" });
    const paused = server.machines.pause({ id: machine.id });
    const pause = page.getByRole("row", { name: paused.snapshot.id });
    await pause.getByText("paused machine").waitFor();
    await pause.getByRole("button", { name: "Resume" }).click();
    await expect.poll(() => machine.resumedAs).not.toBe("");
    expect(complaints).toEqual([]);
  });

  test("follows events, also after the connection was lost", async () => {
    const machine = server.machines.add();
    await signIn();
    await page.getByRole("link", { name: "Events" }).click();
    const items = page.getByRole("listitem");
    await items.getByText(machine.id).first().waitFor();
    await page.getByText("Live").waitFor();
    server.dropConnections();
    server.machines.pause({ id: machine.id });
    await items.first().getByText("paused").waitFor();
    await items.getByText(`snapshot taken ${machine.pausedSnapshotId}`).waitFor();
    expect(await items.count()).toBe(3);
    expect(complaints).toEqual([]);
  });

  test("tells what went wrong and what to do", async () => {
    await signIn();
    server.onCall = () => {
      throw new Fault(ErrorReason.CAPACITY_EXCEEDED, "the host is full", {
        remedy: "Kill a machine that you do not need.",
      });
    };
    await page.getByRole("button", { name: "New machine" }).click();
    await page.getByText("The host is full. Kill a machine that you do not need.").waitFor();
    expect(complaints).toEqual([]);
  });

  test("comes back by itself when the connection was lost", async () => {
    await signIn();
    const gone = server.machines.add();
    await page.getByRole("row", { name: gone.id }).waitFor();
    server.onCall = () => {
      throw new Fault(ErrorReason.SERVER_NOT_READY, "the server is starting");
    };
    server.dropConnections();
    await page.getByText("Reconnecting").waitFor();
    await page.getByRole("row", { name: gone.id }).waitFor();
    server.machines.all.length = 0;
    const fresh = server.machines.add({ id: "m-fresh" });
    server.onCall = undefined;
    await page.getByRole("row", { name: fresh.id }).waitFor();
    await page.getByRole("row", { name: gone.id }).waitFor({ state: "detached" });
    await page.getByText("Live", { exact: true }).waitFor();
    expect(complaints).toEqual([]);
  });

  test("a key that is revoked ends the session", async () => {
    await signIn();
    await page.getByText("Live", { exact: true }).waitFor();
    server.onCall = () => {
      throw new Fault(ErrorReason.INVALID_API_KEY, "the key was revoked");
    };
    server.dropConnections();
    await page.getByLabel("API key").waitFor();
    expect(complaints).toEqual([]);
  });
});
