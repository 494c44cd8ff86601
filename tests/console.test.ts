import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { type Browser, startBrowser } from "./support/browser.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

let server: TestServer;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
  browser = await startBrowser();
  page = await browser.context.newPage();
});

afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

test("the console asks for a key and lists machines as they come and go", async () => {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(server.consoleUrl);

  await page.getByLabel(/api key/i).fill("ns_wrong_key");
  await page.getByRole("button", { name: /sign in|log in|continue/i }).click();
  await page
    .getByText(/not accepted|unknown|invalid/i)
    .first()
    .waitFor();

  await page.getByLabel(/api key/i).fill(server.apiKey);
  await page.getByRole("button", { name: /sign in|log in|continue/i }).click();
  await page
    .getByText(/no machines/i)
    .first()
    .waitFor();

  const machine = await server.client.machines.create();
  const row = page.getByText(machine.id, { exact: true }).first();
  await row.waitFor();
  await page
    .getByText(/running/i)
    .first()
    .waitFor();

  await machine.kill();
  await row.waitFor({ state: "detached" });
  expect(errors).toEqual([]);
});
