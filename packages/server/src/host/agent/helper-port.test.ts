import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { HELPER_SOCKET } from "../qemu/command-line.js";
import { HelperPort } from "./helper-port.js";

const DEADLINE = { timeoutMs: 5_000 };

/** A port, and the guest's end of it. */
async function openPort(): Promise<{ port: HelperPort; guest: Socket }> {
  const directory = await mkdtemp(join(tmpdir(), "helper-port-"));
  const server = createServer().listen(join(directory, HELPER_SOCKET));
  await once(server, "listening");
  const connected = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const port = await HelperPort.open(directory, DEADLINE);
  const guest = await connected;
  guest.on("error", () => undefined);
  onTestFinished(async () => {
    port[Symbol.dispose]();
    guest.destroy();
    server.close();
    await rm(directory, { recursive: true });
  });
  return { port, guest };
}

/** The token of the next question. */
async function tokenOf(guest: Socket): Promise<string> {
  const frame = await new Promise<Buffer>((resolve) => guest.once("data", resolve));
  return frame.toString("latin1", 4).split("\0")[0] ?? "";
}

test("an answer is found among what nobody asked for", async () => {
  const { port, guest } = await openPort();
  const time = port.request("set-time", [], DEADLINE);
  const token = await tokenOf(guest);
  guest.write(`\n\nok\nok ${token.slice(1)} 1 0\nerror\nnonsense \0\xff\nok ${token} 7 5000000\n`);
  expect(await time).toBe(7005);
});

test.each([
  ["no number", "ok TOKEN x y\n", NaN],
  ["nothing", "ok TOKEN\n", NaN],
])("a time that is %s is told as none", async (_, answer, expected) => {
  const { port, guest } = await openPort();
  const time = port.request("set-time", [], DEADLINE);
  guest.write(answer.replace("TOKEN", await tokenOf(guest)));
  expect(await time).toBe(expected);
});

test.each([
  ["a line without end", "x".repeat(8192)],
  ["lines without end", "ok 0123456789abcdef 0 0\n".repeat(8192)],
  ["empty lines without end", "\n".repeat(128 << 10)],
])("a guest that sends %s is hung up on, and its questions fail", async (_, text) => {
  const { port, guest } = await openPort();
  const asked = port.request("adopt", [], DEADLINE).catch(String);
  const hungUp = new Promise((resolve) => guest.once("close", resolve));
  guest.resume().write(text);
  await hungUp;
  expect(await asked).toContain("closed its helper's port");
  await expect(port.request("adopt", [], DEADLINE)).rejects.toThrow("cannot be reached");
});
