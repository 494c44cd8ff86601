import { existsSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import type { Machine } from "@nullspace/proto";
import { WriteRequestSchema } from "@nullspace/proto/agent";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import type { FakeServer } from "../../../sdk/src/testing/fake-server.js";
import { startConsole } from "./console-server.js";

const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

/** Whether there is a browser to test with. */
export const hasBrowser = existsSync(CHROMIUM);

/** A browser that looks at the page of a machine. */
export class MachinePageFixture {
  browser: Browser;
  server: FakeServer;
  page: Page;
  machine: Machine;
  /** What went wrong in the page without anyone being told. */
  readonly complaints: string[] = [];

  private constructor(browser: Browser, server: FakeServer, page: Page) {
    this.browser = browser;
    this.server = server;
    this.page = page;
    this.machine = server.machines.add();
  }

  /** Signs in and opens the page of a machine that runs, with its terminal. */
  static async open(browser: Browser): Promise<MachinePageFixture> {
    const server = await startConsole();
    const page = await browser.newPage();
    const fixture = new MachinePageFixture(browser, server, page);
    await server.files.makeDir({ path: "/workspace" });
    page.on("pageerror", (error) => fixture.complaints.push(error.message));
    page.on("console", (message) => {
      // Calls that fail are told on the console, too, but wanted.
      const text = message.text();
      if (message.type() !== "error" || text.startsWith("Failed to load resource")) return;
      fixture.complaints.push(text);
    });
    await page.goto(`${server.url}/console/`);
    await page.getByLabel("API key").fill(server.apiKey);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("link", { name: fixture.machine.id }).click();
    await page.getByRole("heading", { name: fixture.machine.id }).waitFor();
    return fixture;
  }

  /** Puts a file into the machine. */
  async put(path: string, text: string): Promise<void> {
    await this.server.files.write(create(WriteRequestSchema, { path, data: Buffer.from(text) }));
  }

  /** A file's text as it is in the machine. */
  async textOf(path: string): Promise<string> {
    return (await this.server.files.contentOf(path)).toString();
  }

  /** Opens another part of the page. */
  async tab(name: string): Promise<void> {
    await this.page.getByRole("link", { name, exact: true }).click();
  }

  /** The first row of a table with this text. */
  row(name: string): Locator {
    return this.page.getByRole("row", { name }).first();
  }

  async close(): Promise<void> {
    await this.page.close();
    await this.server[Symbol.asyncDispose]();
  }
}

/** Opens the page before each test, and closes it when the test is over. */
export function useMachinePage(): () => MachinePageFixture {
  let browser: Browser;
  let fixture: MachinePageFixture;
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
    });
  }, 60_000);
  afterAll(() => browser.close());
  beforeEach(async () => {
    fixture = await MachinePageFixture.open(browser);
  });
  afterEach(async () => {
    const { complaints } = fixture;
    await fixture.close();
    expect(complaints).toEqual([]);
  });
  return () => fixture;
}
